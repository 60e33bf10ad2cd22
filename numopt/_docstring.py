# SPDX-License-Identifier: BSD-3-Clause
"""Sections of docstrings that several public objects share, written once."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["fill_docstring"]

T = TypeVar("T", bound=Any)


def fill_docstring(**parts: str) -> Callable[[T], T]:
    """Return a decorator that replaces each line ``{name}`` of a docstring by a part.

    Parts may be indented as their own source is, and need not all be used. A line that
    names no part is a mistake of the programmer and raises KeyError.
    """
    texts = {name: inspect.cleandoc(part) for name, part in parts.items()}

    def decorate(documented: T) -> T:
        if documented.__doc__ is None:  # python -OO
            return documented
        lines = []
        for line in inspect.cleandoc(documented.__doc__).splitlines():
            if line.startswith("{") and line.endswith("}"):
                line = texts[line[1:-1]]
            lines.append(line)
        documented.__doc__ = "\n".join(lines) + "\n"
        return documented

    return decorate
