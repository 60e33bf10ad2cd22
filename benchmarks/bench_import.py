# SPDX-License-Identifier: BSD-3-Clause
"""Cost of importing numopt and of the first compiled call, as ratios."""

import os
import subprocess
import sys
import tempfile

from benchmarks.common import PeerBenchmark

FAMILIES = ("ot",)

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
            lambda: python(f"import numpy, scipy, numopt.{family}"),
            lambda: python("import numpy, scipy"),
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
