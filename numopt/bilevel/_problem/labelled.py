# SPDX-License-Identifier: BSD-3-Clause
"""Tables with class labels: validation, indicators, a column for the intercept."""

from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._array.sparse import is_sparse
from numopt.typing import Array

__all__ = ["check_labelled", "indicator", "with_ones"]


def with_ones(X: Any) -> Any:
    """X with a last column of ones."""
    if is_sparse(X):
        from scipy.sparse import hstack

        return hstack([X, np.ones((X.shape[0], 1), X.dtype)], format="csr")
    xp = array_namespace(X)
    ones = xp.ones((X.shape[0], 1), dtype=X.dtype, device=device(X))
    return xp.concat([X, ones], axis=1)


def indicator(y: np.ndarray, classes: np.ndarray, like: Any) -> Array:
    """One column of 0/1 for two classes, one per class otherwise."""
    if classes.size == 2:
        Y = (y == classes[1])[:, None]
    else:
        Y = y[:, None] == classes[None, :]
    if is_sparse(like):
        return Y.astype(like.dtype)
    xp = array_namespace(like)
    return xp.asarray(Y.astype(np.float64), dtype=like.dtype, device=device(like))


def check_labelled(
    X: Any, y: Any, Xv: Any, yv: Any
) -> tuple[Any, np.ndarray, Any, np.ndarray, np.ndarray]:
    """Validated data; X and Xv dense or CSR, labels on the host."""
    made = []
    for name, one in (("X", X), ("Xv", Xv)):
        if is_sparse(one):
            from scipy.sparse import csr_array

            wide = one.dtype if one.dtype in (np.float32, np.float64) else np.float64
            one = csr_array(one, dtype=wide)
            v.check_values(name, one.data)
        else:
            _, (one,) = v.float_arrays(**{name: one})
            v.check_ndim(name, one, 2)
            v.check_values(name, one)
        made.append(one)
    X, Xv = made
    if Xv.shape[1] != X.shape[1]:
        raise ValueError(
            v.message("Xv", f"of {X.shape[1]} features", f"shape {tuple(Xv.shape)}")
        )
    y, yv = to_numpy(y), to_numpy(yv)
    v.check_shape("y", y, (X.shape[0],), why="(rows of `X`)")
    v.check_shape("yv", yv, (Xv.shape[0],), why="(rows of `Xv`)")
    for name, labels in (("y", y), ("yv", yv)):
        if labels.dtype.kind == "f" and not np.all(np.isfinite(labels)):
            raise ValueError(v.message(name, "finite labels", "NaN or infinity"))
    classes = np.unique(y)
    if classes.size < 2:
        raise ValueError(v.message("y", "labels of at least two classes", "one class"))
    if not np.all(np.isin(yv, classes)):
        raise ValueError(v.message("yv", "labels that occur in `y`", "a new label"))
    return X, y, Xv, yv, classes
