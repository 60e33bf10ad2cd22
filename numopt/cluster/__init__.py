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
        "_solvers._certify": ("kmeans_certificate", "kmeans_lower_bound"),
        "_solvers._kmeans": ("kmeans_sdp",),
        "_solvers._results": (
            "ClusterCertificate",
            "KMeansSDPResult",
        ),
    },
)

if TYPE_CHECKING:
    from numopt.cluster._solvers._certify import (
        kmeans_certificate,
        kmeans_lower_bound,
    )
    from numopt.cluster._solvers._kmeans import kmeans_sdp
    from numopt.cluster._solvers._results import (
        ClusterCertificate,
        KMeansSDPResult,
    )
