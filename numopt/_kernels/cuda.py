# SPDX-License-Identifier: BSD-3-Clause
"""CUDA sources shipped with a family, compiled once per dtype by CuPy."""

import functools
import importlib.resources
from typing import Any

__all__ = ["raw_module"]


@functools.cache
def raw_module(package: str, source: str, dtype: str) -> Any:
    """Compile ``package/cuda/source`` with the macro REAL set to the C type.

    CuPy keeps the binary in its own disk cache.
    """
    import cupy

    code = importlib.resources.files(package).joinpath("cuda", source).read_text()
    real = {"float64": "double", "float32": "float"}[dtype]
    return cupy.RawModule(
        code=code,
        options=("-std=c++17", f"-DREAL={real}"),
    )
