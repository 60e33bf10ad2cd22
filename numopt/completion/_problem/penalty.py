# SPDX-License-Identifier: BSD-3-Clause
"""Ridge penalties and the objective of the bilinear model."""

import dataclasses
from typing import Any

from numopt._array.namespace import array_namespace, device
from numopt._validation import check_int, message
from numopt.completion._problem.observations import Observations, Side
from numopt.typing import Array

__all__ = ["Penalty", "check_rank"]


def check_rank(rank: Any, shape: tuple[int, int]) -> int:
    """Return an integer in 1..min(m, n)."""
    rank = check_int("rank", rank)
    top = min(shape)
    if not 1 <= rank <= top:
        raise ValueError(message("rank", f"in 1..min(m, n)={top}", rank))
    return rank


@dataclasses.dataclass(frozen=True)
class Penalty:
    """Ridge of factors and biases; "count" multiplies by the observations of a line."""

    alpha: float
    alpha_bias: float
    scaling: str

    def lines(self, side: Side) -> tuple[Array, Array]:
        """Return the ridge of factor and bias of every line, in the values' dtype."""
        values = side.values
        xp = array_namespace(values)
        scale = xp.ones((side.n_lines,), dtype=values.dtype, device=device(values))
        if self.scaling == "count":
            scale = xp.astype(side.counts, values.dtype)
        return self.alpha * scale, self.alpha_bias * scale

    def total(self, problem: Observations, P: Array, Q: Array) -> Array:
        """Penalty of the parameters ``P`` = [U, b] and ``Q`` = [V, c], float64 0-d."""
        return self.side_total(problem.by_row, P) + self.side_total(problem.by_col, Q)

    def side_total(self, side: Side, P: Array) -> Array:
        """Penalty of one side, float64 0-d."""
        xp = array_namespace(P)
        factor, bias = self.lines(side)
        P = xp.astype(P, xp.float64)
        return xp.sum(
            xp.astype(factor, xp.float64) * xp.sum(P[:, :-1] ** 2, axis=1)
        ) + xp.sum(xp.astype(bias, xp.float64) * P[:, -1] ** 2)
