# SPDX-License-Identifier: BSD-3-Clause
"""Bands, amplitude responses of the four linear-phase types, ripple off the grid."""

import dataclasses
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import to_numpy

__all__ = ["Bands", "LinearPhase", "fir_ripple", "refined_extrema"]

#: Points a tap on which extrema are bracketed; the response turns once a tap at most.
DENSITY = 32
NEWTON_STEPS = 8
SYMMETRY_TOLERANCE = 1e-12


@dataclasses.dataclass(frozen=True)
class Bands:
    """Edges in radians (B, 2), desired amplitude at the edges (B, 2), weights (B,)."""

    edges: np.ndarray
    desired: np.ndarray
    weights: np.ndarray

    @classmethod
    def parse(cls, bands: Any, desired: Any, weight: Any, fs: float) -> "Bands":
        """Validate as ``scipy.signal.remez`` and ``firls`` do."""
        fs = v.check_real("fs", fs, low=0, include_low=False)
        edges = _vector("bands", bands)
        if edges.size == 0 or edges.size % 2:
            raise ValueError(
                v.message("bands", "an even number of edges", f"{edges.size}")
            )
        if np.any(edges < 0) or np.any(edges > 0.5 * fs * (1 + 1e-12)):
            raise ValueError(
                v.message("bands", f"between 0 and fs/2 = {fs / 2:g}", edges.tolist())
            )
        if np.any(np.diff(edges) < 0) or np.any(edges[0::2] >= edges[1::2]):
            raise ValueError(
                v.message("bands", "monotonically increasing edges", edges.tolist())
            )
        count = edges.size // 2
        gains = _vector("desired", desired)
        if gains.size == count:
            gains = np.repeat(gains, 2)
        if gains.size != 2 * count:
            raise ValueError(
                v.message("desired", f"{count} or {2 * count} values", f"{gains.size}")
            )
        weights = np.ones(count) if weight is None else _vector("weight", weight)
        if weights.shape != (count,):
            raise ValueError(v.message("weight", f"{count} values", f"{weights.size}"))
        if np.any(weights <= 0):
            raise ValueError(v.message("weight", "positive", weights.tolist()))
        omega = np.minimum(2 * np.pi * edges / fs, np.pi)
        return cls(omega.reshape(-1, 2), gains.reshape(-1, 2), weights)

    def amplitude(self, band: int, omega: np.ndarray) -> np.ndarray:
        """Return the desired amplitude, linear in the band."""
        return np.interp(omega, self.edges[band], self.desired[band])

    def slope(self, band: int) -> float:
        """Return its derivative."""
        rise = np.diff(self.desired[band])[0] / np.diff(self.edges[band])[0]
        return float(rise)

    def grid(self, points: int) -> list[np.ndarray]:
        """Return about ``points`` frequencies, shared among bands by width."""
        widths = np.diff(self.edges, axis=1)[:, 0]
        shares = np.maximum(np.ceil(points * widths / widths.sum()), 5).astype(int)
        return [
            np.linspace(lo, hi, share)
            for (lo, hi), share in zip(self.edges, shares, strict=True)
        ]


def _vector(name: str, x: Any) -> np.ndarray:
    _, (values,) = v.float_arrays(**{name: x})
    values = to_numpy(values).astype(np.float64).ravel()
    v.check_values(name, values)
    return values


