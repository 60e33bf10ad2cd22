# SPDX-License-Identifier: BSD-3-Clause
"""A kernel is one formula with up to three bodies, chosen by array namespace."""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, namespace_key, namespace_name
from numopt.typing import Namespace

__all__ = ["Kernel", "all_kernels", "compile_kernels", "kernel", "sequential_kernel"]

Example = Callable[[np.random.Generator, Any, int], tuple[Any, ...]]


class Kernel:
    """A hot loop: the reference body is its definition, the targets are faster twins.

    Parameters
    ----------
    name : str
        Name of the kernel; the bodies carry the same one.
    doc : str
        The formula.
    targets : dict of str to str
        Body by namespace key ("numpy", "cupy") as "package.module:name", imported on
        first use.
    reference : callable or None
        Array-API body for every other namespace. None marks a sequential kernel,
        which exists only for its targets.
    """

    def __init__(
        self,
        name: str,
        doc: str,
        targets: dict[str, str],
        reference: Callable[..., Any] | None,
    ) -> None:
        self.__name__ = name
        self.__doc__ = doc
        self.targets = targets
        self.reference = reference
        self._example: Example | None = None
        self._loaded: dict[str, Callable[..., Any]] = {}

    def for_namespace(self, xp: Namespace) -> Callable[..., Any]:
        """Return the body for a namespace; resolve once, outside loops."""
        key = namespace_key(xp)
        if key not in self._loaded:
            self._loaded[key] = self._resolve(key, xp)
        return self._loaded[key]

    def _resolve(self, key: str, xp: Namespace) -> Callable[..., Any]:
        if key in self.targets:
            module, name = self.targets[key].split(":")
            return getattr(importlib.import_module(module), name)
        if self.reference is not None:
            return self.reference
        raise TypeError(
            f"{self.__name__} runs on {' and '.join(sorted(self.targets))} arrays "
            f"only, got {namespace_name(xp)} arrays"
        )

    def __call__(self, *args: Any) -> Any:
        return self.for_namespace(array_namespace(*args))(*args)

    def example(self, make: Example) -> Example:
        """Register ``make(rng, dtype, size) -> args``: small valid NumPy inputs.

        ``size`` is 0, 1, odd or large; tests move the arrays to each namespace, and
        ``python -m numopt warmup`` compiles from them.
        """
        self._example = make
        return make

    def make_example(
        self, rng: np.random.Generator, dtype: Any, size: int
    ) -> tuple[Any, ...]:
        """Return valid NumPy arguments of about ``size`` rows."""
        if self._example is None:
            raise RuntimeError(f"kernel {self.__name__} has no example")
        return self._example(rng, dtype, size)

    def __repr__(self) -> str:
        return f"<Kernel {self.__name__}>"


def kernel(**targets: str) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a Kernel of an array-API reference body; targets are the faster twins."""

    def decorate(reference: Callable[..., Any]) -> Kernel:
        doc = inspect.getdoc(reference) or ""
        made = Kernel(reference.__name__, doc, targets, reference)
        functools.update_wrapper(made, reference, updated=())
        return made

    return decorate


def sequential_kernel(name: str, doc: str, **targets: str) -> Kernel:
    """Make a Kernel without a reference body (one compiled loop by nature)."""
    return Kernel(name, doc, targets, None)


def all_kernels() -> Iterator[tuple[str, Kernel]]:
    """Yield every Kernel of the package with its full name, in sorted order."""
    package = importlib.import_module("numopt")
    for module in sorted(
        info.name for info in pkgutil.walk_packages(package.__path__, "numopt.")
    ):
        parts = module.split(".")
        if "_kernels" not in parts[2:]:
            continue
        for name, value in sorted(vars(importlib.import_module(module)).items()):
            if isinstance(value, Kernel):
                yield f"{module}.{name}", value


def compile_kernels(prefix: str = "numopt.") -> int:
    """Compile the kernels whose full name begins so, in both precisions; how many."""
    count = 0
    for name, kernel in all_kernels():
        if name.startswith(prefix):
            for dtype in (np.float64, np.float32):
                kernel(*kernel.make_example(np.random.default_rng(0), dtype, 3))
            count += 1
    return count
