# SPDX-License-Identifier: BSD-3-Clause
"""Sparse Bayesian learning: general, multi-task, block and Kronecker models.

==================  ==========================================================
room                holds
==================  ==========================================================
``_problem``        the linear Gaussian model and its log evidence
``_solvers``        ``sbl``, ``block_sbl``, ``kronecker_sbl``, results
``_kernels``        sequential evidence ascent, fused set-up, by formula
``_kernels_cpu``    the same in Numba
``_estimators``     regressors and the Kronecker sparse coder
==================  ==========================================================
"""

from typing import TYPE_CHECKING

from numopt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    attributes={
        "_estimators": (
            "BlockSBLRegressor",
            "KroneckerSBL",
            "MultiTaskSBL",
            "RVMRegressor",
            "SBLRegressor",
        ),
        "_problem": ("log_evidence",),
        "_solvers.block": ("BlockSBLResult", "block_sbl"),
        "_solvers.general": ("sbl",),
        "_solvers.kron_algebra": (
            "kron_log_evidence",
            "kron_matvec",
            "kron_posterior",
            "kron_rmatvec",
        ),
        "_solvers.kronecker": ("KroneckerSBLResult", "kronecker_sbl"),
        "_solvers.result": ("SBLResult",),
    },
)

if TYPE_CHECKING:
    from numopt.sbl._estimators import (
        BlockSBLRegressor,
        KroneckerSBL,
        MultiTaskSBL,
        RVMRegressor,
        SBLRegressor,
    )
    from numopt.sbl._problem import log_evidence
    from numopt.sbl._solvers.block import BlockSBLResult, block_sbl
    from numopt.sbl._solvers.general import sbl
    from numopt.sbl._solvers.kron_algebra import (
        kron_log_evidence,
        kron_matvec,
        kron_posterior,
        kron_rmatvec,
    )
    from numopt.sbl._solvers.kronecker import KroneckerSBLResult, kronecker_sbl
    from numopt.sbl._solvers.result import SBLResult
