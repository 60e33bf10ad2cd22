# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of features that share a penalty."""

from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import to_numpy

__all__ = ["check_groups", "spectral_bound"]

#: Spectra of Gram matrices up to this size are computed, larger ones bounded.
EXACT_SPECTRUM = 400


def check_groups(groups: Any, n_features: int) -> tuple[np.ndarray, int]:
    """Labels (n_features,) and their number, of an array, None or "features"."""
    if groups is None:
        return np.zeros(n_features, np.int64), 1
    if isinstance(groups, str):
        v.check_choice("groups", groups, ("features",))
        return np.arange(n_features), n_features
    labels = to_numpy(groups)
    if labels.dtype.kind == "f" and np.all(labels == np.floor(labels)):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iu":
        raise ValueError(v.message("groups", "integers", f"dtype {labels.dtype}"))
    v.check_shape("groups", labels, (n_features,), why="(one label per feature)")
    if labels.min() < 0:
        raise ValueError(v.message("groups", "non-negative", int(labels.min())))
    n_groups = int(labels.max()) + 1
    empty = np.flatnonzero(np.bincount(labels, minlength=n_groups) == 0)
    if empty.size:
        raise ValueError(
            v.message(
                "groups", "labels 0, 1, ... without gaps", f"label {empty[0]} empty"
            )
        )
    return labels.astype(np.int64), n_groups


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
