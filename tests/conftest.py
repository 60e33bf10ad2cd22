# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures shared by all tests; environment that must be set before SciPy loads."""

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _numba_cache() -> str:
    """Folder keyed on all kernel sources: numba itself watches one file a kernel."""
    package = ROOT / "numopt"
    sources = {p.relative_to(ROOT).as_posix(): p for p in package.rglob("*.py")}
    digest = hashlib.sha256()
    for name in sorted(sources):
        if "_kernels" in name:
            digest.update(sources[name].read_bytes())
    return str(ROOT / ".cache" / f"numba-{digest.hexdigest()[:16]}")


os.environ.setdefault("NUMBA_CACHE_DIR", _numba_cache())
os.environ.setdefault("MPLBACKEND", "Agg")
if os.environ.get("NUMOPT_TEST_ARRAY_API", "1") == "1":
    os.environ.setdefault("SCIPY_ARRAY_API", "1")
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    _cores = len(os.sched_getaffinity(0))
    _share = max(1, _cores // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMOPT_NUM_THREADS"):
        os.environ.setdefault(_name, str(_share))

import numpy as np
import pytest

from tests.backends import BACKENDS, Backend, missing_backends

try:
    import hypothesis
except ImportError:
    hypothesis = None
else:
    hypothesis.settings.register_profile(
        "numopt", deadline=None, derandomize=True, max_examples=40
    )
    hypothesis.settings.load_profile("numopt")


def pytest_report_header(config: pytest.Config) -> list[str]:
    names = ", ".join(BACKENDS)
    missing = ", ".join(missing_backends()) or "none"
    return [f"numopt back ends: {names}; not installed: {missing}"]


@pytest.fixture(
    params=[
        pytest.param(backend, id=name, marks=backend.marks)
        for name, backend in BACKENDS.items()
    ]
)
def backend(request: pytest.FixtureRequest) -> Backend:
    """One array library with a device and flags; moves arrays there."""
    with request.param.active():
        yield request.param


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded generator; NUMOPT_TEST_SEED changes the seed of the whole run."""
    return np.random.default_rng(int(os.environ.get("NUMOPT_TEST_SEED", "0")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    has_gpu = "cupy" in BACKENDS
    for item in items:
        if item.get_closest_marker("gpu") and not has_gpu:
            item.add_marker(pytest.mark.skip(reason="needs CuPy and a CUDA device"))
