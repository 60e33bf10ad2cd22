# SPDX-License-Identifier: BSD-3-Clause
"""The scikit-learn face of certified clustering."""

from numopt.cluster._estimators.adjusted import LikelihoodAdjustedSDP
from numopt.cluster._estimators.kmeans import SDPKMeans

__all__ = ["LikelihoodAdjustedSDP", "SDPKMeans"]
