# SPDX-License-Identifier: BSD-3-Clause
"""Certified k-means and likelihood-adjusted clustering by semidefinite programming.

_problem        data (dense, sparse, similarity), inertia, margins
_solvers        primal (restarts), dual (closed-form bound), fantope (ADMM),
                blocks (bounds of row blocks), nlr (low-rank factors),
                likelihood, iterated (heterogeneous clusters), kmeans, certify
_kernels        assignment, single-point moves, the split of the ADMM
_estimators     SDPKMeans, LikelihoodAdjustedSDP
"""

from typing import TYPE_CHECKING

from numopt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    attributes={
        "_estimators": ("LikelihoodAdjustedSDP", "SDPKMeans"),
        "_solvers.certify": ("kmeans_certificate", "kmeans_lower_bound"),
        "_solvers.kmeans": ("kmeans_sdp",),
        "_solvers.lowrank": ("nlr_kmeans",),
        "_solvers.path": ("kmeans_sdp_path",),
        "_solvers.iterated": ("ila_sdp",),
        "_solvers.adjusted": ("la_sdp", "misclustering_error"),
        "_solvers.results": (
            "ClusterCertificate",
            "KMeansSDPResult",
            "LASDPResult",
        ),
    },
)

if TYPE_CHECKING:
    from numopt.cluster._estimators import LikelihoodAdjustedSDP, SDPKMeans
    from numopt.cluster._solvers.adjusted import la_sdp, misclustering_error
    from numopt.cluster._solvers.certify import (
        kmeans_certificate,
        kmeans_lower_bound,
    )
    from numopt.cluster._solvers.iterated import ila_sdp
    from numopt.cluster._solvers.kmeans import kmeans_sdp
    from numopt.cluster._solvers.lowrank import nlr_kmeans
    from numopt.cluster._solvers.path import kmeans_sdp_path
    from numopt.cluster._solvers.results import (
        ClusterCertificate,
        KMeansSDPResult,
        LASDPResult,
    )
