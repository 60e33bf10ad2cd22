# SPDX-License-Identifier: BSD-3-Clause
"""Integer taps with the least ripple: search on a grid, exchange off the grid."""

import dataclasses
import time
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._iterate.loop import iterate
from numopt.dmmv._problem.core import make_core
from numopt.dmmv._problem.data import MinMaxProblem
from numopt.dmmv._solvers.fir.response import Bands, LinearPhase, refined_extrema
from numopt.dmmv._solvers.fir.result import FIRResult
from numopt.dmmv._solvers.minimize import DEFAULT_ROUNDS, seed_of
from numopt.dmmv._solvers.relaxation import lp_relaxation
from numopt.dmmv._solvers.rounds import METHODS
from numopt.dmmv._solvers.state import Options, Search, SearchSolver, relative_gap

__all__ = ["design_fir"]

TYPES = {"I": 1, "II": 2, "III": 3, "IV": 4}
#: Exchanges after which the grid is taken as fine enough.
EXCHANGES = 3
#: Ripple off the grid that is not worth an exchange.
GRID_TOLERANCE = 1e-6
GAINS = np.linspace(0.7, 1.4, 64)
#: Gains that the scan hands to the full search.
FINALISTS = 3
NO_LIMIT = 2**62


@dataclasses.dataclass
class Specification:
    """Everything that the search needs to know about the filter."""

    phase: LinearPhase
    bands: Bands
    scale: float
    low: int
    high: int
    frequencies: list[np.ndarray]

    def problem(self, gain: float = 1.0, widen: float = 1.0) -> MinMaxProblem:
        """Return the problem on the present grid, errors relative to the gain."""
        omega = np.concatenate(self.frequencies)
        parts = list(enumerate(self.frequencies))
        wanted = np.concatenate([self.bands.amplitude(i, w) for i, w in parts])
        weights = np.concatenate(
            [np.full(w.size, self.bands.weights[i]) for i, w in parts]
        )
        levels = (round(widen * self.low), round(widen * self.high))
        matrix = self.phase.matrix(omega) * (self.scale / gain)
        return MinMaxProblem.from_arrays(matrix, wanted, levels, weights=weights)

    def ripples(self, half: np.ndarray, gain: float) -> np.ndarray:
        """Return the exact weighted ripple of each band."""
        found = refined_extrema(self.phase, half * self.scale / gain, self.bands)
        return np.array([np.max(error) for _, error in found])

    def exchange(self, half: np.ndarray, gain: float, level: float) -> bool:
        """Add extrema above ``level`` to the grid; whether there were any."""
        found = refined_extrema(self.phase, half * self.scale / gain, self.bands)
        added = False
        for i, (at, error) in enumerate(found):
            new = at[error > level * (1 + GRID_TOLERANCE)]
            new = np.setdiff1d(new, self.frequencies[i])
            if new.size:
                added = True
                self.frequencies[i] = np.concatenate([self.frequencies[i], new])
        return added


