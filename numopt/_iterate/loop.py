# SPDX-License-Identifier: BSD-3-Clause
"""The only loop driver: init, then step and measure until a reason to stop."""

import abc
import time
from typing import Any, Generic, TypeVar

import numpy as np

from numopt._array.namespace import is_array, read_only, to_numpy
from numopt._iterate.callback import IterationInfo
from numopt._iterate.progress import Progress
from numopt._iterate.stopping import Stop, check_stop, warn_not_converged
from numopt._validation import check_verbose
from numopt.typing import Callback

__all__ = ["Monitor", "Solver", "iterate"]

#: Why a solver ends that the keyboard interrupts.
INTERRUPTED = "interrupted from the keyboard; the best so far is returned"

P = TypeVar("P")
S = TypeVar("S")


class Solver(abc.ABC, Generic[P, S]):
    """One algorithm: how to start, take one step, measure and report.

    Subclasses are frozen dataclasses of options. ``P`` is the problem, ``S`` the
    state, a small mutable dataclass that owns its work arrays.
    """

    name = "solver"
    #: Whether states are whole between any two statements of a step, so that the best
    #: so far can be returned when the keyboard interrupts one.
    interruptible = False

    @abc.abstractmethod
    def init(self, problem: P, warm_start: Any) -> S:
        """Return the first state."""

    @abc.abstractmethod
    def step(self, problem: P, state: S) -> S:
        """Advance by one iteration; the state may be modified and returned."""

    @abc.abstractmethod
    def measure(self, problem: P, state: S) -> dict[str, Any]:
        """Return at least "objective" and "residual" of the state.

        Values may be 0-d arrays of any library; the monitor brings them to the host.
        An entry "n_iter" replaces the number of steps as the iteration count.
        """

    @abc.abstractmethod
    def finish(self, problem: P, state: S) -> dict[str, Any]:
        """Return the fields that the family adds to the result."""

    def current(self, state: S) -> Any:
        """Return the iterate (an array or a tuple of arrays) that a callback sees."""
        return None

    def stop(self, problem: P, state: S) -> Stop | None:
        """Return a reason to stop of the algorithm's own, e.g. "stalled"."""
        return None

    def snapshot(self, state: S) -> Any:
        """Return a copy of the iterate to fall back on, or None to keep the last."""
        return None

    def restore(self, state: S, snapshot: Any) -> S:
        """Return the state of a snapshot; a solver that takes some overrides it."""
        raise NotImplementedError(f"{self.name} takes snapshots it cannot restore")


class Monitor:
    """Bring measures to the host, keep the history, call back and show progress."""

    def __init__(
        self, progress: Progress, callback: Callback | None, started: float
    ) -> None:
        self._progress = progress
        self._callback = callback
        self._started = started
        self._rows: list[dict[str, Any]] = []

    def check(self, n_iter: int, metrics: dict[str, Any], x: Any) -> Stop | None:
        """Record one check; a true answer of the callback is a reason to stop."""
        elapsed = time.perf_counter() - self._started
        metrics = {key: _to_host(value) for key, value in metrics.items()}
        self._rows.append({"n_iter": n_iter, "time": elapsed, **metrics})
        self._progress.update(n_iter, metrics)
        if self._callback is None:
            return None
        view = tuple(map(read_only, x)) if isinstance(x, tuple) else read_only(x)
        if self._callback(IterationInfo(n_iter, elapsed, metrics, view)):
            return Stop(
                "callback", f"stopped by the callback after {n_iter} iterations"
            )
        return None

    @property
    def residual(self) -> float:
        """The residual of the last check."""
        return self._rows[-1]["residual"]

    def history(self) -> dict[str, np.ndarray]:
        """Return the checks as equal-length arrays."""
        return {
            key: np.asarray([row[key] for row in self._rows]) for key in self._rows[0]
        }


def iterate(
    solver: Solver[P, S],
    problem: P,
    *,
    tol: float,
    max_iter: int,
    callback: Callback | None = None,
    verbose: int = 0,
    check_every: int = 1,
    warm_start: Any = None,
    warn: bool = True,
) -> dict[str, Any]:
    """Run a solver and return the fields of its result.

    The start is measured too, so a problem solved by its warm start takes no step.
    Convergence is ``residual <= tol``; every ``check_every`` steps is measured, the
    last always. Best iterates are kept where the solver gives snapshots.
    """
    verbose = check_verbose(verbose)
    started = time.perf_counter()
    state = solver.init(problem, warm_start)
    module = type(solver).__module__
    best, best_residual = None, float("inf")
    with Progress(verbose, total=max_iter, name=solver.name, module=module) as progress:
        monitor = Monitor(progress, callback, started)
        steps = 0
        interrupted: Stop | None = None
        while True:
            metrics = solver.measure(problem, state)
            n_iter = int(metrics.pop("n_iter", steps))
            x = None if callback is None else solver.current(state)
            by_callback = monitor.check(n_iter, metrics, x)
            stop = (
                interrupted
                or check_stop(monitor.residual, n_iter, tol=tol, max_iter=max_iter)
                or solver.stop(problem, state)
                or by_callback
            )
            if stop is not None:
                break
            if monitor.residual < best_residual:
                best, best_residual = solver.snapshot(state), monitor.residual
            try:
                for _ in range(min(check_every, max(1, max_iter - n_iter))):
                    state = solver.step(problem, state)
                    steps += 1
            except KeyboardInterrupt:
                if not solver.interruptible:
                    raise
                interrupted = Stop("callback", INTERRUPTED)
    if best is not None and not monitor.residual <= best_residual:
        state = solver.restore(state, best)
    if warn and stop.status not in ("converged", "callback"):
        warn_not_converged(solver.name, stop.message)
    return {
        "n_iter": n_iter,
        "converged": stop.status == "converged",
        "message": stop.message,
        "status": stop.status,
        "history": monitor.history(),
        **solver.finish(problem, state),
    }


def _to_host(value: Any) -> Any:
    """A Python scalar of a 0-d array or NumPy scalar; other values as they are."""
    if type(value) is float or type(value) is int:  # nearly always
        return value
    if is_array(value):
        return to_numpy(value).item()
    return value.item() if isinstance(value, np.generic) else value
