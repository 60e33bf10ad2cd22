# SPDX-License-Identifier: BSD-3-Clause
"""Which block next: fixed partitions, random and greedy selections.

Scores follow Nutini, Laradji & Schmidt (2022), sections 2 and 3. With a non-smooth
part they are decreases of the proximal model (GS-q); without one these are
``g_i^2 / (2 D_i)``, which are the smooth rules.
"""

from collections.abc import Callable

import numpy as np

from numopt.coordinate._kernels.blocks import minimise_block
from numopt.coordinate._solvers.bcd_composite import Composite, Grouped, Separable
from numopt.coordinate._solvers.bcd_model import SmoothModel

__all__ = ["Rule", "fixed_blocks"]

#: Steps of iterative hard thresholding for the variable GSQ rule.
HARD_THRESHOLDING_STEPS = 10


def fixed_blocks(
    partition: str, lipschitz: np.ndarray | None, size: int, block_size: int
) -> list[np.ndarray]:
    """Blocks of consecutive coordinates, in the order of the partition."""
    order = np.arange(size)
    if partition != "order" and lipschitz is not None:
        order = np.argsort(lipschitz, kind="stable")
    if partition == "average":
        # Smallest and largest constants alternate: every block has an average mix.
        mixed = np.empty(size, np.int64)
        half = (size + 1) // 2
        mixed[0::2], mixed[1::2] = order[:half], order[half:][::-1]
        order = mixed
    return [order[lo : lo + block_size] for lo in range(0, size, block_size)]


