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

DATA = """
import numpy as np

rng = np.random.default_rng(1)
X, y = rng.standard_normal((60, 20)), rng.standard_normal(60)
"""
#: A first small problem of each family.
SOLVES = {
    "ot": "no.sinkhorn(None, None, X**2, 0.5)",
    "completion": "no.complete(np.where(X > 1, np.nan, X), 2)",
    "coordinate": "no.bcd_solve(X, y, no.Quadratic(), no.L1(0.1))",
    "sbl": "no.sbl(X, y)",
    "cluster": "no.kmeans_certificate(X, (y > 0).astype(int))",
    "dmmv": "no.minimize_max_violation(X[:, :5], y, [-1, 0, 1])",
    "bilevel": "no.BilevelRidge([0] * 10 + [1] * 10).fit(X, y)",
}
FIRST_CALL = (
    DATA
    + """
import time

import numopt.{family} as no

start = time.perf_counter()
{solve}
first = time.perf_counter() - start
warm = []
for _ in range(20):
    start = time.perf_counter()
    {solve}
    warm.append(time.perf_counter() - start)
print(first / sorted(warm)[10])
"""
)


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
    params = [FAMILIES, ("cached", "compiled")]
    param_names = ("family", "kernels")
    timeout = 600.0

    def track_first_call_ratio(self, family, kernels):
        code = FIRST_CALL.format(family=family, solve=SOLVES[family])
        if kernels == "cached":
            python(code)
            return float(python(code))
        with tempfile.TemporaryDirectory() as empty:
            return float(python(code, NUMBA_CACHE_DIR=empty))


def cases():
    """Rows of the performance page: processes with numopt over bare ones."""
    for family in FAMILIES:
        code = f"{BARE}, numopt.{family}"
        yield _case(f"import numopt.{family}", functools.partial(python, code))
    for family in FAMILIES:
        solve = functools.partial(_solve, family)
        yield _case(f"import and first call of numopt.{family}", solve)
    compile_all = functools.partial(_compile_and_solve, "ot")
    yield _case("the same of numopt.ot, empty compiler cache", compile_all)


def _case(workload, ours):
    """Return the row of a process against one that imports NumPy and SciPy only."""
    peer = functools.partial(python, BARE)
    return Case(workload, BARE, "scipy", lambda: (ours, peer), clock=_children)


def _solve(family, **environment):
    """Import a family and solve one small problem."""
    code = f"{DATA}\nimport numopt.{family} as no\n{SOLVES[family]}"
    python(code, **environment)


def _compile_and_solve(family):
    """The same where nothing is compiled yet."""
    with tempfile.TemporaryDirectory() as empty:
        _solve(family, NUMBA_CACHE_DIR=empty)


def _children():
    """CPU time of the processes that have ended."""
    taken = os.times()
    return taken.children_user + taken.children_system