@dataclasses.dataclass(frozen=True)
class LinearPhase:
    """Half of a symmetric or antisymmetric impulse response.

    ``H(w) = sum_k half_k c_k cos(f_k w)`` (or sin), ``half`` from the outer tap in.
    """

    numtaps: int
    odd: bool

    @property
    def type(self) -> int:
        """1, 2, 3 or 4."""
        return 1 + (self.numtaps % 2 == 0) + 2 * self.odd

    @property
    def frequencies(self) -> np.ndarray:
        """Distances of the free taps from the middle."""
        half = self.numtaps // 2
        if self.numtaps % 2 == 0:
            return np.arange(half, 0, -1) - 0.5
        return np.arange(half, 0 if self.odd else -1, -1).astype(np.float64)

    @property
    def factors(self) -> np.ndarray:
        """2, and 1 for the middle tap."""
        return np.where(self.frequencies == 0, 1.0, 2.0)

    def matrix(self, omega: np.ndarray) -> np.ndarray:
        """Return rows that map half taps to amplitudes."""
        angle = omega[:, None] * self.frequencies
        return self.factors * (np.sin(angle) if self.odd else np.cos(angle))

    def derivatives(
        self, half: np.ndarray, omega: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the amplitude and its first two derivatives."""
        f, c = self.frequencies, self.factors * half
        angle = omega[:, None] * f
        sine, cosine = np.sin(angle), np.cos(angle)
        if self.odd:
            return sine @ c, cosine @ (c * f), -(sine @ (c * f**2))
        return cosine @ c, -(sine @ (c * f)), -(cosine @ (c * f**2))

    def expand(self, half: np.ndarray) -> np.ndarray:
        """Return the full impulse response."""
        mirror = half[: self.numtaps // 2][::-1]
        middle = half[self.numtaps // 2 :]
        if self.odd:
            middle = np.zeros(self.numtaps % 2, half.dtype)
            mirror = -mirror
        return np.concatenate([half[: self.numtaps // 2], middle, mirror])

    def halve(self, taps: np.ndarray) -> np.ndarray:
        """Return the free half."""
        return taps[: self.frequencies.size]

    @classmethod
    def of_taps(cls, taps: np.ndarray) -> "LinearPhase":
        """Recognise the symmetry of an impulse response."""
        bar = SYMMETRY_TOLERANCE * np.max(np.abs(taps), initial=0.0)
        if np.all(np.abs(taps - taps[::-1]) <= bar):
            return cls(taps.size, False)
        if np.all(np.abs(taps + taps[::-1]) <= bar):
            return cls(taps.size, True)
        raise ValueError(
            v.message("taps", "symmetric or antisymmetric", "neither (linear phase)")
        )

    def check_zeros(self, bands: Bands) -> None:
        """Refuse a gain where the type has a zero."""
        at_nyquist = bands.edges[-1, 1] >= np.pi * (1 - 1e-9)
        if self.type in (2, 3) and at_nyquist and bands.desired[-1, 1] != 0:
            raise ValueError(
                v.message(
                    "desired",
                    f"0 at the Nyquist frequency for a filter of type {self.type}",
                    f"{bands.desired[-1, 1]:g}; change the parity of `numtaps`",
                )
            )
        if self.odd and bands.edges[0, 0] == 0 and bands.desired[0, 0] != 0:
            raise ValueError(
                v.message(
                    "desired",
                    f"0 at frequency 0 for a filter of type {self.type}",
                    f"{bands.desired[0, 0]:g}",
                )
            )


def refined_extrema(
    phase: LinearPhase, half: np.ndarray, bands: Bands, gain: float = 1.0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (frequencies, |weighted error|) of the extrema in each band.

    Extrema are bracketed on a fine grid; Newton's method, kept inside the bracket,
    then solves E' = 0. Band ends count as extrema.
    """
    found = []
    for band, grid in enumerate(bands.grid(DENSITY * phase.numtaps)):
        spacing = grid[1] - grid[0]
        slope = gain * bands.slope(band)
        error = phase.matrix(grid) @ half - gain * bands.amplitude(band, grid)
        size = np.abs(error)
        inner = np.flatnonzero((size[1:-1] >= size[:-2]) & (size[1:-1] >= size[2:])) + 1
        at = grid[inner]
        lo = np.maximum(at - spacing, grid[0])
        hi = np.minimum(at + spacing, grid[-1])
        for _ in range(NEWTON_STEPS):
            _, first, second = phase.derivatives(half, at)
            safe = np.where(second == 0, 1.0, second)
            at = np.clip(
                at - np.where(second == 0, 0.0, (first - slope) / safe), lo, hi
            )
        at = np.concatenate([at, grid[inner], grid[[0, -1]]])
        error = phase.matrix(at) @ half - gain * bands.amplitude(band, at)
        found.append((at, bands.weights[band] * np.abs(error)))
    return found


def fir_ripple(
    taps: Any, bands: Any, desired: Any, *, weight: Any = None, fs: float = 2.0
) -> float:
    """Return the weighted peak error of a linear-phase filter over its bands.

    Parameters
    ----------
    taps : array-like of shape (numtaps,)
        Symmetric or antisymmetric impulse response.
    bands : array-like of shape (2 B,)
        Band edges, as in ``scipy.signal.remez``.
    desired : array-like of shape (B,) or (2 B,)
        Amplitude of each band, or at each edge with linear course between.
    weight : array-like of shape (B,), default=None
        Weight of each band; None means 1.
    fs : float, default=2.0
        Sampling frequency: with 2.0 a frequency of 1 is Nyquist, as in ``firls``
        (``remez`` itself defaults to 1.0).

    Returns
    -------
    float
        ``max_w weight(w) |H(w) - desired(w)|``.

    Raises
    ------
    ValueError
        When bands are not increasing, lengths disagree, or taps have no symmetry.

    Notes
    -----
    Extrema are bracketed on 32 points a tap and found by Newton's method. Of an
    antisymmetric filter the better sign counts.

    Examples
    --------
    >>> from numopt.dmmv import fir_ripple
    >>> round(fir_ripple([0.25, 0.5, 0.25], [0, 0.2, 0.8, 1], [1, 0]), 6)
    0.095492
    """
    values = _vector("taps", taps)
    if values.size == 0:
        raise ValueError(v.message("taps", "non-empty", "no taps"))
    checked = Bands.parse(bands, desired, weight, fs)
    phase = LinearPhase.of_taps(values)
    half = phase.halve(values)
    signs = (1.0, -1.0) if phase.odd else (1.0,)
    return min(
        max(
            float(np.max(error))
            for _, error in refined_extrema(phase, sign * half, checked)
        )
        for sign in signs
    )
