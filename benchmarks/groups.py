# SPDX-License-Identifier: BSD-3-Clause
"""Tables made of groups of rows, some of them experiments without a ratio."""

import argparse
import json
import time
import warnings
from pathlib import Path

from benchmarks import peers
from benchmarks.table import measure, save, select

__all__ = ["paired_rows", "run", "seconds", "significant"]


def seconds(run):
    """CPU time of one call, in seconds."""
    start = time.process_time()
    run()
    return time.process_time() - start


def significant(x):
    """Three digits."""
    return float(f"{x:.3g}")


def paired_rows(family, workloads=None):
    """The rows that are measured in pairs, as those of other families."""
    for case in select(family, workloads=workloads):
        yield measure(case, num_threads=1, max_seconds=20.0)


def run(family, groups, argv=None):
    """Measure groups, {name: builder of rows}, into the stored table of a family.

    Rows replace those of the same workload and peer; others stay. What has a ratio is
    a row of the performance page, the rest are experiments.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.table_{family}")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--groups", nargs="*", default=tuple(groups), choices=groups)
    parser.add_argument("--cases", nargs="*", help="beginnings of workload names")
    options = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    path = options.out / f"{family}.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    kept = {
        (row["workload"], row.get("peer")): row
        for row in stored.get("rows", []) + stored.get("experiments", [])
    }
    with peers.threads(1):
        for group in options.groups:
            given = {"workloads": options.cases} if group == "cases" else {}
            try:
                for row in groups[group](**given):
                    kept[row["workload"], row.get("peer")] = {"group": group, **row}
                    print(row, flush=True)
                    save(
                        path,
                        (row for row in kept.values() if "ratio" in row),
                        experiments=[r for r in kept.values() if "ratio" not in r],
                    )
            except NotImplementedError as reason:
                print(f"{group}: {reason}", flush=True)
