# SPDX-License-Identifier: BSD-3-Clause
"""Cost of importing numopt and of the first compiled call, as ratios.

Fresh interpreters throughout; the time is the CPU time of the whole process.
"""

import functools
import os
import subprocess
import sys
import tempfile

from benchmarks.common import PeerBenchmark
from benchmarks.peers import Case
from numopt import FAMILIES

BARE = "import numpy, scipy"

FIRST_CALL = """
import time
import numpy as np
from numopt.ot import sinkhorn

M = np.random.default_rng(1).random((60, 50))
start = time.perf_counter()
sinkhorn(None, None, M, 0.05)
first = time.perf_counter() - start
warm = []
for _ in range(20):
    start = time.perf_counter()
    sinkhorn(None, None, M, 0.05)
    warm.append(time.perf_counter() - start)
print(first / sorted(warm)[10])
"""


def python(code: str, **environment: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


class Import(PeerBenchmark):
    """Fresh interpreters: ``import numopt.<family>`` over ``import numpy, scipy``."""

    unit = "time ratio (ours/import numpy, scipy)"
    params = [FAMILIES]
    param_names = ("family",)

    def track_ratio_numpy_scipy(self, family):
        return self.ratio(
            lambda: python(f"{BARE}, numopt.{family}"),
            lambda: python(BARE),
        )


class FirstCall:
    """First call of a process over a warm call, with and without a compile cache."""

    unit = "time ratio (first/warm call)"
    params = [("cached", "compiled")]
    param_names = ("kernels",)
    timeout = 600.0

    def track_first_call_ratio(self, kernels):
        if kernels == "cached":
            python(FIRST_CALL)
            return float(python(FIRST_CALL))
        with tempfile.TemporaryDirectory() as empty:
            return float(python(FIRST_CALL, NUMBA_CACHE_DIR=empty))


def cases():
    """Rows of the performance page: processes with numopt over bare ones."""
    for family in FAMILIES:
        code = f"{BARE}, numopt.{family}"
        yield _case(f"import numopt.{family}", functools.partial(python, code))
    yield _case("import and first sinkhorn", functools.partial(python, FIRST_CALL))
    yield _case("import and first sinkhorn, empty compiler cache", _first_compiled_call)


def _case(workload, ours):
    """Return the row of a process against one that imports NumPy and SciPy only."""
    peer = functools.partial(python, BARE)
    return Case(workload, BARE, "scipy", lambda: (ours, peer), clock=_children)


def _first_compiled_call():
    """Run the first call where nothing is compiled yet."""
    with tempfile.TemporaryDirectory() as empty:
        python(FIRST_CALL, NUMBA_CACHE_DIR=empty)


def _children():
    """CPU time of the processes that have ended."""
    taken = os.times()
    return taken.children_user + taken.children_system
