# SPDX-License-Identifier: BSD-3-Clause
"""Newton steps on the groups in use, where the group penalty is smooth.

The Hessian of ``lam ||w_g||`` is ``(lam / ||w_g||) (I - z z^T)`` with
``z = w_g / ||w_g||``.
"""

import dataclasses

import numpy as np

__all__ = ["SmoothPart", "smooth_part"]

#: Relative shift of a Hessian, against flat directions.
SHIFT = 1e-11
#: A group goes at most this share of its way to 0.
REACH = 0.9
HALVINGS = 30


@dataclasses.dataclass(frozen=True, eq=False)
class SmoothPart:
    """The coordinates in which the objective is smooth, and its derivatives there.

    ``slope`` is the gradient of the whole objective, ``smooth_slope`` that of the
    squares, ``bend`` is ``lam / ||w_g||`` and ``unit`` is z, coordinate by coordinate.
    ``kinked`` coordinates are smooth on one side of 0 only.
    """

    support: np.ndarray
    owner: np.ndarray
    w: np.ndarray
    slope: np.ndarray
    smooth_slope: np.ndarray
    lam: np.ndarray
    l1: np.ndarray
    kinked: np.ndarray
    bend: np.ndarray
    unit: np.ndarray

    def on_gram(self, A: np.ndarray) -> np.ndarray | None:
        """Newton direction, given the Hessian of the squares; None where singular."""
        from scipy.linalg import LinAlgError, cho_factor, cho_solve

        H = A + np.diag(self.bend + SHIFT * np.diagonal(A))
        bend = np.zeros(self.lam.size)
        bend[self.owner] = self.bend
        for g in np.unique(self.owner):
            where = np.flatnonzero(self.owner == g)
            block = np.ix_(where, where)
            H[block] -= bend[g] * np.outer(self.unit[where], self.unit[where])
        try:
            factor = cho_factor(H, lower=True, check_finite=False)
        except LinAlgError:
            return None
        return -cho_solve(factor, self.slope, check_finite=False)

    def on_columns(self, X: np.ndarray) -> np.ndarray | None:
        """The same from the columns by systems of the size of a column.

        With D the bends, E those of the groups and Z the units, the inverse of
        ``X^T X + D - Z E Z^T`` follows from ``K = I + X D^-1 X^T`` by the identity of
        Sherman, Morrison & Woodbury, twice; ``Y = X D^-1 Z``.
        """
        from scipy.linalg import LinAlgError, cho_factor, cho_solve

        n = X.shape[0]
        scaled = X / np.sqrt(self.bend)
        K = scaled @ scaled.T
        K.flat[:: n + 1] += 1.0
        names, position = np.unique(self.owner, return_inverse=True)
        Y = np.zeros((n, names.size))
        parts = X * (self.unit / self.bend)
        starts = np.flatnonzero(np.diff(position, prepend=-1))
        Y[:] = np.add.reduceat(parts, starts, axis=1)
        try:
            factor = cho_factor(K, lower=True, check_finite=False)
            KY = cho_solve(factor, Y, check_finite=False)
            S = Y.T @ KY
            S.flat[:: names.size + 1] *= 1.0 + SHIFT
            small = cho_factor(S, lower=True, check_finite=False)
        except LinAlgError:
            return None
        # M^-1 b with M = X^T X + D, then the correction along Z.
        b = -self.slope / self.bend
        first = b - (X.T @ cho_solve(factor, X @ b, check_finite=False)) / self.bend
        along = np.bincount(position, self.unit * first)
        share = cho_solve(small, along, check_finite=False)
        spread = self.unit * share[position] / self.bend
        return first + spread - (X.T @ (KY @ share)) / self.bend

    def length(self, d: np.ndarray, curvature: float) -> float:
        """Step length along d that decreases the objective; 0 without any.

        ``curvature`` is that of the squares along d.
        """
        limit = 1.0
        crossing = self.kinked & (self.w * d < 0)
        if crossing.any():
            limit = min(limit, float(np.min(-self.w[crossing] / d[crossing])))
        size = self.lam.size
        squares = np.bincount(self.owner, self.w**2, size)
        along = np.bincount(self.owner, self.w * d, size)
        # Past this length a group would turn round: it wants to leave.
        turning = (self.lam > 0) & (along < -REACH * squares)
        if turning.any():
            limit = min(
                limit, float(np.min(-REACH * squares[turning] / along[turning]))
            )
        descent = float(self.smooth_slope @ d)
        now = self._penalty(self.w)
        t = limit
        for _ in range(HALVINGS):
            change = t * descent + 0.5 * t * t * curvature
            if change + self._penalty(self.w + t * d) - now <= 0:
                return t
            t *= 0.5
        return 0.0

    def _penalty(self, w: np.ndarray) -> float:
        """Penalty of the coordinates."""
        norms = np.sqrt(np.bincount(self.owner, w * w, self.lam.size))
        return float(self.lam @ norms + self.l1 @ np.abs(w))


def smooth_part(
    starts: np.ndarray,
    w: np.ndarray,
    q: np.ndarray,
    lam: np.ndarray,
    l1: np.ndarray,
    lower: np.ndarray,
    curvature: np.ndarray,
) -> SmoothPart | None:
    """The smooth part at w, where q is the gradient of the squares; None if empty."""
    owner = np.repeat(np.arange(lam.size), np.diff(starts))
    norms = np.sqrt(np.bincount(owner, w * w, lam.size))
    kinked = (l1 > 0) | (lower == 0)
    used = (norms > 0)[owner] & ((w != 0) | ~kinked)
    used |= (lam == 0)[owner] & ~kinked
    # The last coordinate of a group has its largest curvature.
    support = np.flatnonzero(used & (curvature[starts[1:] - 1] > 0)[owner])
    if not support.size:
        return None
    own, x = owner[support], w[support]
    size = np.where(norms > 0, norms, 1.0)[own]
    unit, bend = x / size, lam[own] / size
    slope = q[support] + bend * x + l1[support] * np.sign(x)
    one = kinked[support]
    return SmoothPart(
        support, own, x, slope, q[support], lam, l1[support], one, bend, unit
    )
