# SPDX-License-Identifier: BSD-3-Clause
"""Entropic optimal transport, Newton-accelerated.

==================  ==========================================================
room                holds
==================  ==========================================================
``_problem``        weights, cost, marginal error, dual value
``_solvers``        ``sinkhorn`` and its algorithms, the result, rounding
``_kernels``        fused passes over the cost, by formula
``_kernels_cpu``    the same in Numba; ``_kernels_gpu``: the same in CUDA
``_estimators``     maps, domain adaptation, clustering
==================  ==========================================================
"""

from typing import TYPE_CHECKING

from numopt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    attributes={
        "_solvers.barycenter": ("BarycenterResult", "barycenter", "barycenter_grid"),
        "_solvers.divergence": ("DivergenceResult", "sinkhorn_divergence"),
        "_solvers.exact": ("ExactResult", "ot_exact"),
        "_solvers.free_support": ("FreeSupportResult", "free_support_barycenter"),
        "_solvers.gaussian": ("GaussianTransportResult", "gaussian_transport"),
        "_solvers.grid": ("GridResult", "sinkhorn_grid"),
        "_solvers.line": ("wasserstein_1d",),
        "_solvers.points": ("sinkhorn_points",),
        "_solvers.points_result": ("PointsResult",),
        "_solvers.partial": ("PartialResult", "partial_sinkhorn"),
        "_solvers.progressive": ("ProgressiveResult", "progressive_partial_ot"),
        "_solvers.result": ("HistogramsResult", "SinkhornResult"),
        "_solvers.rounding": ("round_plan",),
        "_solvers.sensitivity": ("PlanGradient",),
        "_solvers.sinkhorn": ("sinkhorn", "sinkhorn2"),
        "_solvers.sliced": (
            "SlicedResult",
            "sliced_wasserstein",
            "vmf_sliced_wasserstein",
        ),
        "_solvers.sliced_kernel": ("sliced_wasserstein_kernel",),
        "_solvers.sparse": ("SparseResult", "sparse_ot"),
        "_solvers.unbalanced": ("UnbalancedResult", "sinkhorn_unbalanced"),
        "_estimators": ("OTDAClassifier", "OTKMeans", "SinkhornTransport"),
    },
)

if TYPE_CHECKING:
    from numopt.ot._estimators import OTDAClassifier, OTKMeans, SinkhornTransport
    from numopt.ot._solvers.barycenter import (
        BarycenterResult,
        barycenter,
        barycenter_grid,
    )
    from numopt.ot._solvers.divergence import DivergenceResult, sinkhorn_divergence
    from numopt.ot._solvers.exact import ExactResult, ot_exact
    from numopt.ot._solvers.free_support import (
        FreeSupportResult,
        free_support_barycenter,
    )
    from numopt.ot._solvers.gaussian import (
        GaussianTransportResult,
        gaussian_transport,
    )
    from numopt.ot._solvers.grid import GridResult, sinkhorn_grid
    from numopt.ot._solvers.line import wasserstein_1d
    from numopt.ot._solvers.partial import PartialResult, partial_sinkhorn
    from numopt.ot._solvers.points import sinkhorn_points
    from numopt.ot._solvers.points_result import PointsResult
    from numopt.ot._solvers.progressive import ProgressiveResult, progressive_partial_ot
    from numopt.ot._solvers.result import HistogramsResult, SinkhornResult
    from numopt.ot._solvers.rounding import round_plan
    from numopt.ot._solvers.sensitivity import PlanGradient
    from numopt.ot._solvers.sinkhorn import sinkhorn, sinkhorn2
    from numopt.ot._solvers.sliced import (
        SlicedResult,
        sliced_wasserstein,
        vmf_sliced_wasserstein,
    )
    from numopt.ot._solvers.sliced_kernel import sliced_wasserstein_kernel
    from numopt.ot._solvers.sparse import SparseResult, sparse_ot
    from numopt.ot._solvers.unbalanced import UnbalancedResult, sinkhorn_unbalanced
