# SPDX-License-Identifier: BSD-3-Clause
"""Certified k-means and likelihood-adjusted clustering by semidefinite programming.

_problem        data (dense, sparse, similarity), inertia, margins
_solvers        _primal (restarts), _dual (closed-form bound), _fantope (ADMM),
                _blocks (bounds of row blocks), _nlr (low-rank factors),
                _likelihood, _iterated (heterogeneous clusters), _kmeans, _certify
_kernels        assignment, single-point moves, the split of the ADMM
_estimators     SDPKMeans, LikelihoodAdjustedSDP
"""

from typing import TYPE_CHECKING

from numopt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    attributes={
        "_estimators": ("LikelihoodAdjustedSDP", "SDPKMeans"),
        "_solvers._certify": ("kmeans_certificate", "kmeans_lower_bound"),
        "_solvers._kmeans": ("kmeans_sdp",),
        "_solvers._lowrank": ("nlr_kmeans",),
        "_solvers._iterated": ("ila_sdp",),
        "_solvers._adjusted": ("la_sdp", "misclustering_error"),
        "_solvers._results": (
            "ClusterCertificate",
            "KMeansSDPResult",
            "LASDPResult",
        ),
    },
)

if TYPE_CHECKING:
    from numopt.cluster._estimators import LikelihoodAdjustedSDP, SDPKMeans
    from numopt.cluster._solvers._adjusted import la_sdp, misclustering_error
    from numopt.cluster._solvers._certify import (
        kmeans_certificate,
        kmeans_lower_bound,
    )
    from numopt.cluster._solvers._iterated import ila_sdp
    from numopt.cluster._solvers._kmeans import kmeans_sdp
    from numopt.cluster._solvers._lowrank import nlr_kmeans
    from numopt.cluster._solvers._results import (
        ClusterCertificate,
        KMeansSDPResult,
        LASDPResult,
    )
