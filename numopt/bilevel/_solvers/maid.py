# SPDX-License-Identifier: BSD-3-Clause
"""``maid``: minimise over theta with adaptive, certified inexactness."""

import dataclasses
from typing import Any

from numopt import _validation as v
from numopt._array.namespace import read_only
from numopt._iterate.callback import IterationInfo
from numopt._iterate.loop import iterate
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.bilevel._solvers.literal import Maid
from numopt.bilevel._solvers.lower import SOLVERS
from numopt.bilevel._solvers.oracle import Oracle
from numopt.bilevel._solvers.outer import OuterOptions, OuterSolver, Start
from numopt.bilevel._solvers.point import Evaluator
from numopt.bilevel._solvers.quasi_newton import QuasiNewton
from numopt.bilevel._solvers.result import BilevelResult
from numopt.bilevel._solvers.single import (
    ACCURACIES,
    check_problem_type,
    check_theta,
)
from numopt.typing import Array, Callback

__all__ = ["METHODS", "maid", "run_outer"]

METHODS = ("maid-qn", "maid-bb", "maid")


def maid(
    problem: BilevelProblem,
    theta0: Array,
    *,
    x0: Array | None = None,
    method: str = "maid-qn",
    solver: str = "auto",
    accuracy: str = "certified",
    eps0: float | None = None,
    delta0: float | None = None,
    step0: float | None = None,
    tau: float = 0.01,
    gtol: float = 1e-3,
    ftol: float = 1e-6,
    max_iter: int = 200,
    max_work: int | None = None,
    max_step: float = 4.0,
    memory: int = 10,
    rho: float = 0.5,
    rho_up: float = 10 / 9,
    nu: float = 0.5,
    nu_up: float = 1.25,
    lam: float = 1e-4,
    eta: float = 1e-2,
    max_bt: int = 10,
    f_target: float | None = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> BilevelResult:
    r"""Minimise a bilevel problem over its hyper-parameters.

    .. math:: \min_\theta f(\theta) = g(x^*(\theta), \theta), \qquad
              x^*(\theta) = \arg\min_x h(x, \theta).

    Neither f nor its gradient can be evaluated exactly. The line search accepts a step
    only where the inexact values, with their bounds, prove a decrease of f, and lowers
    the accuracies only where that proof asks for it.

    Parameters
    ----------
    problem : BilevelProblem
        The problem; your own levels or a ready one.
    theta0 : array
        Start, inside the bounds.
    x0 : array, default=None
        Lower-level start; None takes the problem's own.
    method : str, default="maid-qn"
        "maid-qn": quasi-Newton directions, adjoint-corrected values, one search over
        step and accuracy. "maid-bb": the same with Barzilai-Borwein steps, for very
        many hyper-parameters. "maid": the published method, literally.
    solver : str, default="auto"
        Inner solver: "newton-cg", "agd", "lbfgs", "direct", or "auto".
    accuracy : str, default="certified"
        "certified" measures distances by the modulus of strong convexity, "estimate"
        by the curvature that conjugate gradients met: far less work where the modulus
        is tiny, at the price of the proof.
    eps0, delta0 : float, default=None
        First accuracies of x (distance) and of the adjoint (residual). None: 5 % of
        what they are at the start.
    step0 : float, default=None
        First step length. None: a step of root mean square 1, or 1.5 where theta are
        the logarithms of more than 50 penalties ("maid": 0.01).
    tau : float, default=0.01
        Relative accuracy of hypergradients for "maid-qn" and "maid-bb"; 0.1 is enough
        for imaging.
    gtol : float, default=1e-3
        Stop when the largest component of the projected hypergradient is at most this
        times the larger of 1 and the first.
    ftol : float, default=1e-6
        Stop when the upper end of the value decreases by less than this, relatively,
        twice running.
    max_iter : int, default=200
        Bound on accepted steps.
    max_work : int, default=None
        Bound on lower gradients plus Hessian products, looked at between steps.
    max_step : float, default=4.0
        Largest change of a component of theta in one step, doubled while steps of that
        length bring half of their linear prediction; 1.0 suits imaging.
    memory : int, default=10
        Curvature pairs kept; up to 50 hyper-parameters as many as there are.
    rho, rho_up : float, default=0.5 and 10/9
        Step factors after failure and success ("maid").
    nu, nu_up : float, default=0.5 and 1.25
        Accuracy factors after failure ("maid") and success.
    lam, eta : float, default=1e-4 and 1e-2
        Constants of the sufficient decrease and of the descent test.
    max_bt : int, default=10
        Backtracking steps of one line search.
    f_target : float, default=None
        Stop once ``value + value_bound`` is at most this.
    callback : callable, default=None
        Called as ``callback(info)`` at the start and after every accepted step, with
        ``info.theta, info.x, info.value, info.value_bound, info.gradient_norm,
        info.n_iter, info.work``; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=True
        Issue a ConvergenceWarning when no tolerance was reached.

    Returns
    -------
    BilevelResult
        Hyper-parameters, value with its bound, counts of work.

    Raises
    ------
    ValueError
        When an argument is wrong, or a level returns a number that is not finite or
        constants that contradict strong convexity.

    Warns
    -----
    ConvergenceWarning
        When no tolerance was reached and ``warn`` is set.

    See Also
    --------
    hypergradient : One evaluation.
    check_problem : Check derivatives of one's own levels.
    hoag : The baseline with fixed schedules.

    Notes
    -----
    Work is counted in lower gradients plus Hessian products. An outer step of
    "maid-qn" costs 2-4 Newton steps or 10-60 accelerated gradient steps, and 5-40
    products. Arrays of any array-API library are taken; theta is float64. With one or
    two hyper-parameters derivative-free search is a serious rival.

    References
    ----------
    Salehi, Mukherjee, Roberts & Ehrhardt (2025), An adaptively inexact first-order
    method for bilevel optimization with application to hyperparameter learning, SIAM
    J. Math. Data Sci. 7(3), algorithms 3.1 and 3.2. Xie, Byrd & Nocedal (2020),
    Analysis of the BFGS method with errors, SIAM J. Optim. 30(1).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import RidgeProblem, maid
    >>> rng = np.random.default_rng(0)
    >>> X, Xv = rng.normal(size=(40, 6)), rng.normal(size=(40, 6))
    >>> w = np.array([1.0, -1.0, 0.0, 0.0, 0.0, 0.0])
    >>> y, yv = X @ w + rng.normal(size=40), Xv @ w + rng.normal(size=40)
    >>> problem = RidgeProblem(X, y, Xv, yv, groups=[0, 0, 1, 1, 1, 1])
    >>> result = maid(problem, problem.theta0)
    >>> bool(result.theta[1] > result.theta[0])
    True
    """
    v.check_choice("method", method, METHODS)
    options = OuterOptions(
        solver=solver,
        accuracy=accuracy,
        eps0=eps0,
        delta0=delta0,
        step0=step0,
        tau=tau,
        gtol=gtol,
        ftol=ftol,
        max_work=max_work,
        max_step=max_step,
        memory=memory,
        rho=rho,
        rho_up=rho_up,
        nu=nu,
        nu_up=nu_up,
        lam=lam,
        eta=eta,
        max_bt=max_bt,
        f_target=f_target,
    )
    kind: type[OuterSolver] = Maid if method == "maid" else QuasiNewton
    fields = {} if method == "maid" else {"spectral": method == "maid-bb"}
    return run_outer(
        kind,
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


def run_outer(
    kind: type[OuterSolver],
    fields: dict[str, Any],
    problem: Any,
    theta0: Any,
    x0: Any,
    options: OuterOptions,
    *,
    max_iter: int,
    callback: Callback | None,
    verbose: int,
    warn: bool,
) -> BilevelResult:
    """Validate, iterate, and make the result of an outer algorithm."""
    problem = check_problem_type(problem)
    theta = check_theta(problem, theta0, "theta0")
    options = _checked(options)
    v.check_callback(callback)
    oracle = Oracle(problem, options.accuracy)
    solver = kind(options, Evaluator(oracle, options.solver), **fields)
    found = iterate(
        solver,
        problem,
        tol=options.gtol,
        max_iter=v.check_int("max_iter", max_iter, low=0),
        callback=None if callback is None else _with_theta(callback),
        verbose=v.check_int("verbose", verbose, low=0, high=2),
        warm_start=Start(theta, x0),
        warn=v.check_flag("warn", warn),
    )
    return BilevelResult(**found)


def _with_theta(callback: Callback) -> Callback:
    """Give the callback ``info.theta`` and ``info.x``."""

    def call(info: IterationInfo) -> Any:
        theta, x = info.x
        metrics = info.metrics | {"theta": read_only(theta)}
        return callback(IterationInfo(info.n_iter, info.time, metrics, read_only(x)))

    return call


def _checked(o: OuterOptions) -> OuterOptions:
    """Validate the numeric options by the names of their arguments."""
    v.check_choice("solver", o.solver, SOLVERS)
    v.check_choice("accuracy", o.accuracy, ACCURACIES)
    for name in ("eps0", "delta0", "step0"):
        if getattr(o, name) is not None:
            v.check_real(name, getattr(o, name), low=0, include_low=False)
    for name in ("tau", "gtol", "ftol"):
        v.check_real(name, getattr(o, name), low=0)
    v.check_real("max_step", o.max_step, low=0, include_low=False)
    for name in ("rho", "nu"):
        value = getattr(o, name)
        v.check_real(name, value, low=0, high=1, include_low=False, include_high=False)
    for name in ("rho_up", "nu_up"):
        v.check_real(name, getattr(o, name), low=1, include_low=False)
    eta = v.check_real("eta", o.eta, low=0, high=1, include_high=False)
    lam = v.check_real("lam", o.lam, low=0, include_low=False)
    if not lam < eta:
        raise ValueError(v.message("lam", f"less than `eta` = {eta:g}", lam))
    v.check_int("memory", o.memory, low=1)
    v.check_int("max_bt", o.max_bt, low=1)
    if o.max_work is not None:
        v.check_int("max_work", o.max_work, low=1)
    if o.f_target is not None:
        v.check_real("f_target", o.f_target)
    return dataclasses.replace(o, step0=None if o.step0 is None else float(o.step0))
