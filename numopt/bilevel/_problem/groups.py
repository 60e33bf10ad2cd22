# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of features that share a penalty."""

import numbers
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import to_numpy

__all__ = ["check_groups", "spectral_bound"]

#: Spectra of Gram matrices up to this size are computed, larger ones bounded.
EXACT_SPECTRUM = 400


def check_groups(groups: Any, n_features: int) -> tuple[np.ndarray, int]:
    """Labels (n_features,) of the groups, and their number.

    ``groups`` is None, "features", labels 0, 1, ... or what else
    :func:`numopt._validation.check_groups` takes.
    """
    if groups is None:
        return np.zeros(n_features, np.int64), 1
    if isinstance(groups, str):
        v.check_choice("groups", groups, ("features",))
        return np.arange(n_features), n_features
    parts = v.check_groups(groups, n_features)
    labels = np.empty(n_features, np.int64)
    for g, part in enumerate(parts):
        labels[part] = g
    is_labels = not isinstance(groups, numbers.Integral) and not any(
        np.ndim(g) for g in groups
    )
    if is_labels and to_numpy(groups).dtype.kind in "iuf":
        _check_numbering(to_numpy(groups), parts)
    return labels, len(parts)


def _check_numbering(given: np.ndarray, parts: list[np.ndarray]) -> None:
    """Penalties are addressed by label: integers must be 0, 1, ..., without gaps."""
    if given.min() < 0:
        raise ValueError(v.message("groups", "non-negative", int(given.min())))
    for g, part in enumerate(parts):
        if given[part[0]] != g:
            expected = "labels 0, 1, ... without gaps"
            raise ValueError(v.message("groups", expected, f"label {g} empty"))


def spectral_bound(X: Any, gram: Any = None) -> float:
    """Upper bound on the largest eigenvalue of ``X^T X`` (exact when it is small)."""
    if hasattr(X, "tocsr"):
        square = np.asarray(X.multiply(X).sum())
        rows = abs(X) @ np.ones(X.shape[1])
        columns = abs(X).T @ np.ones(X.shape[0])
        return float(min(square, rows.max() * columns.max()))
    X = to_numpy(X).astype(np.float64, copy=False)
    if gram is None:
        gram = X @ X.T if X.shape[0] < X.shape[1] else X.T @ X
    else:
        gram = to_numpy(gram)
    if gram.shape[0] <= EXACT_SPECTRUM:
        top = np.linalg.eigvalsh(gram)[-1]
        return float(max(top, 0.0)) * (1 + 1e-10) + 1e-300
    return float(min(np.linalg.norm(gram), np.abs(gram).sum(axis=1).max()))
