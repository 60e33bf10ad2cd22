# SPDX-License-Identifier: BSD-3-Clause
"""Turn stored results into the tables of the performance page: ratios only.

Reads what ``python -m benchmarks.table`` writes, or asv's results
(``python -m benchmarks.report .asv/results``).
"""

import argparse
import itertools
import json
import math
from pathlib import Path

RATIO = "track_ratio_"
HEADER = ("Workload", "Peer", "Version", "Ratio", "Spread")
#: A table of more columns, and of fewer rows, is turned.
MAX_COLUMNS = 6
#: Headings of the tables that are not about a family.
TITLES = {"import": "Imports and first calls", "kernels": "Kernels"}


def read_tables(folder):
    """Return {family: report} of the stand-alone tables in a folder."""
    stored = {
        path.stem: json.loads(path.read_text())
        for path in sorted(Path(folder).glob("*.json"))
    }
    return {family: report for family, report in stored.items() if "rows" in report}


def read_asv(folder):
    """Return {family: report} of asv's results, the newest of each benchmark."""
    stored = [
        json.loads(path.read_text())
        for path in Path(folder).glob("*/*.json")
        if path.name != "machine.json"
    ]
    newest = {}
    for results in sorted(stored, key=lambda results: results["date"]):
        for name, values in results["results"].items():
            if values is not None:
                newest[name] = dict(
                    zip(results["result_columns"], values, strict=False)
                )
    reports = {}
    for name, entry in sorted(newest.items()):
        module, _, label = name.partition(".")
        label, _, function = label.rpartition(".")
        if not function.startswith(RATIO):
            continue
        report = reports.setdefault(
            module.removeprefix("bench_"), {"python": None, "versions": [], "rows": []}
        )
        report["rows"] += _asv_rows(label, function.removeprefix(RATIO), entry)
    return reports


def _asv_rows(label, peer, entry):
    results = entry.get("result") or []
    combinations = itertools.product(*(entry.get("params") or []))
    lows = entry.get("stats_q_25") or [None] * len(results)
    highs = entry.get("stats_q_75") or [None] * len(results)
    for parameters, ratio, low, high in zip(
        combinations, results, lows, highs, strict=False
    ):
        missing = ratio is None or not math.isfinite(ratio)
        yield {
            "workload": " ".join((label, *(p.strip("'") for p in parameters))),
            "peer": peer,
            "version": None,
            "ratio": None if missing else ratio,
            "spread": None if missing or low is None else 0.5 * (high - low) / ratio,
        }


def format_row(row):
    """Return the cells of a row; a ratio is the time of ours over the peer's."""
    if row["ratio"] is None:
        ratio, spread = row.get("note", "n/a"), ""
    else:
        win = 1 / row["ratio"]
        ratio = f"{row['ratio']:.3g} ({win:.3g}x {'faster' if win >= 1 else 'as fast'})"
        spread = "" if row["spread"] is None else f"±{100 * row['spread']:.0f} %"
    return row["workload"], row["peer"], row.get("version") or "", ratio, spread


def to_rst(reports, charts=None):
    """Return reStructuredText: per family its chart, if any, ratios and other figures.

    ``charts`` is a folder of pictures ``<family>.svg``, named as the page sees it.
    """
    if not reports:
        return (
            "No results are stored in this checkout; ``make bench-table`` makes them.\n"
        )
    lines = []
    for family, report in reports.items():
        title = TITLES.get(family, f"numopt.{family}")
        lines += [title, "-" * len(title), ""]
        about = list(report["versions"])
        if report["python"]:
            about.append(f"Python {report['python']}")
        if "machine" in report:
            about.append(report["machine"])
        threads = sorted({row["threads"] for row in report["rows"] if "threads" in row})
        if threads:
            about.append(f"threads: {', '.join(map(str, threads))}")
        if about:
            lines += ["; ".join(about) + ".", ""]
        if charts is not None and family not in TITLES:
            lines += [f".. image:: {charts}/{family}.svg", f"   :alt: {title}", ""]
        lines += _list_table([HEADER, *map(format_row, report["rows"])])
        for table in _experiments(report.get("experiments", [])):
            lines += _list_table(table)
    return "\n".join(lines)


def _list_table(rows):
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for cells in rows:
        for k, cell in enumerate(cells):
            lines.append(f"   {'* -' if k == 0 else '  -'} {cell}".rstrip())
    return [*lines, ""]


def _experiments(experiments):
    """Yield a table for each set of measurements that are no ratios of times."""
    tables = {}
    for entry in experiments:
        names = tuple(name for name in entry if name not in ("group", "workload"))
        table = tables.setdefault((entry["group"], names), [("Workload", *names)])
        cells = (_format_value(entry[name]) for name in names)
        table.append((entry["workload"], *cells))
    for table in tables.values():
        wide = len(table[0]) > max(len(table), MAX_COLUMNS)
        yield list(zip(*table, strict=True)) if wide else table


def _format_value(value):
    if value is None:
        return "n/a"
    if isinstance(value, dict):
        pairs = (f"{name}: {_format_value(v)}" for name, v in value.items())
        return "; ".join(pairs)
    if isinstance(value, list):
        return ", ".join(map(_format_value, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/benchmarks"))
    options = parser.parse_args(argv)
    tables = read_tables(options.folder)
    print(to_rst(tables or read_asv(options.folder)))


if __name__ == "__main__":
    main()
