# SPDX-License-Identifier: BSD-3-Clause
"""Kronecker-structured sparse signals, among them a mirror-aided radio channel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from numopt._array.random import as_generator
from numopt._validation import check_flag, check_int, check_real

if TYPE_CHECKING:
    from sklearn.utils import Bunch

__all__ = ["make_irs_mimo", "make_kronecker_sparse"]


def _normal(
    rng: np.random.Generator, shape: Sequence[int], complex_: bool
) -> np.ndarray:
    x = rng.standard_normal(shape)
    if complex_:
        x = (x + 1j * rng.standard_normal(shape)) / np.sqrt(2)
    return x


def _apply(factors: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    for F in factors:
        x = np.tensordot(x, F, axes=([0], [1]))
    return x.ravel()


def make_kronecker_sparse(
    n_measurements: Sequence[int],
    n_atoms: Sequence[int],
    n_nonzero: int | Sequence[int],
    *,
    snr_db: float = 25.0,
    complex: bool = False,
    random_state: int | np.random.Generator | None = None,
) -> "Bunch":
    """Make measurements of a sparse tensor through Gaussian Kronecker factors.

    Parameters
    ----------
    n_measurements, n_atoms : sequence of I ints
        Rows M_i and columns N_i of the factors, whose entries are standard normal.
    n_nonzero : int or sequence of I ints
        Size of the support along each axis; values are outer products of standard
        normal vectors.
    snr_db : float, default=25.0
        Mean power of the clean measurements over the noise variance, in decibels.
    complex : bool, default=False
        Whether everything is circular complex normal.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    Bunch
        ``factors``, ``coef`` (N_1, ..., N_I), ``y`` (M,) and ``noise_var``.

    Raises
    ------
    ValueError
        When the lists differ in length or a support is larger than its axis.

    References
    ----------
    Y. He and G. Joseph, 2024, arXiv 2307.14719, section V.

    Examples
    --------
    >>> from numopt.datasets import make_kronecker_sparse
    >>> data = make_kronecker_sparse((4, 5), (6, 7), 2, random_state=0)
    >>> data.y.shape, data.coef.shape
    ((20,), (6, 7))
    """
    rows, columns = list(n_measurements), list(n_atoms)
    sizes = (
        list(n_nonzero)
        if isinstance(n_nonzero, Sequence)
        else [n_nonzero] * len(columns)
    )
    if not len(rows) == len(columns) == len(sizes) or not rows:
        raise ValueError(
            "`n_measurements`, `n_atoms` and `n_nonzero` must have one entry a factor, "
            f"got {len(rows)}, {len(columns)} and {len(sizes)}"
        )
    for k, n in zip(sizes, columns, strict=True):
        check_int("n_nonzero", k, low=1, high=n)
    snr = 10 ** (check_real("snr_db", snr_db) / 10)
    check_flag("complex", complex)
    rng = as_generator(random_state)
    factors = [
        _normal(rng, (m, n), complex) for m, n in zip(rows, columns, strict=True)
    ]
    coef = np.ones(())
    for n, k in zip(columns, sizes, strict=True):
        axis = np.zeros(n, np.complex128 if complex else float)
        axis[rng.choice(n, k, replace=False)] = _normal(rng, (k,), complex)
        coef = np.multiply.outer(coef, axis)
    clean = _apply(factors, coef)
    noise_var = float(np.mean(np.abs(clean) ** 2) / snr)
    y = clean + np.sqrt(noise_var) * _normal(rng, clean.shape, complex)
    return _bunch(factors=factors, coef=coef, y=y, noise_var=noise_var)


def _steering(n: int, cosines: np.ndarray) -> np.ndarray:
    """Responses (n, G) of a half-wavelength linear array, of unit norm."""
    return np.exp(1j * np.pi * np.outer(np.arange(n), cosines)) / np.sqrt(n)


def make_irs_mimo(
    *,
    snr_db: float,
    n_ms: int = 6,
    n_bs: int = 16,
    n_irs: int = 256,
    n_grid: int = 18,
    n_pilots: int = 3,
    n_patterns: int = 6,
    spread: int = 3,
    random_state: int | np.random.Generator | None = None,
) -> "Bunch":
    """Make pilots of a radio link over an intelligent reflecting surface.

    A mobile station sends pilots over the surface, which takes several phase
    patterns, to a base station. On a grid of direction cosines the cascaded
    channel is an outer product of three sparse vectors, those of the surface, the
    mobile and the base station; a scatterer spreads over neighbouring directions.

    Parameters
    ----------
    snr_db : float
        Mean power of the clean measurements over the noise variance, in decibels.
    n_ms, n_bs, n_irs : int, default=6, 16, 256
        Antennas of the mobile and of the base station, elements of the surface.
    n_grid : int, default=18
        Directions on each grid.
    n_pilots, n_patterns : int, default=3, 6
        Random pilot vectors and phase patterns.
    spread : int, default=3
        Neighbouring directions that carry energy at the surface and at the base
        station; the mobile sends into one direction.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    Bunch
        ``factors`` (surface, mobile, base station), ``y`` (M,), ``noise_var``,
        ``coef`` and ``nmse``, a function of coefficients: squared error of the
        cascaded channel over its power, averaged over the patterns.

    Raises
    ------
    ValueError
        When a size is less than one or the spread is wider than the grid.

    References
    ----------
    Y. He and G. Joseph, 2024, arXiv 2307.14719, section V-B.

    Examples
    --------
    >>> from numopt.datasets import make_irs_mimo
    >>> data = make_irs_mimo(snr_db=20.0, random_state=0)
    >>> data.y.shape, data.nmse(data.coef)
    ((288,), 0.0)
    """
    sizes = {"n_ms": n_ms, "n_bs": n_bs, "n_irs": n_irs, "n_grid": n_grid}
    sizes |= {"n_pilots": n_pilots, "n_patterns": n_patterns}
    for name, value in sizes.items():
        check_int(name, value, low=1)
    check_int("spread", spread, low=1, high=n_grid)
    snr = 10 ** (check_real("snr_db", snr_db) / 10)
    rng = as_generator(random_state)
    cosines = -1 + 2 * np.arange(n_grid) / n_grid
    at_irs, at_ms, at_bs = (_steering(n, cosines) for n in (n_irs, n_ms, n_bs))
    phases = rng.choice([-1.0, 1.0], size=(n_patterns, n_irs))
    pilots = _normal(rng, (n_pilots, n_ms), True)
    factors = [phases @ at_irs, pilots @ at_ms.conj(), at_bs]
    # The surface sees differences of two directions, which wrap around the grid.
    supports = [
        (rng.integers(n_grid) + np.arange(spread)) % n_grid,
        rng.integers(n_grid, size=1),
        rng.integers(n_grid - spread + 1) + np.arange(spread),
    ]
    coef = np.ones(())
    for support in supports:
        axis = np.zeros(n_grid, np.complex128)
        axis[support] = _normal(rng, support.shape, True)
        coef = np.multiply.outer(coef, axis)
    clean = _apply(factors, coef)
    noise_var = float(np.mean(np.abs(clean) ** 2) / snr)
    y = clean + np.sqrt(noise_var) * _normal(rng, clean.shape, True)

    def channels(x: np.ndarray) -> np.ndarray:
        """Cascaded channel (patterns, n_ms, n_bs) of coefficients."""
        flat = _apply([phases @ at_irs, at_ms.conj(), at_bs], x.reshape(coef.shape))
        return flat.reshape(n_patterns, -1)

    def nmse(estimate: np.ndarray) -> float:
        truth, error = channels(coef), channels(np.asarray(estimate) - coef)
        ratio = np.sum(np.abs(error) ** 2, axis=1) / np.sum(np.abs(truth) ** 2, axis=1)
        return float(np.mean(ratio))

    return _bunch(factors=factors, coef=coef, y=y, noise_var=noise_var, nmse=nmse)


def _bunch(**fields: Any) -> "Bunch":
    """scikit-learn's dictionary with attributes, imported on use."""
    from sklearn.utils import Bunch

    return Bunch(**fields)
