# SPDX-License-Identifier: BSD-3-Clause
"""The demo: one section a family on real data, a table and pictures."""

import importlib
import pkgutil
import time
from pathlib import Path

from numopt._demo._report import Row, write, write_table

__all__ = ["run"]


def run(out: Path) -> list[Row]:
    """Run every section, write its pictures to ``out`` and print the table.

    A section is a module of this package with ``section(out) -> list of Row``.
    """
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    rows: list[Row] = []
    for info in pkgutil.iter_modules(__path__):
        if not info.name.startswith("_"):
            module = importlib.import_module(f"{__name__}.{info.name}")
            write(f"== {info.name}: {(module.__doc__ or '').strip().splitlines()[0]}")
            begun = time.perf_counter()
            rows += module.section(out)
            write(f"{time.perf_counter() - begun:.0f} s\n")
    write_table(rows)
    write(f"\npictures in {out}, {time.perf_counter() - started:.0f} s")
    return rows
