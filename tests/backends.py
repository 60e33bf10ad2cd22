# SPDX-License-Identifier: BSD-3-Clause
"""Array libraries under test and the comparison that checks where results live."""

import contextlib
import dataclasses
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import array_api_compat
import numpy as np
import pytest

from numopt._array.namespace import array_namespace, device, to_numpy

_NAMES = ("numpy", "array_api_strict", "torch", "cupy")


@dataclasses.dataclass(frozen=True)
class Backend:
    """An array library, a device and, for array-api-strict, its flags."""

    library: str
    device_name: str | None = None
    flags: tuple[tuple[str, Any], ...] = ()
    marks: tuple[Any, ...] = ()

    @property
    def xp(self) -> Any:
        """The array namespace."""
        module = importlib.import_module(self.library)
        if self.library == "array_api_strict":
            return module
        return array_api_compat.array_namespace(module.asarray([0.0]))

    @property
    def device(self) -> Any:
        """The device, None for the library's default."""
        if self.library == "array_api_strict" and self.device_name:
            return self.xp.Device(self.device_name)
        return self.device_name

    def asarray(self, x: Any, dtype: Any = None) -> Any:
        """Move host data there; NumPy arrays become read-only."""
        host = np.array(x, dtype=dtype)
        if self.library == "numpy":
            host.flags.writeable = False
            return host
        return self.xp.asarray(host, device=self.device)

    def arrays(self, *values: Any, dtype: Any = None) -> list[Any]:
        """Move several."""
        return [self.asarray(value, dtype) for value in values]

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Context in which the flags of the library hold."""
        if self.flags:
            with self.xp.ArrayAPIStrictFlags(**dict(self.flags)):
                yield
        else:
            yield


def _installed(name: str) -> bool:
    if importlib.util.find_spec(name) is None:
        return False
    if name == "cupy":
        import cupy

        return cupy.cuda.is_available()
    return True


def _selected() -> list[str]:
    names = os.environ.get("NUMOPT_TEST_BACKENDS", ",".join(_NAMES)).split(",")
    return [name for name in names if name in _NAMES]


def missing_backends() -> list[str]:
    """Names of libraries that drop out of the parameters."""
    return [name for name in _NAMES if not _installed(name)]


def _make_backends() -> dict[str, Backend]:
    strictest = (("boolean_indexing", False), ("data_dependent_shapes", False))
    every = {
        "numpy": Backend("numpy"),
        "array_api_strict": Backend("array_api_strict"),
        "array_api_strict-device1": Backend("array_api_strict", "device1"),
        "array_api_strict-strictest": Backend("array_api_strict", flags=strictest),
        "torch": Backend("torch"),
        "cupy": Backend("cupy", marks=(pytest.mark.gpu,)),
    }
    chosen = [name for name in _selected() if _installed(name)]
    return {name: one for name, one in every.items() if one.library in chosen}


BACKENDS = _make_backends()


def assert_xp_close(
    actual: Any, desired: Any, *, like: Any, rtol: float = 1e-7, atol: float = 0.0
) -> None:
    """Check namespace, device and dtype against ``like``, then shape and values."""
    assert array_namespace(actual) is array_namespace(like)
    assert str(device(actual)) == str(device(like))
    assert actual.dtype == like.dtype
    assert tuple(actual.shape) == np.shape(to_numpy(desired))
    np.testing.assert_allclose(
        to_numpy(actual), to_numpy(desired), rtol=rtol, atol=atol
    )
