# SPDX-License-Identifier: BSD-3-Clause
"""Checked options of ``complete`` and the choice of its method."""

import dataclasses
import math
from typing import Any

from numopt._array.namespace import to_numpy
from numopt._iterate.loop import iterate
from numopt._validation import (
    check_callback,
    check_choice,
    check_flag,
    check_int,
    check_real,
    message,
)
from numopt.completion._problem import Observations, Penalty, check_rank
from numopt.completion._solvers.result import BIASES
from numopt.typing import Callback

__all__ = ["Options", "check_options"]

METHODS = (
    "auto",
    "als",
    "vb",
    "gauss_newton",
    "irls_gauss_newton",
    "altmin_sketch",
    "soft_impute",
    "scaled_gd",
    "subgradient",
)
LOSSES = ("squared", "huber", "l1")
ROBUST = ("irls_gauss_newton", "subgradient")
#: Methods that fit no penalty, and those that fit no bias.
UNPENALISED = ("gauss_newton", *ROBUST)
UNBIASED = (*UNPENALISED, "altmin_sketch", "soft_impute", "scaled_gd")
MAX_ITER = {
    "gauss_newton": 60,
    "irls_gauss_newton": 60,
    "scaled_gd": 2000,
    "subgradient": 2000,
    "soft_impute": 1000,
}
TOL = {"vb": 1e-4, "gauss_newton": 1e-10, "irls_gauss_newton": 1e-10}
DEFAULT_MAX_ITER, DEFAULT_TOL = 100, 1e-6
#: Bytes of posterior covariances up to which "auto" chooses the evidence model.
POSTERIOR_LIMIT = 1 << 30


@dataclasses.dataclass(frozen=True)
class Options:
    """Checked options of :func:`complete`, as the methods read them.

    ``alpha`` is NaN when the data choose it: by evidence ("vb"), or on entries kept
    back ("als", where the posterior of "vb" would not fit in memory).
    """

    rank: int
    method: str
    loss: str
    alpha: float
    alpha_scaling: str
    bias: str
    alpha_bias: float
    nonnegative: bool
    init: str
    clip_incoherence: float | None
    inner: str
    cg_steps: int
    acceleration: str | None
    rank_schedule: str
    n_restarts: int
    precond: str
    resample: bool
    max_iter: int
    tol: float
    validation_fraction: float
    random_state: Any
    callback: Callback | None
    verbose: int
    warn: bool
    warm_start: Any = None

    @property
    def closed_form(self) -> bool:
        """Whether the closed form of a full matrix holds."""
        even = self.alpha_scaling == "constant" or self.alpha == 0
        even = even and not math.isnan(self.alpha)
        plain = self.bias == "none" and self.loss == "squared"
        direct_methods = ("als", "gauss_newton", "soft_impute")
        return even and plain and not self.nonnegative and self.method in direct_methods

    @property
    def fresh_rounds(self) -> int | None:
        """Rounds on fresh entries, one for each halving of the error; None: no such."""
        if not self.resample:
            return None
        return min(self.max_iter, max(1, math.ceil(math.log2(1 / self.tol))))

    @property
    def parts(self) -> int:
        """Parts into which the entries are cut."""
        return 1 if self.fresh_rounds is None else 2 * self.fresh_rounds + 1

    @property
    def penalty(self) -> Penalty:
        """Ridge penalties."""
        return Penalty(self.alpha, self.alpha_bias, self.alpha_scaling)

    def run(self, solver: Any, problem: Observations, **changes: Any) -> dict[str, Any]:
        """Iterate a solver with the stopping options."""
        settings = {
            "tol": self.tol,
            "max_iter": self.max_iter,
            "callback": self.callback,
            "verbose": self.verbose,
            "warn": self.warn,
            "warm_start": self.warm_start,
            **changes,
        }
        return iterate(solver, problem, **settings)


