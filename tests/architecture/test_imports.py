# SPDX-License-Identifier: BSD-3-Clause
"""Heavy packages are imported late: at module level only in the rooms that own them.

The import-linter contracts keep every import, late or not, in its rooms; they cannot
tell a module-level import from one inside a function. This test can.
"""

import ast
from pathlib import Path

import pytest

import numopt

ROOT = Path(numopt.__file__).parent

#: Top-level package -> patterns of files that may import it at module level.
ROOMS = {
    "sklearn": ("_estimator/**/*.py", "*/_estimators.py", "*/_estimators/**/*.py"),
    "numba": ("_kernels/**/*.py", "*/_kernels_cpu.py", "*/_kernels_cpu/**/*.py"),
    "llvmlite": ("_kernels/**/*.py", "*/_kernels_cpu/**/*.py"),
    "cupy": ("_kernels/cuda.py", "*/_kernels_gpu.py", "*/_kernels_gpu/**/*.py"),
    "cupyx": ("_kernels/cuda.py", "*/_kernels_gpu.py", "*/_kernels_gpu/**/*.py"),
    "dask": ("distributed/**/*.py",),
    "distributed": ("distributed/**/*.py",),
    "matplotlib": (),
    "pandas": (),
    "torch": (),
    "tqdm": (),
}


def module_level_imports(path):
    """Yield (line, top-level package) of what importing the file imports."""
    stack = list(ast.parse(path.read_text()).body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, (node.module or "").split(".")[0]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            stack += node.orelse
        else:
            stack += [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)]
            stack += getattr(node, "handlers", [])


@pytest.mark.parametrize("package", sorted(ROOMS))
def test_imported_at_module_level_only_in_its_rooms(package):
    rooms = {path for pattern in ROOMS[package] for path in ROOT.glob(pattern)}
    strays = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(ROOT.rglob("*.py"))
        if path not in rooms
        for line, name in module_level_imports(path)
        if name == package
    ]
    assert not strays, f"{package} is imported at module level in {strays}"
