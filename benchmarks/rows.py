# SPDX-License-Identifier: BSD-3-Clause
"""Rows of tables: measured in pairs with a peer, and what their builders share."""

import importlib
import time

from benchmarks import peers

__all__ = ["measure", "paired_rows", "seconds", "select", "significant"]

#: Families whose cases are in several modules.
PARTS = {"ot": ("ot", "ot_means", "ot_partial", "ot_points")}


def seconds(run):
    """CPU time of one call, in seconds."""
    start = time.process_time()
    run()
    return time.process_time() - start


def significant(x):
    """Three digits."""
    return float(f"{x:.3g}")


def select(family, *, workloads=None, names=None):
    """Return the cases of a family whose workload and peer were asked for.

    A module has cases where it has a function of that name. A workload is chosen by
    the beginning of its name.
    """
    modules = [
        importlib.import_module(f"benchmarks.bench_{part}")
        for part in PARTS.get(family, (family,))
    ]
    return [
        case
        for module in modules
        if hasattr(module, "cases")
        for case in module.cases()
        if (not names or case.peer in names)
        and (not workloads or case.workload.startswith(tuple(workloads)))
    ]


def measure(case, *, num_threads, max_seconds):
    """Return the row of a case: a ratio, or the reason why there is none."""
    row = {
        "workload": case.workload,
        "peer": case.peer,
        "version": None,
        "threads": num_threads,
        "ratio": None,
        "spread": None,
    }
    try:
        peers.require(case.package)
        row["version"] = peers.version(case.package)
        with peers.threads(num_threads):
            ours, theirs = case.make()
        # One thread: CPU time, which other processes do not disturb.
        clock = time.process_time if num_threads == 1 else time.perf_counter
        result = peers.measure(
            ours,
            theirs,
            num_threads=num_threads,
            clock=case.clock or clock,
            max_seconds=max_seconds,
        )
    except NotImplementedError as reason:
        row["note"] = str(reason)
    else:
        row["ratio"], row["spread"] = result.median, result.spread
        row["pairs"] = len(result.samples)
    return row


def paired_rows(family, workloads=None, names=None, *, num_threads=1, max_seconds=20.0):
    """The rows of the cases of a family."""
    for case in select(family, workloads=workloads, names=names):
        yield measure(case, num_threads=num_threads, max_seconds=max_seconds)
