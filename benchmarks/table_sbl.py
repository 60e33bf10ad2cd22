# SPDX-License-Identifier: BSD-3-Clause
"""Measure the sparse Bayesian rows: ``python -m benchmarks.table_sbl``."""

import argparse
import statistics
import time
import warnings
from pathlib import Path

import numpy as np

from benchmarks import bench_sbl, peers
from benchmarks import bench_sbl_structured as structured
from benchmarks.table import load, save


def alternate(ours, theirs, pairs, repeats=1):
    """Ratios ours/peer of CPU times, measured in turn after a warm-up."""

    def cpu(run, count):
        started = time.process_time()
        for _ in range(count):
            run()
        return (time.process_time() - started) / count

    ours(), theirs()
    samples = [cpu(ours, repeats) / cpu(theirs, 1) for _ in range(pairs)]
    middle = statistics.median(samples)
    spread = 0.5 * (max(samples) - min(samples)) / middle
    return {"ratio": middle, "spread": spread, "pairs": pairs}


def regression(names, pairs):
    """``SBLRegressor`` against scikit-learn's estimators."""
    from numopt.sbl import SBLRegressor

    for workload in bench_sbl.WORKLOADS:
        A, y, x = bench_sbl.problem(workload)
        for name in names:
            row = {"workload": workload, "peer": name}
            row["version"] = peers.version("sklearn")
            other = bench_sbl.peer(name)
            row |= alternate(
                lambda A=A, y=y: SBLRegressor().fit(A, y),
                lambda A=A, y=y, other=other: other.fit(A, y),
                pairs,
                repeats=10,
            )
            if x is not None:
                mine = bench_sbl.error(SBLRegressor().fit(A, y).coef_, x)
                row["error"] = float(f"{mine:.3g}")
                row["error_peer"] = float(f"{bench_sbl.error(other.coef_, x):.3g}")
            yield row


def cross_validation(pairs):
    """Mean R^2 over five folds."""
    from sklearn.model_selection import cross_val_score

    from numopt.sbl import SBLRegressor

    for workload in ("diabetes degree 2", "diabetes degree 3"):
        A, y, _ = bench_sbl.problem(workload)
        other = bench_sbl.peer("ARDRegression")
        mine, theirs = (
            float(cross_val_score(model, A, y).mean())
            for model in (SBLRegressor(), other)
        )
        yield {
            "workload": f"{workload}, 5 folds",
            "peer": "ARDRegression",
            "version": peers.version("sklearn"),
            "ratio": None,
            "note": f"R2 {mine:.3f} against {theirs:.3f}",
        }


def overhead(pairs):
    """The estimator against the solver alone."""
    from numopt.sbl import SBLRegressor, sbl

    for workload in ("n=2000 p=100 AR(.5)", "n=100 p=1000", "diabetes degree 2"):
        A, y, _ = bench_sbl.problem(workload)
        A, y = A - A.mean(axis=0), y - y.mean()
        yield {
            "workload": f"{workload}: estimator over solver",
            "peer": "numopt.sbl.sbl",
            "version": peers.version("numopt"),
        } | alternate(
            lambda A=A, y=y: [SBLRegressor().fit(A, y) for _ in range(10)],
            lambda A=A, y=y: [sbl(A, y) for _ in range(10)],
            pairs,
        )


def relevance(pairs):
    """``RVMRegressor`` against fastrvm."""
    for n in (800, 2000):
        ours, theirs, errors = structured.relevance(n)
        row = {"workload": f"sinc, RBF kernel, n={n}", "peer": "fastrvm"}
        row["version"] = peers.version("fastrvm")
        row |= alternate(ours, theirs, pairs)
        row["error"], row["error_peer"] = (float(f"{e:.3g}") for e in errors)
        yield row


def discovery(pairs):
    """Terms of the Lorenz system against sequentially thresholded least squares."""
    for noise in (0.1, 1.0, 5.0, 10.0):
        ours, theirs, wrong = structured.discovery(noise)
        row = {"workload": f"Lorenz, 56 monomials, noise {noise:g}", "peer": "STLSQ"}
        row["version"] = peers.version("pysindy")
        row |= alternate(ours, theirs, pairs)
        row["error"], row["error_peer"] = wrong  # wrong terms out of 3 x 56
        yield row


def kronecker(pairs):
    """The Kronecker solver against dense formulas and against itself."""
    version = peers.version("numopt")
    cases = {
        ("15^3 atoms: posterior", "dense formulas"): structured.kronecker_step,
        ("200^3 atoms: mm sweep", "20^3 atoms"): lambda: (
            structured.sweep(200),
            structured.sweep(20),
        ),
        ("60^3 atoms, mm sweep", "svd iteration"): lambda: (
            structured.sweep(60),
            structured.sweep(60, "svd"),
        ),
    }
    for (workload, peer), make in cases.items():
        ours, theirs = make()
        row = {"workload": workload, "peer": peer, "version": version}
        yield row | alternate(ours, theirs, 3 * pairs, repeats=20)
    for snr_db in (5, 15, 25):
        from numopt.datasets import make_kronecker_sparse

        samples = []
        for seed in range(8):
            data = make_kronecker_sparse(
                (8, 12, 15), (15, 15, 15), 3, snr_db=snr_db, random_state=seed
            )
            pair = [structured.solve(data, m) for m in ("auto", "svd")]
            samples.append(alternate(*pair, 1)["ratio"])
        yield {
            "workload": f"15^3 atoms, {snr_db} dB: auto",
            "peer": "svd",
            "version": version,
            "ratio": float(np.median(samples)),
            "spread": 0.5 * (max(samples) - min(samples)) / float(np.median(samples)),
            "pairs": len(samples),
        }


def memory(pairs):
    """Largest dictionary within one GiB."""
    found = structured.largest_problem(2**30)
    yield {
        "workload": f"{found['atoms']:.2g} atoms, {found['rows']:.2g} rows",
        "peer": "",
        "version": "",
        "ratio": None,
        "note": f"peak {found['peak'] / 2**20:.0f} MiB, found: {found['found']}",
    }


SECTIONS = {
    "regression": lambda n: regression(("ARDRegression",), n),
    "selection": lambda n: regression(("LassoCV", "OrthogonalMatchingPursuitCV"), n),
    "folds": cross_validation,
    "overhead": overhead,
    "relevance": relevance,
    "discovery": discovery,
    "kronecker": kronecker,
    "memory": memory,
}


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table_sbl")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--sections", nargs="*", choices=tuple(SECTIONS))
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    path = options.out / "sbl.json"
    chosen = options.sections or SECTIONS
    # the rows of these sections are replaced
    rows = [r for r in load(path).values() if r.get("section") not in chosen]
    with peers.threads(1):
        for section in chosen:
            try:
                for row in SECTIONS[section](options.pairs):
                    print(row, flush=True)
                    rows.append({**row, "section": section})
                    save(path, rows)
            except NotImplementedError as reason:
                print(f"{section}: {reason}", flush=True)


if __name__ == "__main__":
    main()
