# SPDX-License-Identifier: BSD-3-Clause
"""Measure the clustering rows: ``python -m benchmarks.table_cluster``."""

import json
import platform
from pathlib import Path

from benchmarks import peers
from benchmarks.bench_cluster import table


def main(path=Path("docs/benchmarks/cluster.json")):
    names = ("numopt", "numpy", "scipy", "numba", "sklearn", "scs")
    rows = []
    report = {
        "machine": f"{platform.machine()}, {platform.system()}, one thread, CPU time",
        "python": platform.python_version(),
        "versions": [peers.version(name) for name in names],
        "rows": rows,
    }
    with peers.threads(1):
        for row in table():
            rows.append(row)
            print(row, flush=True)
            path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
