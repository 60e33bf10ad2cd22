# SPDX-License-Identifier: BSD-3-Clause
"""The scikit-learn face of transport: maps, domain adaptation, clustering."""

from numopt.ot._estimators.domain import OTDAClassifier
from numopt.ot._estimators.kmeans import OTKMeans
from numopt.ot._estimators.transport import SinkhornTransport

__all__ = ["OTDAClassifier", "OTKMeans", "SinkhornTransport"]
