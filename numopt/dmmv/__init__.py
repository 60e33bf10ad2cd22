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
        "_solvers.lattice": ("lll_reduce",),
        "_solvers.minimize": (
            "max_violation",
            "minimize_max_violation",
            "violation_lower_bound",
        ),
        "_solvers.result": ("MinMaxResult",),
    },
)

if TYPE_CHECKING:
    from numopt.dmmv._solvers.lattice import lll_reduce
    from numopt.dmmv._solvers.minimize import (
        max_violation,
        minimize_max_violation,
        violation_lower_bound,
    )
    from numopt.dmmv._solvers.result import MinMaxResult
