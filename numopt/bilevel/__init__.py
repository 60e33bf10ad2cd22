# SPDX-License-Identifier: BSD-3-Clause
"""Bilevel learning of hyper-parameters by certified inexact hypergradients.

==================  ==========================================================
room                holds
==================  ==========================================================
``_problem``        the two levels as protocols, ready problems
``_solvers``        ``maid``, ``hoag``, ``hypergradient``, ``solve_lower``
``_kernels``        fused stencils of image regularisers, by formula
``_kernels_cpu``    the same in Numba, ``_kernels_gpu`` in CUDA
``_estimators``     penalties per block of features, learned denoisers
==================  ==========================================================
"""

from typing import TYPE_CHECKING

from numopt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    attributes={
        "_estimators.denoising": ("TVDenoiser",),
        "_estimators.experts": ("FoEDenoiser",),
        "_estimators.logistic": ("BilevelLogisticRegression",),
        "_estimators.ridge": ("BilevelRidge",),
        "_problem.protocols": ("BilevelProblem", "LowerLevel", "UpperLevel"),
        "_problem.check": ("check_problem",),
        "_problem.cross_validated": ("CrossValidated",),
        "_problem.experts": ("FoEDenoisingProblem",),
        "_problem.logistic": ("HyperCleaningProblem", "LogisticProblem"),
        "_problem.quadratic": ("QuadraticProblem",),
        "_problem.ridge": ("RidgeProblem",),
        "_problem.tv": ("TVDenoisingProblem",),
        "_solvers.hoag": ("hoag",),
        "_solvers.maid": ("maid",),
        "_solvers.result": (
            "BilevelResult",
            "HypergradientResult",
            "LowerLevelResult",
        ),
        "_solvers.single": ("hypergradient", "solve_lower"),
    },
)

if TYPE_CHECKING:
    from numopt.bilevel._estimators.denoising import TVDenoiser
    from numopt.bilevel._estimators.experts import FoEDenoiser
    from numopt.bilevel._estimators.logistic import BilevelLogisticRegression
    from numopt.bilevel._estimators.ridge import BilevelRidge
    from numopt.bilevel._problem.check import check_problem
    from numopt.bilevel._problem.cross_validated import CrossValidated
    from numopt.bilevel._problem.experts import FoEDenoisingProblem
    from numopt.bilevel._problem.logistic import HyperCleaningProblem, LogisticProblem
    from numopt.bilevel._problem.protocols import (
        BilevelProblem,
        LowerLevel,
        UpperLevel,
    )
    from numopt.bilevel._problem.quadratic import QuadraticProblem
    from numopt.bilevel._problem.ridge import RidgeProblem
    from numopt.bilevel._problem.tv import TVDenoisingProblem
    from numopt.bilevel._solvers.hoag import hoag
    from numopt.bilevel._solvers.maid import maid
    from numopt.bilevel._solvers.result import (
        BilevelResult,
        HypergradientResult,
        LowerLevelResult,
    )
    from numopt.bilevel._solvers.single import hypergradient, solve_lower