class Rule:
    """Selection of blocks for one model; ``blocks`` is None for variable blocks."""

    def __init__(
        self,
        selection: str,
        model: SmoothModel,
        composite: Composite,
        blocks: list[np.ndarray] | None,
        block_size: int,
        rng: np.random.Generator,
    ) -> None:
        self.selection, self.model, self.composite = selection, model, composite
        self.blocks, self.rng = blocks, rng
        self.block_size = min(block_size, model.size)
        self.everything = np.arange(model.size)
        self.count = (
            len(blocks) if blocks is not None else -(-model.size // self.block_size)
        )
        self._queue: list[int] = []
        self._turn = 0
        self._constants = self._block_constants()
        self._order, self._bounds = self._layout()
        self._scale = self._scales()
        self._inverses = self._block_inverses()

    def next(self) -> tuple[int, np.ndarray]:
        """Return the number of the block (its first coordinate if variable)."""
        if self.selection == "all":
            return 0, self.everything
        if self.blocks is None:
            b = self._variable()
            return int(b[0]), b
        k = self._fixed()
        return k, self.blocks[k]

    def in_turn(self) -> tuple[int, np.ndarray]:
        """Return blocks one after another: at rounding level scores say nothing."""
        k = self._turn % self.count
        self._turn += 1
        if self.selection == "all":
            return 0, self.everything
        if self.blocks is not None:
            return k, self.blocks[k]
        b = self.everything[k * self.block_size : (k + 1) * self.block_size]
        return int(b[0]), b

    def constant(self, k: int, b: np.ndarray) -> float:
        """Largest eigenvalue of the majorising block."""
        if self.blocks is not None and self._constants is not None:
            return float(self._constants[k])
        return _top(self.model.bound(b))

    def _block_constants(self) -> np.ndarray | None:
        """Lipschitz constant of each fixed block."""
        if self.blocks is None or self.model.lipschitz is None:
            return None
        return np.asarray([_top(self.model.bound(b)) for b in self.blocks])

    def _layout(self) -> tuple[np.ndarray, np.ndarray]:
        """All coordinates block after block, and where the blocks begin."""
        if self.blocks is None:
            return self.everything, self.everything
        sizes = np.cumsum([0, *(b.size for b in self.blocks[:-1])])
        return np.concatenate(self.blocks), sizes

    def _scales(self) -> np.ndarray:
        """Diagonal D of the rule (any constant for GS without penalty)."""
        lipschitz = self.model.lipschitz
        if self.selection == "GS" or lipschitz is None:
            top = 1.0 if lipschitz is None else float(np.max(lipschitz))
            if self.blocks is not None and self._constants is not None:
                top = float(np.max(self._constants))
            return np.full(self.model.size, max(top, 1e-300))
        if self.selection == "GSL" and self._constants is not None:
            assert self.blocks is not None
            scale = np.empty(self.model.size)
            for constant, b in zip(self._constants, self.blocks, strict=True):
                scale[b] = constant
            return np.maximum(scale, 1e-300)
        if self.selection in ("GSD", "GSQ"):
            return np.maximum(self._diagonal(lipschitz), 1e-300)
        return np.maximum(lipschitz, 1e-300)

    def _diagonal(self, lipschitz: np.ndarray) -> np.ndarray:
        """The smaller of two diagonal matrices that majorise every block."""
        if self.blocks is None:
            scaled = self.block_size * lipschitz
            sums = self.model.row_sums()
            if sums is None or sums.sum() >= scaled.sum():
                return scaled
            return sums
        diagonal = np.empty(self.model.size)
        for b in self.blocks:
            sums = np.abs(self.model.bound(b)).sum(axis=1)
            scaled = b.size * lipschitz[b]
            smaller = sums if sums.sum() < scaled.sum() else scaled
            # The prox of a group needs one step for all of it.
            grouped = isinstance(self.composite, Grouped)
            diagonal[b] = np.max(smaller) if grouped else smaller
        return diagonal

    def _block_inverses(self) -> list[np.ndarray] | None:
        """Pseudo-inverses that GSQ scores smooth blocks with."""
        if self.selection != "GSQ" or self.blocks is None or not self.composite.smooth:
            return None
        return [
            np.linalg.pinv(self.model.bound(b), hermitian=True) for b in self.blocks
        ]

    def _fixed(self) -> int:
        """Number of the next fixed block."""
        if self.selection in ("cyclic", "shuffle"):
            if not self._queue:
                order = np.arange(self.count)
                if self.selection == "shuffle":
                    order = self.rng.permutation(self.count)
                self._queue = order[::-1].tolist()
            return self._queue.pop()
        if self.selection == "random":
            return int(self.rng.integers(self.count))
        if self.selection == "lipschitz":
            assert self._constants is not None
            share = self._constants / self._constants.sum()
            return int(self.rng.choice(self.count, p=share))
        return int(np.argmax(self._block_scores()))

    def _block_scores(self) -> np.ndarray:
        """Scores of the fixed blocks."""
        assert self.blocks is not None
        g = self.model.full_gradient()
        if self.selection == "GSC":
            return np.asarray(
                [_cubic_decrease(self.model, b, g[b]) for b in self.blocks]
            )
        if self._inverses is not None:
            return np.asarray(
                [
                    g[b] @ (Q @ g[b])
                    for b, Q in zip(self.blocks, self._inverses, strict=True)
                ]
            )
        if self.selection == "GSQ" and isinstance(self.composite, Separable):
            return np.asarray([self._model_decrease(b, g[b]) for b in self.blocks])
        return np.add.reduceat(self._scores(g)[self._order], self._bounds)

    def _model_decrease(self, b: np.ndarray, g: np.ndarray) -> float:
        """Decrease of the block model with its whole matrix (GS-q)."""
        w, part, H = self.model.w[b], self.composite, self.model.bound(b)
        assert isinstance(part, Separable)
        bounds = part.l1[b], part.lower[b], part.upper[b]
        tol = 1e-6 * float(np.max(np.abs(g), initial=0.0))
        new = minimise_block(H, g, w, *bounds, max(tol, 1e-300), 1000)
        d = new - w
        change = part.value(b, new) - part.value(b, w)
        return -(float(g @ d + 0.5 * d @ (H @ d)) + change)

    def _scores(self, g: np.ndarray) -> np.ndarray:
        """Decrease of the diagonal proximal model in each coordinate."""
        w, D = self.model.w, self._scale
        if self.composite.smooth:
            return 0.5 * g * g / D
        every = self.everything
        new = self.composite.prox(every, w - g / D, 1.0 / D)
        d = new - w
        change = self.composite.values(every, new) - self.composite.values(every, w)
        return -(g * d + 0.5 * D * d * d + change)

    def _variable(self) -> np.ndarray:
        """The best coordinates by score."""
        if self.selection in ("cyclic", "shuffle", "random", "lipschitz"):
            return self._drawn()
        g = self.model.full_gradient()
        if self.selection == "GSC":
            third = np.asarray(
                [self.model.third(self.everything[i : i + 1]) for i in range(g.size)]
            )
            h = self.model.lipschitz
            assert h is not None
            scores = g * g / (h + np.sqrt(h * h + 2.0 * third * np.abs(g)))
        else:
            scores = self._scores(g)
        best = _largest(scores, self.block_size)
        return self._refined(g, best) if self.selection == "GSQ" else best

    def _drawn(self) -> np.ndarray:
        """A random block, or the next coordinates in order."""
        if self.selection in ("cyclic", "shuffle"):
            if not self._queue:
                order = self.everything
                if self.selection == "shuffle":
                    order = self.rng.permutation(self.model.size)
                self._queue = order[::-1].tolist()
            take = min(self.block_size, len(self._queue))
            return np.asarray([self._queue.pop() for _ in range(take)])
        share, take = None, self.block_size
        if self.selection == "lipschitz":
            assert self.model.lipschitz is not None
            share = self.model.lipschitz / self.model.lipschitz.sum()
            # Columns of zeros are never drawn.
            take = min(take, int(np.count_nonzero(share)))
        return self.rng.choice(self.model.size, take, replace=False, p=share)

    def _refined(self, g: np.ndarray, best: np.ndarray) -> np.ndarray:
        """Iterative hard thresholding from the GSD block, with its diagonal."""
        w, D = self.model.w, self._scale
        d = np.zeros_like(w)
        d[best] = self._prox_step(w, g, D)[best]
        for _ in range(HARD_THRESHOLDING_STEPS):
            step = self._prox_step(w + d, g + self.model.times(d), D) + d
            kept = _largest(D * step * step, self.block_size)
            new = np.zeros_like(w)
            new[kept] = step[kept]
            if np.array_equal(new != 0, d != 0):
                break
            d = new
        kept = np.flatnonzero(d)
        return kept if kept.size else best

    def _prox_step(self, w: np.ndarray, g: np.ndarray, D: np.ndarray) -> np.ndarray:
        """Diagonal proximal step on all coordinates."""
        return self.composite.prox(self.everything, w - g / D, 1.0 / D) - w


def _largest(scores: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k largest scores, the largest first."""
    if k >= scores.size:
        return np.argsort(-scores, kind="stable")
    best = np.argpartition(scores, scores.size - k)[scores.size - k :]
    return best[np.argsort(-scores[best], kind="stable")]


def _top(H: np.ndarray) -> float:
    """Largest eigenvalue."""
    return float(H[0, 0]) if H.shape[0] == 1 else float(np.linalg.eigvalsh(H)[-1])


def _cubic_decrease(model: SmoothModel, b: np.ndarray, g: np.ndarray) -> float:
    """Decrease of ``g d + d^T H d / 2 + M |d|^3 / 6`` at its minimiser."""
    values, vectors = np.linalg.eigh(model.hessian(b))
    values = np.maximum(values, 0.0)
    pull, third = vectors.T @ g, model.third(b)

    def length(shift: float) -> float:
        return float(np.linalg.norm(pull / np.maximum(values + shift, 1e-300)))

    if third == 0.0:
        used = values > 1e-12 * max(float(values[-1]), 1e-300)
        return 0.5 * float(np.sum(pull[used] ** 2 / values[used]))
    shift = _root(lambda t: 0.5 * third * length(t) - t)
    d = -pull / np.maximum(values + shift, 1e-300)
    size = float(np.linalg.norm(d))
    return -float(pull @ d + 0.5 * np.sum(values * d * d) + third * size**3 / 6.0)


def _root(f: Callable[[float], float]) -> float:
    """Root of a decreasing function on the positive axis."""
    high = 1.0
    while f(high) > 0:
        high *= 2.0
    low = 0.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if f(middle) > 0 else (low, middle)
    return high
