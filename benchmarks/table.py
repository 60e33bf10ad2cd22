# SPDX-License-Identifier: BSD-3-Clause
"""Measure the tables of the performance page: ``python -m benchmarks.table``.

A table is made of groups of rows. The group "cases" holds those that are measured in
pairs with a peer: the ``peers.Case`` objects of a benchmark module's ``cases()``. Other
groups are functions in ``GROUPS`` of ``benchmarks/table_<family>.py`` that yield rows;
a row without a ratio is an experiment. Rows are merged into the stored file by workload
and peer, so a part of a table can be measured again. The stored tables are the baseline
of releases: ``--check`` measures again, stores nothing, and fails where a ratio has
grown.
"""

import argparse
import functools
import importlib
import importlib.util
import json
import platform
import warnings
from pathlib import Path

from benchmarks import peers
from benchmarks.rows import paired_rows

FAMILIES = (
    *("import", "kernels", "ot", "completion", "coordinate"),
    *("sbl", "cluster", "dmmv", "bilevel"),
)
VERSIONS = ("numopt", "numpy", "scipy", "numba", "sklearn")


def groups(family, **options):
    """Return {name: builder of rows} of a family; the options are those of cases."""
    found = {"cases": functools.partial(paired_rows, family, **options)}
    name = f"benchmarks.table_{family}"
    if importlib.util.find_spec(name) is not None:
        found |= importlib.import_module(name).GROUPS
    return found


def load(path):
    """Return {(workload, peer): row} of a stored table; an absent one is empty."""
    if not path.exists():
        return {}
    report = json.loads(path.read_text())
    rows = report["rows"] + report.get("experiments", [])
    return {(row["workload"], row.get("peer")): row for row in rows}


def save(path, rows):
    """Store rows with the versions they were measured with."""
    rows = list(rows)
    report = {
        "machine": f"{platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        "versions": [peers.version(name) for name in VERSIONS],
        "rows": [row for row in rows if "ratio" in row],
    }
    experiments = [row for row in rows if "ratio" not in row]
    if experiments:
        report["experiments"] = experiments
    path.write_text(json.dumps(report, indent=1) + "\n")


def show(row):
    """Return a row as one line of text."""
    if row.get("ratio") is None:
        said = {k: v for k, v in row.items() if k not in ("workload", "group")}
        return f"{row['workload']:28} {said.get('note', said)}"
    spread = f" (±{100 * row['spread']:.0f}%)" if row.get("spread") else ""
    return f"{row['workload']:28} {row['peer']:16} {1 / row['ratio']:.3g}x{spread}"


def grown(row, before, factor):
    """Whether a ratio, less its spread, is worse than a stored one by a factor.

    No ratio is worst.
    """
    if before is None or before.get("ratio") is None:
        return False
    if row.get("ratio") is None:
        return True
    return row["ratio"] * (1 - (row.get("spread") or 0)) > factor * before["ratio"]


def rows_of(family, chosen, options):
    """Measure the groups of a family, one row after the other."""
    found = groups(
        family,
        workloads=options.cases,
        names=options.peers,
        num_threads=options.threads,
        max_seconds=options.max_seconds,
    )
    for name in chosen or found:
        with peers.threads(options.threads):
            try:
                for row in found[name]():
                    yield {"group": name, **row}
            except NotImplementedError as reason:
                print(f"{name}: {reason}", flush=True)


def main(argv=None):
    """Measure, show and store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--family", nargs="*", default=FAMILIES, choices=FAMILIES)
    parser.add_argument("--groups", nargs="*", help="of one family (default: all)")
    parser.add_argument("--cases", nargs="*", help="beginnings of workload names")
    parser.add_argument("--peers", nargs="*", help="peers of cases (default: all)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-seconds", type=float, default=20.0, help="per case")
    parser.add_argument(
        "--check",
        type=float,
        metavar="FACTOR",
        help="store nothing; fail where a ratio, less its spread, is worse than the "
        "stored one by FACTOR",
    )
    options = parser.parse_args(argv)
    if options.groups:
        if len(options.family) != 1:
            parser.error("--groups asks for one --family")
        known = groups(*options.family)
        if not known.keys() >= set(options.groups):
            parser.error(f"--groups of {options.family[0]}: {', '.join(known)}")
    options.out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    worse, measured = [], 0
    chosen = options.groups or (["cases"] if options.cases or options.peers else None)
    for family in options.family:
        path = options.out / f"{family}.json"
        stored = load(path)
        for row in rows_of(family, chosen, options):
            print(show(row), flush=True)
            measured += 1
            key = row["workload"], row.get("peer")
            if options.check:
                if grown(row, stored.get(key), options.check):
                    worse.append(f"slower than stored: {show(stored[key])}")
                continue
            stored[key] = row
            # after every row: a long run that is stopped keeps what it measured
            save(path, stored.values())
    if not measured:
        parser.exit(1, "nothing measured: no case has such a name and such a peer\n")
    if worse:
        parser.exit(1, "\n".join(worse) + "\n")


if __name__ == "__main__":
    main()
