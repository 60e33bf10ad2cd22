# SPDX-License-Identifier: BSD-3-Clause
"""Measure the sparse Bayesian rows: ``python -m benchmarks.table_sbl``."""

import argparse
import json
import platform
from pathlib import Path

from benchmarks import peers
from benchmarks.bench_sbl import WORKLOADS, table


def main(path=Path("docs/benchmarks/sbl.json")):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table_sbl")
    parser.add_argument("--cases", nargs="*", choices=tuple(WORKLOADS))
    options = parser.parse_args()
    rows = []
    with peers.threads(1):
        for row in table(options.cases):
            rows.append(row)
            print(row, flush=True)
    names = ("numopt", "numpy", "scipy", "numba", "sklearn")
    report = {
        "machine": f"{platform.machine()}, {platform.system()}, one thread, CPU time",
        "python": platform.python_version(),
        "versions": [peers.version(name) for name in names],
        "rows": rows,
    }
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
