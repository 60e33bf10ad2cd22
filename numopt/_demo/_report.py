# SPDX-License-Identifier: BSD-3-Clause
"""What every section of the demo returns, and the table and page made of it."""

import html
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Row", "write", "write_page", "write_table"]


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


def write_page(out: Path, rows: list[Row]) -> Path:
    """Write the table and all pictures as one HTML page; return its path."""
    headings = (name.replace("_", " ") for name in Row._fields)
    table = [_line("th", headings), *(_line("td", row) for row in rows)]
    figures = [
        f'<figure><img src="{path.name}" alt="{path.stem}">'
        f"<figcaption>{path.stem.replace('_', ' ')}</figcaption></figure>"
        for path in sorted(out.glob("*.png"))
    ]
    page = out / "index.html"
    page.write_text(
        "<!doctype html><meta charset='utf-8'><title>numopt demo</title>"
        "<style>body{font-family:sans-serif;margin:2em}td,th{text-align:left;"
        "padding:.3em 1em .3em 0}img{max-width:100%}</style>"
        "<h1>numopt on real data</h1>\n"
        f"<table>\n{chr(10).join(table)}\n</table>\n{chr(10).join(figures)}\n"
    )
    return page


def _line(tag: str, cells: Iterable[str]) -> str:
    """One row of an HTML table."""
    inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>"
