# SPDX-License-Identifier: BSD-3-Clause
"""Command line: ``python -m numopt info | warmup | demo``."""

import argparse
import importlib
import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path

import numopt

_PACKAGES = (
    *("numpy", "scipy", "scikit-learn", "numba", "array-api-compat"),
    *("array-api-extra", "threadpoolctl", "joblib", "tqdm", "matplotlib", "POT"),
    *("torch", "cupy-cuda13x", "cupy-cuda12x", "dask", "array-api-strict"),
)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _gpu() -> str:
    """Name of the CUDA device, or why there is none."""
    try:
        cupy = importlib.import_module("cupy")
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except ImportError:
        return "none (CuPy is not installed)"
    except Exception as error:  # CuPy raises its own types for a missing driver
        return f"none ({error})"
    return name


def info() -> None:
    """Print versions, back ends, threads and the compiler cache."""
    rows = {
        "numopt": numopt.__version__,
        "python": f"{platform.python_version()} ({platform.machine()})",
        **{package: _version(package) for package in _PACKAGES},
        "gpu": _gpu(),
        "threads": str(numopt.get_num_threads()),
        "compiler cache": os.environ.get("NUMBA_CACHE_DIR")
        or "__pycache__ of each file",
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        sys.stdout.write(f"{name:<{width}}  {value}\n")


def warmup() -> None:
    """Compile every kernel for float64 and float32 into the cache."""
    from numopt._kernels.dispatch import compile_kernels

    started = time.perf_counter()
    count = compile_kernels()
    elapsed = time.perf_counter() - started
    sys.stdout.write(f"compiled {count} kernels in {elapsed:.1f} s\n")


def demo(out: Path) -> None:
    """Run the demo and write its pictures to a folder."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    from numopt._demo import run

    run(out)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run one command."""
    parser = argparse.ArgumentParser(prog="python -m numopt", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help=info.__doc__)
    commands.add_parser("warmup", help=warmup.__doc__)
    demo_parser = commands.add_parser("demo", help=demo.__doc__)
    demo_parser.add_argument("--out", type=Path, default=Path("build/demo"))
    options = parser.parse_args(arguments)
    if options.command == "demo":
        demo(options.out)
    else:
        {"info": info, "warmup": warmup}[options.command]()


if __name__ == "__main__":
    main()
