# SPDX-License-Identifier: BSD-3-Clause
"""The demo: one section a family on real data, a table and pictures."""

import contextlib
import importlib
import io
import pkgutil
import time
from pathlib import Path

from numopt._demo._report import Row, write, write_page, write_table

__all__ = ["run"]

#: Sections at a time: compiling, which is most of a first run, uses one core.
AT_A_TIME = 2


def run(out: Path) -> list[Row]:
    """Run every section, write its pictures and a page to ``out``, print the table.

    A section is a module of this package with ``section(out) -> list of Row``. They
    run in processes of their own and are shown in order.
    """
    import joblib

    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    names = [m.name for m in pkgutil.iter_modules(__path__) if m.name[0] != "_"]
    parallel = joblib.Parallel(n_jobs=AT_A_TIME, return_as="generator")
    rows: list[Row] = []
    for found, text in parallel(joblib.delayed(_section)(name, out) for name in names):
        rows += found
        write(text)
    write_table(rows)
    page = write_page(out, rows)
    write(f"\npage with pictures: {page}, {time.perf_counter() - started:.0f} s")
    return rows


def _section(name: str, out: Path) -> tuple[list[Row], str]:
    """Run one section; return its rows and what it printed."""
    module = importlib.import_module(f"{__name__}.{name}")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        write(f"== {name}: {(module.__doc__ or '').strip().splitlines()[0]}")
        rows = module.section(out)
    return rows, printed.getvalue()
