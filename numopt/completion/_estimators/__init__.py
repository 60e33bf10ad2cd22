# SPDX-License-Identifier: BSD-3-Clause
"""The scikit-learn face of the family: an imputer and a regressor on index pairs."""

from numopt.completion._estimators.imputer import LowRankImputer
from numopt.completion._estimators.regressor import MatrixCompletionRegressor

__all__ = ["LowRankImputer", "MatrixCompletionRegressor"]
