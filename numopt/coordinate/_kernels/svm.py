# SPDX-License-Identifier: BSD-3-Clause
"""Name of the compiled dual descent of support vector machines."""

from typing import Any

import numpy as np

from numopt._kernels.dispatch import sequential_kernel

__all__ = ["svm_epochs"]

svm_epochs = sequential_kernel(
    "svm_epochs",
    """Passes of dual coordinate descent, ``a_i <- clip(a_i - grad_i / Q_ii)``.

    Hsieh et al. (2008), "A dual coordinate descent method for large-scale linear SVM",
    algorithm 3 (rows at a bound are set aside). Writes ``a`` and ``w``, returns the
    sum of a.
    """,
    numpy="numopt.coordinate._kernels_cpu.svm:svm_epochs",
)


@svm_epochs.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    n, p = min(size, 50), 4
    X = rng.standard_normal((n, p))
    return (
        X.ravel(),
        np.tile(np.arange(p, dtype=np.int32), n),
        np.arange(0, n * p + 1, p, dtype=np.int32),
        np.where(rng.random(n) < 0.5, -1.0, 1.0),
        (X * X).sum(axis=1),
        np.zeros(n),
        np.ones(n),
        3,
        np.arange(n),
        np.zeros(n),
        np.zeros(p),
    )
