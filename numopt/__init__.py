# SPDX-License-Identifier: BSD-3-Clause
"""Certified numerical optimisation on NumPy, CuPy and torch arrays.

Families are imported on first use:

``numopt.ot``          entropic, unbalanced, partial, sparse and exact optimal transport
``numopt.completion``  matrix completion: ratings, imputation, recovery, outliers
``numopt.coordinate``  block coordinate descent: sparse models, constraints, graphs
``numopt.sbl``         sparse Bayesian learning, also with Kronecker dictionaries
``numopt.cluster``     k-means with a lower bound, semidefinite clustering
``numopt.dmmv``        discrete min-max violation: filters, weights, images
``numopt.bilevel``     hyper-parameters by certified inexact hypergradients

``numopt.datasets`` makes problems, ``numopt.plotting`` draws results.
"""

from typing import TYPE_CHECKING

from numopt._lazy import attach

__version__ = "0.1.0.dev0"

FAMILIES = ("bilevel", "cluster", "completion", "coordinate", "dmmv", "ot", "sbl")

__getattr__, __dir__, __all__ = attach(
    __name__,
    submodules=(*FAMILIES, "datasets", "exceptions", "plotting", "typing"),
    attributes={
        "_kernels.threads": ("config_context", "get_num_threads", "set_num_threads"),
        "_iterate.result": ("SolverResult",),
        "_iterate.callback": ("IterationInfo",),
    },
)

if TYPE_CHECKING:
    from numopt import (
        bilevel,
        cluster,
        completion,
        coordinate,
        datasets,
        dmmv,
        exceptions,
        ot,
        plotting,
        sbl,
        typing,
    )
    from numopt._iterate.callback import IterationInfo
    from numopt._iterate.result import SolverResult
    from numopt._kernels.threads import (
        config_context,
        get_num_threads,
        set_num_threads,
    )
