# SPDX-License-Identifier: BSD-3-Clause
"""What the filter design returns."""

import dataclasses

import numpy as np

from numopt._iterate.result import SolverResult

__all__ = ["FIRResult"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FIRResult(SolverResult):
    """A filter with integer taps, its exact ripple and a lower bound.

    Parameters
    ----------
    n_iter : int
        Number of search rounds.
    converged : bool
        Whether the gap was closed.
    message : str
        Why the search stopped.
    status : str
        "converged", "max_iter" (also the time limit) or "stalled".
    history : dict of str to ndarray
        One entry a round, as in MinMaxResult.
    taps : ndarray of shape (numtaps,), int64
        Full impulse response in units of ``scale``.
    scale : float
        Weight of the last bit, ``2**-n_frac``.
    gain : float
        Passband gain that the ripple is relative to; 1 when it is fixed.
    ripple : float
        Weighted peak error over all frequencies of the bands, refined off the grid,
        divided by ``gain``.
    ripple_bands : ndarray of shape (B,)
        Weighted peak error of each band.
    ripple_infinite : float
        The same of the best filter with real taps.
    ripple_rounding : float
        The same of that filter rounded to the nearest integers.
    lower_bound : float
        No choice of integer taps has a smaller ripple.
    gap : float
        ``(ripple - lower_bound) / ripple``.
    method : str
        Method that found the taps.

    See Also
    --------
    design_fir : The function that makes it.

    Examples
    --------
    >>> from numopt.dmmv import design_fir
    >>> result = design_fir(7, [0, 0.3, 0.7, 1], [1, 0], word_length=6)
    >>> result.taps.tolist(), bool(result.ripple <= result.ripple_rounding)
    ([-2, 0, 10, 16, 10, 0, -2], True)
    """

    taps: np.ndarray
    scale: float
    gain: float
    ripple: float
    ripple_bands: np.ndarray
    ripple_infinite: float
    ripple_rounding: float
    lower_bound: float
    gap: float
    method: str

    @property
    def coefficients(self) -> np.ndarray:
        """Taps as numbers, for ``scipy.signal.freqz`` and ``lfilter``."""
        return self.taps * self.scale
