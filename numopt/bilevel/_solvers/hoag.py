# SPDX-License-Identifier: BSD-3-Clause
"""``hoag``: a schedule of accuracies fixed beforehand, the baseline."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import to_numpy
from numopt._iterate.stopping import warn_not_converged
from numopt.bilevel._problem.arrays import norm
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.bilevel._solvers.literal import plain_value
from numopt.bilevel._solvers.maid import run_outer
from numopt.bilevel._solvers.outer import OuterOptions, OuterSolver, OuterState
from numopt.bilevel._solvers.point import Point
from numopt.bilevel._solvers.result import BilevelResult
from numopt.bilevel._solvers.single import ACCURACIES
from numopt.typing import Array, Callback

__all__ = ["SCHEDULES", "Hoag", "hoag"]

SCHEDULES = ("geometric", "quadratic", "cubic")
#: Constants of the published step-size rule.
C, GROW, SHRINK, WORSE = 0.25, 0.95, 2.0, 0.2


@dataclasses.dataclass
class Hoag(OuterSolver):
    """Gradient steps of length 1/L, L adapted by the published rule."""

    schedule: tuple[float, ...] | str = "quadratic"

    name = "hoag"

    def settle(self, state: OuterState) -> None:
        """First L: a step of root mean square 1."""
        z = self.evaluator.gradient(state.point)
        size = max(1, int(np.prod(z.shape)))
        state.memory = {"L": norm(z) / size**0.5, "k": 0}
        if self.options.step0 is not None:
            state.memory["L"] = 1 / self.options.step0
        plain_value(state.point, self.oracle.L_g)

    def tolerance(self, k: int, first: float) -> float:
        """Accuracy of iteration k."""
        if not isinstance(self.schedule, str):
            return self.schedule[min(k, len(self.schedule) - 1)]
        power = {"quadratic": 2, "cubic": 3}
        if self.schedule == "geometric":
            return first * 0.9**k
        return first * (k + 1.0) ** -power[self.schedule]

    def step(self, problem: BilevelProblem, state: OuterState) -> OuterState:
        """One step; a value 20 % worse is rejected and L doubled."""
        memory, point = state.memory, state.point
        z = self.evaluator.gradient(point)
        eps_old = state.eps
        memory["k"] += 1
        first = self.options.eps0 or 0.1
        state.eps = state.delta = self.tolerance(memory["k"], first)
        for _ in range(60):
            theta = self.clip(state, point.theta - z / memory["L"])
            trial = self._evaluate(state, theta)
            length = norm(theta - point.theta)
            gain = C * state.eps + eps_old * (C + 1) * length - memory["L"] * length**2
            if trial.g <= point.g + gain:
                state.step = 1 / memory["L"]
                memory["L"] *= GROW
                break
            if trial.g >= point.g + WORSE * abs(point.g):
                state.n_failures += 1
                memory["L"] *= SHRINK
                continue
            state.step = 1 / memory["L"]
            break
        else:
            self.collapse(state, precision=False)
            return state
        self.accept(state, trial)
        return state

    def accept(self, state: OuterState, point: Point) -> None:
        """Move; values are not certified, so they decide nothing but flatness."""
        change = abs(state.point.g - point.g)
        flat = change <= self.options.ftol * max(abs(point.g), 1e-300)
        state.n_flat = state.n_flat + 1 if flat else 0
        state.point, state.upper_end = point, point.value + point.bound

    def _evaluate(self, state: OuterState, theta: Array) -> Point:
        point = state.point
        trial = self.evaluator.evaluate(theta, point.x, point.q, state.eps, state.delta)
        plain_value(trial, self.oracle.L_g)
        return trial


def hoag(
    problem: BilevelProblem,
    theta0: Array,
    *,
    schedule: str | Sequence[float] = "quadratic",
    eps0: float = 0.1,
    x0: Array | None = None,
    solver: str = "auto",
    accuracy: str = "certified",
    step0: float | None = None,
    gtol: float = 1e-3,
    ftol: float = 1e-6,
    max_iter: int = 200,
    max_work: int | None = None,
    f_target: float | None = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> BilevelResult:
    r"""Minimise over theta with accuracies fixed beforehand (HOAG), a baseline.

    Iteration k solves the lower level and the adjoint to ``eps_k`` and takes a gradient
    step of length 1/L with L adapted to the values seen. There is no guarantee of
    descent: use ``maid``.

    Parameters
    ----------
    problem : BilevelProblem
        The problem.
    theta0 : array
        Start, inside the bounds.
    schedule : str or sequence of float, default="quadratic"
        "geometric" (``eps0 * 0.9**k``), "quadratic" (``eps0 / k**2``), "cubic"
        (``eps0 / k**3``), or the accuracies themselves, the last one kept.
    eps0 : float, default=0.1
        First accuracy.
    x0 : array, default=None
        Lower-level start.
    solver : str, default="auto"
        Inner solver, as in ``solve_lower``.
    accuracy : str, default="certified"
        "certified" or "estimate", as in ``hypergradient``.
    step0 : float, default=None
        First step length 1/L; None makes the first step of root mean square 1.
    gtol, ftol : float, default=1e-3 and 1e-6
        Stop when the largest component of the projected gradient is at most ``gtol``
        times the larger of 1 and the first; or when the value changes by less than
        ``ftol``, relatively, twice running.
    max_iter : int, default=200
        Bound on outer steps.
    max_work : int, default=None
        Bound on lower gradients plus Hessian products, looked at between steps.
    f_target : float, default=None
        Stop once ``value + value_bound`` is at most this.
    callback : callable, default=None
        Called as ``callback(info)`` after every step; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=True
        Issue a ConvergenceWarning when no tolerance was reached, or when the value
        rose above its start three times.

    Returns
    -------
    BilevelResult
        Hyper-parameters and counts.

    Raises
    ------
    ValueError
        When an argument is wrong.

    See Also
    --------
    maid : Adaptive accuracies with certified descent.

    References
    ----------
    Pedregosa (2016), Hyperparameter optimization with approximate gradient, ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import QuadraticProblem, hoag
    >>> eye, one = np.eye(2), np.ones(2)
    >>> result = hoag(QuadraticProblem(eye, one, eye, eye, 3 * one), [0.0, 0.0])
    >>> result.theta.round(2).tolist()
    [2.0, 2.0]
    """
    if isinstance(schedule, str):
        v.check_choice("schedule", schedule, SCHEDULES)
        steps: tuple[float, ...] | str = schedule
    else:
        _, (values,) = v.float_arrays(schedule=schedule)
        v.check_ndim("schedule", values, 1)
        low, _ = v.check_values("schedule", values)
        if not low > 0:
            raise ValueError(v.message("schedule", "positive", f"minimum {low}"))
        steps = tuple(float(one) for one in to_numpy(values))
    eps0 = v.check_real("eps0", eps0, low=0, include_low=False)
    first = eps0 if isinstance(steps, str) else steps[0]
    v.check_choice("accuracy", accuracy, ACCURACIES)
    options = OuterOptions(
        solver=solver,
        accuracy=accuracy,
        eps0=first,
        step0=step0,
        gtol=gtol,
        ftol=ftol,
        max_work=max_work,
        f_target=f_target,
    )
    fields: dict[str, Any] = {"schedule": steps}
    result = run_outer(
        Hoag,
        fields,
        problem,
        theta0,
        x0,
        options,
        max_iter=max_iter,
        callback=callback,
        verbose=verbose,
        warn=warn,
    )
    values = result.history["value"]
    if warn and np.count_nonzero(values > values[0]) >= 3:
        warn_not_converged(
            "hoag", "the value rose above its start three times; use maid"
        )
    return result
