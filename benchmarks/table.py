# SPDX-License-Identifier: BSD-3-Clause
"""Measure the table of the performance page: ``python -m benchmarks.table``."""

import argparse
import importlib
import json
import platform
import time
from pathlib import Path

from benchmarks import peers

#: A family's benchmark module has CASES, PEERS, problem, ours and peer.
FAMILIES = ("ot",)


def rows(family, *, num_threads, cases, names, max_seconds):
    """Yield one row per workload and peer of a family."""
    module = importlib.import_module(f"benchmarks.bench_{family}")
    for workload, reg in module.CASES:
        if cases and workload not in cases:
            continue
        data = module.problem(workload)
        for name, (package, _) in module.PEERS.items():
            if names and name not in names:
                continue
            row = {
                "family": family,
                "workload": f"{workload}, reg {reg:.1e}",
                "peer": name,
                "version": None,
                "threads": num_threads,
                "ratio": None,
                "spread": None,
            }
            try:
                peers.require(package)
                row["version"] = peers.version(package)
                with peers.threads(num_threads):
                    theirs = module.peer(name, data, reg)
                result = peers.measure(
                    module.ours(data, reg),
                    theirs,
                    num_threads=num_threads,
                    # One thread: CPU time, which other processes do not disturb.
                    clock=time.process_time if num_threads == 1 else time.perf_counter,
                    max_seconds=max_seconds,
                )
            except NotImplementedError as reason:
                row["note"] = str(reason)
            else:
                row["ratio"], row["spread"] = result.median, result.spread
                row["pairs"] = len(result.samples)
            yield row


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--family", nargs="*", default=FAMILIES, choices=FAMILIES)
    parser.add_argument("--cases", nargs="*", help="workloads (default: all)")
    parser.add_argument("--peers", nargs="*", help="peers (default: all)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-seconds", type=float, default=60.0, help="per row")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    for family in options.family:
        report = {
            "machine": f"{platform.machine()}, {platform.system()}",
            "python": platform.python_version(),
            "versions": [
                peers.version(name) for name in ("numopt", "numpy", "scipy", "numba")
            ],
            "rows": [],
        }
        path = options.out / f"{family}.json"
        for row in rows(
            family,
            num_threads=options.threads,
            cases=options.cases,
            names=options.peers,
            max_seconds=options.max_seconds,
        ):
            shown = (
                row.get("note") or f"{row['ratio']:.3g} (±{100 * row['spread']:.0f}%)"
            )
            print(f"{row['workload']:24} {row['peer']:14} {shown}", flush=True)
            report["rows"].append(row)
            # after every row: a long run that is stopped keeps what it measured
            path.write_text(json.dumps(report, indent=1) + "\n")
        print(path)


if __name__ == "__main__":
    main()