def design_fir(
    numtaps: int,
    bands: Any,
    desired: Any,
    *,
    weight: Any = None,
    fs: float = 2.0,
    word_length: int = 16,
    n_frac: int | None = None,
    gain: str = "fixed",
    type: Any = "auto",
    taps_bound: int | None = None,
    grid_density: int = 16,
    symmetry: str = "even",
    time_limit: float | None = None,
    method: str = "auto",
    random_state: Any = None,
) -> FIRResult:
    r"""Design a linear-phase filter whose taps are integers, with the least ripple.

    .. math::

       \min_{t \in \mathbb{Z}^N} \max_{\omega \in \text{bands}}
       W(\omega) \, | 2^{-n_{frac}} T(\omega) - D(\omega) |,

    where T is the amplitude response of the taps. Rounding the taps of
    ``scipy.signal.remez`` loses up to an order of magnitude of ripple.

    Parameters
    ----------
    numtaps : int
        Length of the filter.
    bands : array-like of shape (2 B,)
        Increasing band edges, as in ``scipy.signal.remez``.
    desired : array-like of shape (B,) or (2 B,)
        Amplitude of each band, or at each edge with linear course between (``firls``).
    weight : array-like of shape (B,), default=None
        Weight of each band; None means 1.
    fs : float, default=2.0
        Sampling frequency: with 2.0 a frequency of 1 is Nyquist, as in ``firls``
        (``remez`` itself defaults to 1.0).
    word_length : int, default=16
        Bits of a tap with its sign, 2 to 32: taps are at least ``-2**(word_length-1)``
        and less than ``2**(word_length-1)``.
    n_frac : int, default=None
        Fractional bits: a tap t stands for ``t * 2**-n_frac``. None means
        ``word_length - 1``.
    gain : {"fixed", "free"}, default="fixed"
        Whether the gain of the filter is 1, or the best of 64 from 0.7 to 1.4.
    type : {"auto", 1, 2, 3, 4, "I", "II", "III", "IV"}, default="auto"
        Linear-phase type; it must agree with ``numtaps`` and replaces ``symmetry``.
    taps_bound : int, default=None
        Largest absolute value of a tap, when less than the word length allows.
    grid_density : int, default=16
        Grid points per free tap for the search; the answer is exact off the grid.
    symmetry : {"even", "odd"}, default="even"
        Symmetric or antisymmetric impulse response.
    time_limit : float, default=None
        Seconds for the search; None means a fixed number of rounds.
    method : str, default="auto"
        As in ``minimize_max_violation``.
    random_state : int, Generator, RandomState or None, default=None
        Seed; None is the fixed seed 0.

    Returns
    -------
    FIRResult
        Taps, exact ripple in total and by band, and a lower bound.

    Raises
    ------
    ValueError
        When bands are not increasing or beyond fs/2, lengths disagree, a gain is asked
        where the type has a zero, or options are out of range.

    See Also
    --------
    fir_ripple : Ripple of any linear-phase filter.

    Notes
    -----
    The linear program on the grid gives the real-valued optimum and the bound. The
    lattice spanned by the columns is reduced, a K-best search rounds the real optimum,
    and its best points are polished and annealed along reduced directions. Extrema off
    the grid are then found by Newton's method and added to it until the ripple on the
    grid is the ripple. With ``gain="free"`` the bound is that of real taps.

    References
    ----------
    Brisebarre, Filip, Hanrot, "A lattice basis reduction approach for the design of
    finite wordlength FIR filters", IEEE Trans. Signal Processing 66, 2018 (the idea of
    rounding in a reduced basis). Kodek, "Design of optimal finite wordlength FIR
    digital filters using integer programming techniques", IEEE TASSP 28, 1980.

    Examples
    --------
    >>> from numopt.dmmv import design_fir
    >>> result = design_fir(
    ...     21, [0, 0.4, 0.5, 1], [1, 0], weight=[1, 2], word_length=8, time_limit=0.3
    ... )
    >>> result.taps.dtype, bool(result.ripple < result.ripple_rounding)
    (dtype('int64'), True)
    """
    started = time.perf_counter()
    if time_limit is not None:
        time_limit = v.check_real("time_limit", time_limit, low=0, include_low=False)
    v.check_choice("gain", gain, ("fixed", "free"))
    v.check_choice("method", method, METHODS)
    spec = _specification(
        numtaps, bands, desired, weight, fs, word_length, n_frac, type, taps_bound,
        grid_density, symmetry,
    )  # fmt: skip
    options = Options(
        lattice="auto", beam_width=None, pairs=True, exponent=4, bound="lp", tol=1e-6,
        time_limit=time_limit, seed=seed_of(random_state),
    )  # fmt: skip
    run = Run(spec, options, method, started)
    return run.free() if gain == "free" else run.fixed(1.0)


def _specification(
    numtaps: int,
    bands: Any,
    desired: Any,
    weight: Any,
    fs: float,
    word_length: int,
    n_frac: int | None,
    type: Any,
    taps_bound: int | None,
    grid_density: int,
    symmetry: str,
) -> Specification:
    numtaps = v.check_int("numtaps", numtaps, low=2)
    word_length = v.check_int("word_length", word_length, low=2, high=32)
    n_frac = word_length - 1 if n_frac is None else v.check_int("n_frac", n_frac)
    v.check_choice("symmetry", symmetry, ("even", "odd"))
    odd = symmetry == "odd"
    if type != "auto":
        number = TYPES.get(type, type)
        if number not in (1, 2, 3, 4):
            raise ValueError(v.message("type", "'auto' or a type 1 to 4", repr(type)))
        odd = number > 2
        if (numtaps % 2 == 0) != (number in (2, 4)):
            parity = "even" if number in (2, 4) else "odd"
            raise ValueError(
                v.message("numtaps", f"{parity} for a filter of type {number}", numtaps)
            )
    low, high = -(2 ** (word_length - 1)), 2 ** (word_length - 1) - 1
    if taps_bound is not None:
        taps_bound = v.check_int("taps_bound", taps_bound, low=1)
        low, high = max(low, -taps_bound), min(high, taps_bound)
    grid_density = v.check_int("grid_density", grid_density, low=4)
    checked = Bands.parse(bands, desired, weight, fs)
    phase = LinearPhase(numtaps, odd)
    phase.check_zeros(checked)
    grid = checked.grid(grid_density * phase.frequencies.size)
    return Specification(phase, checked, 2.0**-n_frac, low, high, grid)


