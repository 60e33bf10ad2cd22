# SPDX-License-Identifier: BSD-3-Clause
"""The rules of the house that can be read off the code."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import numopt

ROOT = Path(numopt.__file__).parent
HEAVY = ("sklearn", "numba", "cupy", "torch", "matplotlib", "dask", "tqdm", "pandas")
SOURCES = sorted(ROOT.rglob("*.py"))


def _public_modules():
    found = (info.name for info in pkgutil.iter_modules(numopt.__path__, "numopt."))
    return ["numopt", *(n for n in found if not n.split(".")[-1].startswith("_"))]


def _public_objects():
    for module_name in _public_modules():
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if callable(value) and getattr(value, "__module__", "").startswith(
                "numopt"
            ):
                yield f"{value.__module__}.{value.__qualname__}"


PUBLIC = sorted(set(_public_objects()))


def test_import_is_lazy():
    code = (
        "import sys, importlib, numopt\n"
        "names = [f'numopt.{n}' for n in (*numopt.FAMILIES, 'datasets', 'plotting')]\n"
        "[importlib.import_module(n) for n in names]\n"
        f"print(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_imports_run_downwards():
    contracts = Path(__file__).parents[2] / "pyproject.toml"
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=contracts.parent, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_rules(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert text.startswith("# SPDX-License-Identifier: BSD-3-Clause\n")
    assert ast.get_docstring(tree), "one sentence saying what the room is for"
    assert text.count("\n") <= 600
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            assert called != "print"
            assert not any(keyword.arg == "parallel" for keyword in node.keywords)
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, "a bare except swallows everything"


def test_every_public_name_resolves():
    for module_name in _public_modules():
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", ()):
            assert getattr(module, name) is not None
        assert set(getattr(module, "__all__", ())) <= set(dir(module))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = numopt.nothing


@pytest.mark.parametrize("name", PUBLIC)
def test_public_docstrings(name):
    from numpydoc.validate import validate

    # The checks that docs/conf.py turns on.
    wanted = {"GL08", "SS03", "PR01", "PR02", "PR03", "PR04", "RT01", "YD01", "EX01"}
    errors = [error for error in validate(name)["errors"] if error[0] in wanted]
    assert errors == []


def test_info_command():
    done = subprocess.run(
        [sys.executable, "-m", "numopt", "info"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert numopt.__version__ in done.stdout
    assert "compiler cache" in done.stdout
