# SPDX-License-Identifier: BSD-3-Clause
"""What every section of the demo returns, and the table made of it."""

import sys
from typing import NamedTuple

__all__ = ["Row", "write", "write_table"]


class Row(NamedTuple):
    """One line of the demo's table."""

    family: str
    data: str
    result: str
    certificate: str
    peer: str
    ratio: str


def write(line: str = "") -> None:
    """Print one line for the person who runs the demo."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def write_table(rows: list[Row]) -> None:
    """Print the rows under their headings."""
    headings = [name.replace("_", " ") for name in Row._fields]
    widths = [
        max(len(text) for text in column)
        for column in zip(headings, *rows, strict=True)
    ]
    for line in (headings, ["-" * width for width in widths], *rows):
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        write("  ".join(cells).rstrip())
