# SPDX-License-Identifier: BSD-3-Clause
"""What the estimators of transport share: weights and the unit of the cost."""

from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import (
    array_namespace,
    device,
    is_array,
    namespace_key,
    to_numpy,
)
from numopt._estimator.sklearn_compat import (
    check_sample_weight,
    get_namespace_and_device,
    move_to,
)
from numopt.typing import Array

__all__ = ["check_weights", "median_cost"]


def check_weights(name: str, weight: Any, X: Array) -> Array | None:
    """Check weights and scale them to total 1, on the library and device of X."""
    if weight is None:
        return None
    if is_array(weight):
        xp, _, where = get_namespace_and_device(X)
        weight = move_to(weight, xp=xp, device=where)
    if namespace_key(array_namespace(X)) == "numpy":
        # scikit-learn's checks expect its own messages for wrong shapes and dtypes.
        weight = check_sample_weight(weight, X, dtype=X.dtype)
    xp, (weight, _) = v.float_arrays(weight=weight, X=X)
    v.check_shape(name, weight, (X.shape[0],), why="(one a sample)")
    _, high = v.check_values(name, weight, nonnegative=True)
    if high == 0:  # pragma: no cover - new scikit-learn refuses it first
        raise ValueError(v.message(name, "positive somewhere", "all zeros"))
    return weight / xp.sum(weight)


def median_cost(M: Array, a: Array | None, b: Array | None) -> float:
    """Median cost under the product of the weights, so that weights mean repetition.

    The lower median; the mean, or 1, where it is zero.
    """
    xp = array_namespace(M)
    cost = xp.reshape(M, (-1,))
    if a is None and b is None:
        middle = (cost.shape[0] - 1) // 2
        ordered = (
            np.partition(cost, middle)
            if namespace_key(xp) == "numpy"
            else xp.sort(cost)
        )
        median, mean = ordered[middle], xp.mean(cost)
    else:
        rows, columns = (
            xp.full((size,), 1.0 / size, dtype=M.dtype, device=device(M))
            if w is None
            else w
            for w, size in zip((a, b), M.shape, strict=True)
        )
        weights = xp.reshape(rows[:, None] * columns[None, :], (-1,))
        order = xp.argsort(cost)
        below = xp.cumulative_sum(xp.take(weights, order))
        # Rounding must not push the median past a weight of exactly one half.
        reached = xp.astype(below >= 0.5 * (1 - 1e-6), xp.int64)
        median, mean = cost[order[xp.argmax(reached)]], xp.sum(weights * cost)
    return float(to_numpy(median)) or float(to_numpy(mean)) or 1.0
