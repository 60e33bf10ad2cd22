# SPDX-License-Identifier: BSD-3-Clause
"""Low-rank matrix completion, weighted low-rank factorisation, imputation.

``complete`` fits a low-rank model to the known entries of a matrix; its methods:
``als`` (noisy data, ridge, biases), ``vb`` (evidence-tuned ratings model),
``gauss_newton`` (exact recovery), ``irls_gauss_newton`` and ``subgradient``
(corrupted entries), ``altmin_sketch``, ``soft_impute``, ``scaled_gd``.
``LowRankImputer`` and ``MatrixCompletionRegressor`` are the estimators. Rooms:
``_problem`` holds validated observations and the objective, ``_solvers`` one file an
algorithm, ``_kernels`` the hot loops, ``_estimators`` the scikit-learn face.
"""

from typing import TYPE_CHECKING

from numopt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    attributes={
        "_estimators": ("LowRankImputer", "MatrixCompletionRegressor"),
        "_solvers": (
            "CompletionResult",
            "Posterior",
            "RMSEResult",
            "complete",
            "completion_path",
            "estimate_rank",
            "heldout_rmse",
            "incoherence",
            "make_low_rank",
            "spectral_init",
            "weighted_low_rank",
        ),
    },
)

if TYPE_CHECKING:
    from numopt.completion._estimators import (
        LowRankImputer,
        MatrixCompletionRegressor,
    )
    from numopt.completion._solvers import (
        CompletionResult,
        Posterior,
        RMSEResult,
        complete,
        completion_path,
        estimate_rank,
        heldout_rmse,
        incoherence,
        make_low_rank,
        spectral_init,
        weighted_low_rank,
    )