def check_options(problem: Observations, **given: Any) -> Options:
    """Check every option and choose the method."""
    o = dict(given)
    o["rank"] = check_rank(o["rank"], problem.shape)
    o["alpha"] = _check_alpha(o["alpha"], o["method"])
    for name, choices in (
        ("method", METHODS),
        ("loss", LOSSES),
        ("alpha_scaling", ("constant", "count")),
        ("bias", BIASES),
        ("init", ("spectral", "random")),
        ("inner", ("auto", "cholesky", "cg")),
        ("rank_schedule", ("auto", "continuation", "plain")),
        ("precond", ("jacobi", "sketch")),
    ):
        check_choice(name, o[name], choices)
    if o["acceleration"] is not None:
        check_choice("acceleration", o["acceleration"], ("anderson",))
    if o["alpha_bias"] is None:
        o["alpha_bias"] = o["alpha"]
    if not math.isnan(o["alpha_bias"]):
        o["alpha_bias"] = check_real("alpha_bias", o["alpha_bias"], low=0)
    if o["clip_incoherence"] is not None:
        check_real("clip_incoherence", o["clip_incoherence"], low=1)
    check_flag("nonnegative", o["nonnegative"])
    if o["nonnegative"] and problem.weighted_mean() < 0:
        mean = problem.weighted_mean()
        expected = "of non-negative mean with nonnegative=True"
        raise ValueError(message("X", expected, f"mean {mean:.3g}"))
    check_flag("warn", o["warn"])
    check_flag("resample", o["resample"])
    check_int("cg_steps", o["cg_steps"], low=1)
    check_int("n_restarts", o["n_restarts"], low=0)
    check_real(
        "validation_fraction", o["validation_fraction"], low=0, high=1,
        include_high=False,
    )  # fmt: skip
    check_callback(o["callback"])
    o["method"] = _choose(o, problem)
    method = o["method"]
    o["max_iter"] = (
        MAX_ITER.get(method, DEFAULT_MAX_ITER)
        if o["max_iter"] is None
        else check_int("max_iter", o["max_iter"], low=0)
    )
    o["tol"] = (
        TOL.get(method, DEFAULT_TOL)
        if o["tol"] is None
        else check_real("tol", o["tol"], low=0, include_low=False)
    )
    options = Options(**o)
    if problem.n_observed < options.parts:
        expected = f"of at least {options.parts} entries with resample=True"
        raise ValueError(message("X", expected, f"{problem.n_observed} entries"))
    return options


def _check_alpha(alpha: Any, method: Any) -> float:
    """Return the ridge penalty; NaN stands for "by evidence"."""
    if isinstance(alpha, str):
        if alpha != "auto":
            raise ValueError(message("alpha", "a number or 'auto'", repr(alpha)))
        check_choice("method", method, ("auto", "vb"))
        return math.nan
    alpha = check_real("alpha", alpha, low=0)
    return math.nan if method == "vb" else alpha


def _posterior_bytes(problem: Observations, rank: int) -> int:
    """Memory of the posterior covariances of all rows and columns."""
    itemsize = to_numpy(problem.by_row.values[:0]).itemsize
    return sum(problem.shape) * (rank + 1) ** 2 * itemsize


def _choose(o: dict[str, Any], problem: Observations) -> str:
    """Method of "auto"; refuse combinations that no method solves."""
    method, robust = o["method"], o["loss"] != "squared"
    if o["nonnegative"] and o["bias"] != "none":
        raise ValueError(message("bias", "'none' with nonnegative=True", o["bias"]))
    if robust and method not in ("auto", *ROBUST):
        raise ValueError(message("loss", f"'squared' for method {method!r}", o["loss"]))
    if not robust and method in ROBUST:
        raise ValueError(
            message("loss", f"'l1' or 'huber' for method {method!r}", "'squared'")
        )
    if (robust or method in UNBIASED) and o["bias"] != "none":
        raise ValueError(
            message("bias", "'none' for this method or loss", repr(o["bias"]))
        )
    if (robust or method in UNPENALISED) and o["alpha"] != 0:
        raise ValueError(message("alpha", "0 for this method or loss", o["alpha"]))
    if method != "altmin_sketch" and (o["resample"] or o["precond"] != "jacobi"):
        given = "resample=True" if o["resample"] else "precond='sketch'"
        raise ValueError(message("method", f"'altmin_sketch' with {given}", method))
    if method == "subgradient" and o["loss"] != "l1":
        raise ValueError(message("loss", "'l1' for method 'subgradient'", o["loss"]))
    if method in ("soft_impute", "scaled_gd") and o["alpha_scaling"] != "constant":
        raise ValueError(
            message("alpha_scaling", "'constant' for this method", o["alpha_scaling"])
        )
    if o["nonnegative"] and method not in ("auto", "als"):
        raise ValueError(message("method", "'als' with nonnegative=True", repr(method)))
    if robust and method == "auto":
        return "irls_gauss_newton"
    if method != "auto":
        return method
    if math.isnan(o["alpha"]):
        fits = _posterior_bytes(problem, o["rank"]) <= POSTERIOR_LIMIT
        return "vb" if fits and not o["nonnegative"] else "als"
    exact = o["alpha"] == 0 and o["bias"] == "none" and not o["nonnegative"]
    return "gauss_newton" if exact else "als"
