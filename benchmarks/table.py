# SPDX-License-Identifier: BSD-3-Clause
"""Measure the tables of the performance page: ``python -m benchmarks.table``.

A benchmark module with a function ``cases()`` has a table: it returns ``peers.Case``
objects, one per row. Rows are merged into the stored file by workload and peer, so a
part of a table can be measured again. The stored tables are the baseline of releases:
``--check`` measures again, stores nothing, and fails where a ratio has grown.
"""

import argparse
import importlib
import json
import platform
import time
from pathlib import Path

from benchmarks import peers

FAMILIES = ("import", "kernels", "ot", "coordinate")
#: Families whose cases are in several modules.
PARTS = {"ot": ("ot", "ot_means", "ot_partial", "ot_points")}
VERSIONS = ("numopt", "numpy", "scipy", "numba", "sklearn")


def select(family, *, workloads=None, names=None):
    """Return the cases of a family whose workload and peer were asked for.

    A workload is chosen by the beginning of its name.
    """
    modules = [
        importlib.import_module(f"benchmarks.bench_{part}")
        for part in PARTS.get(family, (family,))
    ]
    return [
        case
        for module in modules
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


def load(path):
    """Return {(workload, peer): row} of a stored table; an absent one is empty."""
    if not path.exists():
        return {}
    rows = json.loads(path.read_text())["rows"]
    return {(row["workload"], row["peer"]): row for row in rows}


def save(path, rows, **more):
    """Store a table with the versions it was measured with, and what else there is.

    Experiments that are stored already stay.
    """
    if path.exists():
        stored = json.loads(path.read_text())
        more = {k: stored[k] for k in ("experiments",) if k in stored} | more
    report = {
        "machine": f"{platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        "versions": [peers.version(name) for name in VERSIONS],
        "rows": list(rows),
        **more,
    }
    path.write_text(json.dumps(report, indent=1) + "\n")


def show(row):
    """Return a row as one line of text."""
    value = row.get("note")
    if row["ratio"] is not None:
        value = f"{1 / row['ratio']:.3g}x faster (±{100 * row['spread']:.0f}%)"
    return f"{row['workload']:28} {row['peer']:16} {value}"


def grown(row, before, factor):
    """Whether a ratio is worse than a stored one by a factor; no ratio is worst."""
    if before is None or before["ratio"] is None:
        return False
    return row["ratio"] is None or row["ratio"] > factor * before["ratio"]


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--family", nargs="*", default=FAMILIES, choices=FAMILIES)
    parser.add_argument("--cases", nargs="*", help="beginnings of workload names")
    parser.add_argument("--peers", nargs="*", help="peers (default: all)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-seconds", type=float, default=60.0, help="per row")
    parser.add_argument(
        "--check",
        type=float,
        metavar="FACTOR",
        help="store nothing; fail where a ratio is worse than the stored one by FACTOR",
    )
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    worse = []
    for family in options.family:
        path = options.out / f"{family}.json"
        rows = load(path)
        for case in select(family, workloads=options.cases, names=options.peers):
            row = measure(
                case, num_threads=options.threads, max_seconds=options.max_seconds
            )
            print(show(row), flush=True)
            key = row["workload"], row["peer"]
            if options.check:
                if grown(row, rows.get(key), options.check):
                    worse.append(f"slower than stored: {show(rows[key])}")
                continue
            rows[key] = row
            # after every row: a long run that is stopped keeps what it measured
            save(path, rows.values())
    if worse:
        parser.exit(1, "\n".join(worse) + "\n")


if __name__ == "__main__":
    main()
