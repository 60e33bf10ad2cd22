# SPDX-License-Identifier: BSD-3-Clause
"""The scikit-learn face of sparse Bayesian learning."""

from numopt.sbl._estimators.block import BlockSBLRegressor
from numopt.sbl._estimators.kronecker import KroneckerSBL
from numopt.sbl._estimators.linear import MultiTaskSBL, SBLRegressor
from numopt.sbl._estimators.relevance import RVMRegressor

__all__ = [
    "BlockSBLRegressor",
    "KroneckerSBL",
    "MultiTaskSBL",
    "RVMRegressor",
    "SBLRegressor",
]
