# SPDX-License-Identifier: BSD-3-Clause
"""The documentation: its code runs as it stands, its API names all that is public."""

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
