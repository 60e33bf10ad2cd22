# SPDX-License-Identifier: BSD-3-Clause
"""Lazy public names (PEP 562): importing a package costs nothing until it is used."""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def attach(
    package: str,
    *,
    submodules: Iterable[str] = (),
    attributes: Mapping[str, Iterable[str]] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__, __dir__, __all__`` that load names on first access."""
    modules = frozenset(submodules)
    home = {
        name: f"{package}.{module}"
        for module, names in (attributes or {}).items()
        for name in names
    }
    public = sorted(modules | home.keys())

    def __getattr__(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name in home:
            value = getattr(importlib.import_module(home[name]), name)
            setattr(sys.modules[package], name, value)
            return value
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return public

    return __getattr__, __dir__, list(public)
