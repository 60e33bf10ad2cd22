# SPDX-License-Identifier: BSD-3-Clause
"""The documentation: its code runs as it stands, its API names all that is public."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import numopt

ROOT = Path(__file__).resolve().parents[2]
README = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGE = re.compile(r"code-block:: python\n\n((?:   .*\n|\n)+)")


def _blocks(path, pattern):
    """Code blocks of a document in order, those for a GPU left out."""
    blocks = pattern.findall((ROOT / path).read_text())
    return "\n".join(text for text in blocks if "cupy" not in text)


DOCUMENTS = ["README.md", "docs/index.rst", "docs/extend.rst"]
GUIDES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "docs/user_guide").glob("*.rst")
    if path.stem != "index"
)
EXAMPLES = sorted((ROOT / "examples").glob("*/plot_*.py"))


@pytest.mark.parametrize("path", [*DOCUMENTS, *GUIDES])
@pytest.mark.filterwarnings("error")
def test_code_runs(path):
    markdown = path.endswith(".md")
    lines = _blocks(path, README if markdown else PAGE).splitlines()
    indent = "" if markdown else "   "
    code = "\n".join(line.removeprefix(indent) for line in lines)
    assert "import" in code
    exec(compile(code, path, "exec"), {"__name__": path})


@pytest.mark.parametrize("name", [*numopt.FAMILIES, "plotting", "datasets"])
def test_api_lists_every_public_name(name):
    page = (ROOT / f"docs/api/{name}.rst").read_text()
    listed = re.findall(r"^   (\w+)$", page, re.MULTILINE)
    assert sorted(listed) == sorted(importlib.import_module(f"numopt.{name}").__all__)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_figures_are_drawn_in_one_cell(path):
    """The gallery shows and closes figures after each cell."""
    for cell in re.split(r"^# %%.*$", path.read_text(), flags=re.MULTILINE):
        nodes = list(ast.walk(ast.parse(cell)))
        names = [node for node in nodes if isinstance(node, ast.Name)]
        made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        made |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        assert {node.id for node in names} & {"fig", "figure", "ax", "axes"} <= made