@dataclasses.dataclass
class Run:
    """One design: specification, options and the clock."""

    spec: Specification
    options: Options
    method: str
    started: float

    def fixed(self, gain: float, *, bound: float | None = None) -> FIRResult:
        """Search at one gain, exchange, and report."""
        fields, search = self._search(gain, None)
        half = np.asarray(fields["x"])
        core = search.core
        # Where all points were tried, there was no need for a relaxation.
        relaxed = search.relaxation or lp_relaxation(core)
        real = core.problem.levels.values(core.centre.astype(np.float64))
        real[core.columns] += relaxed.x
        for _ in range(EXCHANGES):
            if not self.spec.exchange(half, gain, fields["violation"]):
                break
            before = self.spec.ripples(half, gain).max()
            fields["n_iter"] += 1
            again, _ = self._search(gain, half)
            if self.spec.ripples(again["x"], gain).max() < before:
                half = np.asarray(again["x"])
            fields["violation"] = again["violation"]
        return self._report(half, real, gain, fields, bound)

    def _search(
        self, gain: float, start: np.ndarray | None
    ) -> tuple[dict[str, Any], Search]:
        """Run the method; from a start only polish it."""
        limit = self.options.time_limit
        options = self.options
        rounds = 1 if start is not None else DEFAULT_ROUNDS
        if limit is not None:
            left = limit - (time.perf_counter() - self.started)
            options = dataclasses.replace(options, time_limit=max(left, 0.02))
            rounds = NO_LIMIT if start is None else 1
        if start is not None:
            options = dataclasses.replace(options, bound="dual")
        problem = self.spec.problem(gain)
        name = "polish" if start is not None else self.method
        kept: list[Search] = []
        warm = None if start is None else problem.levels.nearest(start.astype(float))
        solver = SearchSolver(METHODS[name], options, "design_fir", kept)
        fields = iterate(
            solver, problem, tol=options.tol, max_iter=rounds, warm_start=warm,
            warn=False,
        )  # fmt: skip
        return fields, kept[0]

    def _report(
        self,
        half: np.ndarray,
        real: np.ndarray,
        gain: float,
        fields: dict[str, Any],
        bound: float | None,
    ) -> FIRResult:
        spec = self.spec
        by_band = spec.ripples(half, gain)
        ripple = float(by_band.max())
        bound = fields["lower_bound"] if bound is None else bound
        bound = min(bound, ripple)
        names = ("n_iter", "converged", "message", "status", "history", "method")
        return FIRResult(
            **{name: fields[name] for name in names},
            taps=spec.phase.expand(np.rint(half).astype(np.int64)),
            scale=spec.scale,
            gain=gain,
            ripple=ripple,
            ripple_bands=by_band,
            ripple_infinite=float(spec.ripples(real, gain).max()),
            ripple_rounding=float(
                spec.ripples(np.clip(np.rint(real), spec.low, spec.high), gain).max()
            ),
            lower_bound=bound,
            gap=relative_gap(ripple, bound),
        )

    def free(self) -> FIRResult:
        """Scan gains by a narrow beam, then search at the most promising ones."""
        widened = make_core(self.spec.problem(1.0, widen=1.0 / GAINS[0]))
        bound = lp_relaxation(widened).bound * widened.scale
        narrow = dataclasses.replace(
            self.options, beam_width=64, time_limit=None, bound="dual"
        )
        found = []
        for gain in GAINS:
            problem = self.spec.problem(float(gain))
            solver = SearchSolver(METHODS["beam"], narrow, "design_fir")
            fields = iterate(solver, problem, tol=0.0, max_iter=1, warn=False)
            found.append((fields["violation"], float(gain)))
        best: FIRResult | None = None
        grid = list(self.spec.frequencies)
        limit = self.options.time_limit
        for i, (_, gain) in enumerate(sorted(found)[:FINALISTS]):
            self.spec.frequencies = list(grid)
            if limit is not None:
                elapsed = time.perf_counter() - self.started
                share = max(limit - elapsed, 0.0) / (FINALISTS - i)
                self.options = dataclasses.replace(
                    self.options, time_limit=elapsed + share
                )
            result = self.fixed(gain, bound=bound)
            if best is None or result.ripple < best.ripple:
                best = result
        assert best is not None
        return best
