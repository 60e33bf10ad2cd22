# SPDX-License-Identifier: BSD-3-Clause
"""A dense design that stays on its device; vectors and small products travel.

Products with the design run where it lies. The results, of the size of a row, a column
or a working set, come to the host, where the working sets are solved.
"""

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.typing import Array

__all__ = ["DeviceDesign"]


class DeviceDesign:
    """An array of another library with the few products that solvers need."""

    def __init__(self, X: Array) -> None:
        self.array = X
        self.xp = array_namespace(X)
        self.shape: tuple[int, int] = (int(X.shape[0]), int(X.shape[1]))
        self.dtype = np.dtype(np.float32 if X.dtype == self.xp.float32 else np.float64)

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.shape[0] * self.shape[1]

    def __truediv__(self, unit: float) -> "DeviceDesign":
        """The design in another unit."""
        return DeviceDesign(self.array / float(unit))

    def send(self, values: np.ndarray) -> Array:
        """Move host values to the design, in its precision."""
        return self.xp.asarray(
            np.ascontiguousarray(values, dtype=self.dtype), device=device(self.array)
        )

    def __matmul__(self, coef: np.ndarray) -> np.ndarray:
        """Product with host coefficients, on the host."""
        return to_numpy(self.array @ self.send(coef))

    def correlate(self, residual: np.ndarray) -> np.ndarray:
        """Product of the transpose with host values, on the host."""
        return to_numpy(self.array.T @ self.send(residual))

    def take(self, index: np.ndarray) -> Array:
        """Some columns, on the device."""
        where = self.xp.asarray(
            np.asarray(index, dtype=np.int64), device=device(self.array)
        )
        return self.xp.take(self.array, where, axis=1)
