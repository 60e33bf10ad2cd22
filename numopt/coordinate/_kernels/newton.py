# SPDX-License-Identifier: BSD-3-Clause
"""The rules of proximal Newton steps, and the name of their compiled loop."""

from typing import Any, NamedTuple

import numpy as np

from numopt._kernels.dispatch import sequential_kernel
from numopt.coordinate._kernels.descent import BALANCE

__all__ = ["RULES", "NewtonRules", "newton_logistic"]


class NewtonRules(NamedTuple):
    """Rules of a Newton step, the same for compiled and array-level loops."""

    #: Newton steps between two products with the whole design.
    max_steps: int = 20
    #: Share of the predicted decrease that is asked for.
    armijo: float = 1e-4
    #: Rounding of the objective: steps that change it less are taken on trust.
    rounding: float = 1e-14
    #: Below this step length an upper bound replaces the curvature.
    short: float = 0.2
    #: Full steps that bring much are tried at this length as well.
    long: float = 2.0
    #: Curvatures that all changed less than this, relatively, keep their Gram matrix.
    reuse: float = 0.2
    #: Relative diagonal shift of the model, against flat directions.
    damping: float = 1e-12
    #: The same where the Gram matrix is in single precision.
    rough_damping: float = 1e-5
    #: Coefficients beyond are those of a model that is unbounded below.
    unbounded: float = 1e100
    #: Samples of less curvature lie on a straight part of the loss.
    straight: float = 1e-50
    #: Passes of the solver of a model, and its Newton work per descent work.
    max_epochs: int = 5_000
    balance: float = BALANCE


RULES = NewtonRules()

newton_logistic = sequential_kernel(
    "newton_logistic",
    """Newton steps for the logistic loss with a separable penalty.

    min sum_i share_i log(1 + exp(-y_i z_i)) + sum_j l1_j |x_j| + l2_j x_j^2 / 2 within
    bounds, ``z = X x + b``; returns (steps, whether this is the end, x, z, derivatives,
    mean loss, weights of the Gram matrix, decrease of the last step).
    """,
    numpy="numopt.coordinate._kernels_cpu.newton:newton_logistic",
)


@newton_logistic.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    m = min(size, 40)
    n = m + 5
    rows = rng.standard_normal((m, n))
    y = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    terms = np.full(m, 0.05), np.zeros(m), np.full(m, -np.inf), np.full(m, np.inf)
    return (
        rows,
        y,
        np.full(n, 1.0 / n),
        np.zeros(n),
        -0.5 * y,
        np.full(n, 0.25),
        float(np.log(2.0)),
        np.zeros(m),
        *terms,
        np.empty((m, m)),
        np.empty(0),
        False,
        float(np.log(2.0)),
        1e-3,
        1e-9,
        1e-2,
        RULES,
    )
