# SPDX-License-Identifier: BSD-3-Clause
"""Whether coefficients separate the classes, so that no finite ones are best."""

from typing import Any

import numpy as np

from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit, Logistic, Multinomial
from numopt.coordinate._problem.penalties import Penalty

__all__ = ["SEPARATED", "is_separated"]

SEPARATED = (
    "the classes are separated: without a penalty the loss falls as long as the "
    "coefficients grow, and none are optimal; use a penalty, such as Ridge()"
)
#: Coefficients that cost nothing at so many times their size never do.
FAR = 1e9


def is_separated(
    data: LinearData, datafit: Datafit, penalty: Penalty, coef: Any, intercept: Any
) -> bool:
    """Whether the loss would fall for ever along the coefficients, at no price.

    The penalty is one of coefficients in the units of the data; these are as told.
    """
    if not isinstance(datafit, Logistic | Multinomial):
        return False
    coef = coef / data.units.coef
    if not (np.any(coef) and penalty.value(FAR * coef) == 0):
        return False
    margin = _margins(data, data.predict(coef, intercept))
    if data.weights is not None:
        margin = margin[data.weights > 0]
    return bool(margin.min() >= 0 and margin.max() > 0)


def _margins(data: LinearData, z: np.ndarray) -> np.ndarray:
    """By how much the score of each sample's class is above all others."""
    if z.ndim == 1:
        return data.y * z
    rows, rest = np.arange(z.shape[0]), z.copy()
    rest[rows, data.y] = -np.inf
    return z[rows, data.y] - rest.max(axis=1)
