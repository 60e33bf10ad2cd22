# SPDX-License-Identifier: BSD-3-Clause
"""Discrete min-max violation: integer filters, few-bit weights, discrete images.

==================  ==========================================================
room                holds
==================  ==========================================================
``_problem``        level sets, rows, the scaled core, lower bounds
``_solvers``        the search and its methods; filters, layers, projections
``_kernels``        K-best search, polishing, annealing, lattice reduction
``_kernels_cpu``    the same in Numba
``_estimators``     the quantizer of layers and discrete tomography
==================  ==========================================================
"""

from typing import TYPE_CHECKING

from numopt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    attributes={
        "_estimators": ("DiscreteTomography", "MinMaxQuantizer"),
        "_solvers.balance": ("BalanceResult", "balance_vectors", "discrepancy"),
        "_solvers.batch": ("minimize_max_violation_batch",),
        "_solvers.fir.design": ("design_fir",),
        "_solvers.fir.response": ("fir_ripple",),
        "_solvers.fir.result": ("FIRResult",),
        "_solvers.general": ("minimize_max_violation_general",),
        "_solvers.lattice": ("lll_reduce",),
        "_solvers.minimize": (
            "max_violation",
            "minimize_max_violation",
            "violation_lower_bound",
        ),
        "_solvers.projector": ("parallel_beam_matrix",),
        "_solvers.quantize": ("QuantResult", "quantize_layer"),
        "_solvers.result": ("MinMaxBatchResult", "MinMaxResult"),
    },
)

if TYPE_CHECKING:
    from numopt.dmmv._estimators import DiscreteTomography, MinMaxQuantizer
    from numopt.dmmv._solvers.balance import (
        BalanceResult,
        balance_vectors,
        discrepancy,
    )
    from numopt.dmmv._solvers.batch import minimize_max_violation_batch
    from numopt.dmmv._solvers.fir.design import design_fir
    from numopt.dmmv._solvers.fir.response import fir_ripple
    from numopt.dmmv._solvers.fir.result import FIRResult
    from numopt.dmmv._solvers.general import minimize_max_violation_general
    from numopt.dmmv._solvers.lattice import lll_reduce
    from numopt.dmmv._solvers.minimize import (
        max_violation,
        minimize_max_violation,
        violation_lower_bound,
    )
    from numopt.dmmv._solvers.projector import parallel_beam_matrix
    from numopt.dmmv._solvers.quantize import QuantResult, quantize_layer
    from numopt.dmmv._solvers.result import MinMaxBatchResult, MinMaxResult
