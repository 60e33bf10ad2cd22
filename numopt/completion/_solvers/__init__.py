# SPDX-License-Identifier: BSD-3-Clause
"""How it is solved: one small class per algorithm and the public functions."""

from numopt.completion._solvers._complete import complete
from numopt.completion._solvers._result import CompletionResult, Posterior
from numopt.completion._solvers._spectral import incoherence, spectral_init
from numopt.datasets._completion import make_low_rank

__all__ = [
    "CompletionResult",
    "Posterior",
    "complete",
    "incoherence",
    "make_low_rank",
    "spectral_init",
]
