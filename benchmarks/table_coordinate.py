# SPDX-License-Identifier: BSD-3-Clause
"""Measure the coordinate rows of the performance page, to a verified relative gap."""

import argparse
import json
import platform
import time
from pathlib import Path

from benchmarks import peers
from benchmarks.table import rows


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table_coordinate")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--cases", nargs="*", help="workloads (default: all)")
    parser.add_argument("--peers", nargs="*", default=["celer", "skglm"])
    parser.add_argument("--max-seconds", type=float, default=20.0, help="per row")
    options = parser.parse_args(argv)
    measure = peers.measure
    # CPU time: other processes on the machine do not count.
    peers.measure = lambda *a, **k: measure(*a, clock=time.process_time, **k)
    found = []
    for row in rows(
        "coordinate",
        num_threads=1,
        cases=options.cases,
        names=options.peers,
        max_seconds=options.max_seconds,
    ):
        found.append(row)
        shown = row.get("note") or f"{row['ratio']:.3g} (±{100 * row['spread']:.0f}%)"
        print(f"{row['workload']:28} {row['peer']:14} {shown}", flush=True)
    report = {
        "machine": f"{platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        "versions": [
            peers.version(name) for name in ("numopt", "numpy", "scipy", "numba")
        ],
        "rows": found,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "coordinate.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
