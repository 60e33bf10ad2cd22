# SPDX-License-Identifier: BSD-3-Clause
"""Where the time of the default solver goes: ``table --family coordinate``.

The share of passes over the design bounds what a better inner solver could gain; a
solve needs two of them, one that starts and one that certifies.
"""

import contextlib
import functools
import statistics
import time
from unittest import mock

from benchmarks import bench_coordinate as bench
from benchmarks.rows import seconds, significant
from numopt.coordinate._kernels.descent import solve_gram
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._solvers.columns import GramCache
from numopt.coordinate._solvers.group_columns import GroupColumns
from numopt.coordinate._solvers.newton_model import CurvedGram

#: What is timed: {part: [(class, method)]}. Compiled kernels are the inner solves,
#: with the Gram matrices of dense logistic models.
PARTS = {
    "passes": [(LinearData, "correlate")],
    "columns and Gram matrices": [
        *((GramCache, "load"), (GramCache, "promote")),
        *((GroupColumns, "extend"), (CurvedGram, "update")),
    ],
}
#: Solves that are measured, after one that compiles.
SOLVES = 9


class Meter:
    """CPU time by part; what a part calls belongs to it."""

    def __init__(self):
        self.times, self.calls, self._busy = {}, {}, False

    def wrap(self, part, run):
        """Return ``run`` with its time counted."""

        @functools.wraps(run)
        def timed(*arguments, **options):
            if self._busy:
                return run(*arguments, **options)
            self._busy, start = True, time.process_time()
            try:
                return run(*arguments, **options)
            finally:
                self._busy = False
                taken = time.process_time() - start
                self.times[part] = self.times.get(part, 0.0) + taken
                self.calls[part] = self.calls.get(part, 0) + 1

        return timed

    @contextlib.contextmanager
    def running(self):
        """Count what runs inside."""
        kernel, whole = type(solve_gram), type(solve_gram).for_namespace

        def for_namespace(own, xp):
            return self.wrap("inner solves", whole(own, xp))

        with contextlib.ExitStack() as stack:
            for part, methods in PARTS.items():
                for owner, name in methods:
                    timed = self.wrap(part, getattr(owner, name))
                    stack.enter_context(mock.patch.object(owner, name, timed))
            stack.enter_context(
                mock.patch.object(kernel, "for_namespace", for_namespace)
            )
            yield


def shares():
    """Shares of the time of each model at its loosest and its finest gap."""
    for kind, name, share, tols in bench.MODELS:
        for tol in (tols[0], tols[-1]):
            yield _shares(kind, name, share, tol)


def _shares(kind, name, share, tol):
    """The row of one model and gap."""
    solve = bench.ours(kind, name, share, tol)
    solve()
    meters, totals = [], []
    for _ in range(SOLVES):
        meter = Meter()
        with meter.running():
            totals.append(seconds(solve))
        meters.append(meter)
    passes = meters[0].calls["passes"]
    row = {
        "workload": f"shares of time, {kind}, {name} {share:g}, gap {tol:.0e}",
        "passes over the design": passes,
    }
    for part in (*PARTS, "inner solves"):
        row[part] = _median(part, meters, totals)
    row["two passes"] = significant(row["passes"] * 2 / passes)
    return row


def _median(part, meters, totals):
    """Median share of a part."""
    pairs = zip(meters, totals, strict=True)
    return significant(statistics.median(m.times.get(part, 0.0) / t for m, t in pairs))


GROUPS = {"shares": shares}
