# SPDX-License-Identifier: BSD-3-Clause
"""How it is solved: one small class per algorithm and the public functions."""

from numopt.completion._solvers.complete import complete
from numopt.completion._solvers.heldout import RMSEResult, heldout_rmse
from numopt.completion._solvers.result import CompletionResult, Posterior
from numopt.completion._solvers.selection import completion_path, estimate_rank
from numopt.completion._solvers.spectral import incoherence, spectral_init
from numopt.completion._solvers.weighted import weighted_low_rank
from numopt.datasets._completion import make_low_rank

__all__ = [
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
]
