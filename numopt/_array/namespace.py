# SPDX-License-Identifier: BSD-3-Clause
"""Namespace, device and dtype rules; the only place where arrays leave their device."""

from typing import Any

import array_api_compat
import numpy as np
from array_api_compat import (
    device,
    is_array_api_obj,
    is_cupy_namespace,
    is_numpy_namespace,
    is_torch_namespace,
)

from numopt.typing import Array, Namespace

__all__ = [
    "array_namespace",
    "device",
    "is_array",
    "namespace_key",
    "namespace_name",
    "numpy_namespace",
    "read_only",
    "to_numpy",
]

numpy_namespace: Namespace = array_api_compat.array_namespace(np.empty(0))


def is_array(x: Any) -> bool:
    """Whether ``x`` is an array of a supported library (not a list, not a scalar)."""
    return is_array_api_obj(x) and not isinstance(x, np.generic)


def array_namespace(*arrays: Any) -> Namespace:
    """Return the common namespace of all array arguments.

    Lists, scalars and None name no namespace; without any array the answer is NumPy.
    Raises TypeError naming both when two libraries or two devices are mixed.
    """
    if all(x is None or type(x) is np.ndarray for x in arrays):  # nearly always
        return numpy_namespace
    found = [x for x in arrays if is_array(x)]
    if not found:
        return numpy_namespace
    spaces = {array_api_compat.array_namespace(x) for x in found}
    if len(spaces) > 1:
        names = " and ".join(sorted(namespace_name(xp) for xp in spaces))
        raise TypeError(
            f"arrays of one library are expected, got {names}; convert them first"
        )
    devices = {str(device(x)) for x in found}
    if len(devices) > 1:
        raise TypeError(
            "arrays on one device are expected, got devices "
            + " and ".join(sorted(devices))
        )
    return spaces.pop()


def namespace_name(xp: Namespace) -> str:
    """Name of the library behind a namespace, e.g. 'numpy' or 'torch'."""
    return xp.__name__.replace("array_api_compat.", "")


def namespace_key(xp: Namespace) -> str:
    """Kernel target of a namespace: 'numpy', 'cupy' or 'other'."""
    if is_numpy_namespace(xp):
        return "numpy"
    if is_cupy_namespace(xp):
        return "cupy"
    return "other"


def to_numpy(x: Any) -> np.ndarray:
    """Copy an array of any library to the host (a NumPy array is returned as it is)."""
    if isinstance(x, np.ndarray):
        return x
    if not is_array(x):
        return np.asarray(x)
    xp = array_api_compat.array_namespace(x)
    if is_torch_namespace(xp):
        return x.detach().cpu().numpy()
    if is_cupy_namespace(xp):
        return x.get()
    # array-api-strict refuses to export from its pretend devices.
    return np.asarray(array_api_compat.to_device(x, _host_device(x)))


def _host_device(x: Array) -> Any:
    """Default device of the library of ``x``, where NumPy can read it."""
    info = array_api_compat.array_namespace(x).__array_namespace_info__()
    return info.default_device()


def read_only(x: Array) -> Array:
    """Return a view that cannot be written where the library knows such views."""
    if isinstance(x, np.ndarray):
        view = x.view()
        view.flags.writeable = False
        return view
    return x
