# SPDX-License-Identifier: BSD-3-Clause
"""What every section of the demo returns, and the table and page made of it."""

import html
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Row", "write", "write_page", "write_table"]


#: The page's style: pictures side by side where the window is wide enough.
STYLE = """
body { font-family: sans-serif; margin: 2em auto; max-width: 80em; padding: 0 1em; }
table { border-collapse: collapse; }
td, th { text-align: left; padding: .35em 1em .35em 0; border-bottom: 1px solid #ddd; }
main { display: grid; gap: 2em; margin-top: 2em; align-items: end;
       grid-template-columns: repeat(auto-fit, minmax(30em, 1fr)); }
figure { margin: 0; }
img { max-width: 100%; max-height: 24em; display: block; }
figcaption { margin-top: .5em; color: #555; }
"""


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
        f"<figcaption>{_caption(path.stem)}</figcaption></figure>"
        for path in sorted(out.glob("*.png"))
    ]
    page = out / "index.html"
    page.write_text(
        "<!doctype html><meta charset='utf-8'><title>numopt demo</title>"
        f"<style>{STYLE}</style>"
        "<h1>numopt on real data</h1>\n"
        f"<table>\n{chr(10).join(table)}\n</table>\n"
        f"<main>\n{chr(10).join(figures)}\n</main>\n"
    )
    return page


def _caption(stem: str) -> str:
    """Words of the name of a picture, ``family_what_it_shows``."""
    return stem.replace("_", ": ", 1).replace("_", " ")


def _line(tag: str, cells: Iterable[str]) -> str:
    """One row of an HTML table."""
    inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>"
