# SPDX-License-Identifier: BSD-3-Clause
"""What public functions of balanced transport share: options, running, warm starts."""

import contextlib
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from numopt import _validation as v
from numopt._iterate.loop import iterate
from numopt._kernels.threads import config_context
from numopt.exceptions import ArgumentTypeError
from numopt.ot._problem import CoreProblem
from numopt.ot._solvers.state import Options, Rounds, TransportSolver
from numopt.typing import Array, Callback, Namespace

__all__ = [
    "Control",
    "check_control",
    "check_options",
    "core_start",
    "parse_dtype",
    "run",
    "whole_dual_value",
]

#: "auto" tries this many plain sweeps where they may be enough.
AUTO_SWEEPS = 50


class Control(NamedTuple):
    """Options of a call that do not change the answer."""

    callback: Callback | None
    verbose: int
    n_threads: int | None


def check_control(
    callback: Callback | None, verbose: int, n_threads: int | None
) -> Control:
    """Validate them."""
    return Control(
        v.check_callback(callback),
        v.check_int("verbose", verbose, low=0, high=2),
        None if n_threads is None else v.check_int("n_threads", n_threads, low=1),
    )


def check_options(
    *,
    tol: float,
    max_iter: int,
    scaling: float,
    n_warmup: int = 0,
    density: float | None = None,
    tau: float | None = None,
    max_support: int | None = None,
) -> Options:
    """Validate the numeric options."""
    return Options(
        tol=v.check_real("tol", tol, low=0),
        max_iter=v.check_int("max_iter", max_iter, low=1),
        scaling=v.check_real("scaling", scaling, low=1),
        n_warmup=v.check_int("n_warmup", n_warmup, low=0),
        density=None
        if density is None
        else v.check_real("density", density, low=0, high=1, include_low=False),
        tau=22.0 if tau is None else v.check_real("tau", tau, low=6),
        max_support=None
        if max_support is None
        else v.check_int("max_support", max_support, low=1),
    )


def run(
    core: CoreProblem,
    method: str,
    algorithms: Mapping[str, Rounds],
    options: Options,
    start: tuple[Array, Array] | None,
    control: Control,
) -> tuple[str, dict[str, Any]]:
    """Iterate the chosen algorithm; "auto" may try two."""

    def iterated(name: str, start: Any, max_iter: int) -> dict[str, Any]:
        fields = iterate(
            TransportSolver(algorithms[name], options, name),
            core,
            tol=options.tol,
            max_iter=max_iter,
            callback=control.callback,
            verbose=control.verbose,
            warm_start=start,
            warn=False,
        )
        times = fields["history"]["time"]
        fields["history"]["time_fraction"] = times / max(times[-1], 1e-300)
        return fields

    with contextlib.ExitStack() as stack:
        if control.n_threads is not None:
            stack.enter_context(config_context(num_threads=control.n_threads))
        if method != "auto":
            return method, iterated(method, start, options.max_iter)
        if options.tol <= 1e-4 or core.eps < 0.02 * core.cost_range:
            return "newton", iterated("newton", start, options.max_iter)
        fields = iterated("sinkhorn", start, min(AUTO_SWEEPS, options.max_iter))
        if fields["status"] != "max_iter" or options.max_iter <= AUTO_SWEEPS:
            return "sinkhorn", fields
        start = fields["f"], fields["g"]
        swept = fields["n_iter"]
        fields = iterated("newton", start, options.max_iter - swept)
        fields["n_iter"] += swept
        fields["history"]["n_iter"] = fields["history"]["n_iter"] + swept
        return "newton", fields


def core_start(
    warmstart: Any, core: CoreProblem, like: Array, shapes: tuple[Any, Any]
) -> tuple[Array, Array] | None:
    """Potentials (f, g) or a result with them, in the order of the core problem.

    They must be of the given shapes and of the library of an array.
    """
    if warmstart is None:
        return None
    pair = getattr(warmstart, "f", None), getattr(warmstart, "g", None)
    try:
        f, g = warmstart if pair[0] is None else pair
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            v.message("warmstart", "a result or (f, g)", type(warmstart).__name__)
        ) from error
    xp, (f, g, _) = v.float_arrays(f=f, g=g, like=like)
    for name, x, shape in (("f", f, shapes[0]), ("g", g, shapes[1])):
        v.check_shape("warmstart", x, shape, why=f"(its {name})")
        v.check_values("warmstart", x)
    f, g = (xp.astype(x, xp.float64, copy=False) for x in (f, g))
    f = f if core.rows is None else xp.take(f, core.rows, axis=0)
    g = g if core.columns is None else xp.take(g, core.columns, axis=0)
    return (g, f) if core.swapped else (f, g)


def whole_dual_value(mass: float, reg: float, core_value: float) -> float:
    """Dual value at the caller's mass.

    With weights a = mass * a', P = mass * P', and KL against a b^T instead of a' b'^T
    shifts the objective by ``-reg mass log(mass)`` and by the masses of KL.
    """
    return mass * core_value - reg * mass * math.log(mass) - reg * (mass - mass**2)


def parse_dtype(dtype: Any, xp: Namespace) -> Any:
    """Return the dtype of a name or of a dtype of any library."""
    for name in ("float32", "float64"):
        if dtype == name or dtype == getattr(xp, name):
            return getattr(xp, name)
    raise ValueError(v.message("dtype", "'float32' or 'float64'", repr(dtype)))
