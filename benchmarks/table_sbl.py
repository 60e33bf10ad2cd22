# SPDX-License-Identifier: BSD-3-Clause
"""Measure the sparse Bayesian rows: ``python -m benchmarks.table --family sbl``."""

import functools

import numpy as np

from benchmarks import bench_sbl, peers
from benchmarks import bench_sbl_structured as structured
from benchmarks.rows import seconds, significant

PAIRS = 5


def alternate(ours, theirs, pairs=PAIRS, repeats=1):
    """Ratios ours/peer of CPU times, measured in turn after a warm-up.

    ``repeats`` calls of ours stand against one of a peer that takes much longer.
    """

    def several():
        for _ in range(repeats):
            ours()

    ours(), theirs()
    ratio = peers.Ratio(
        tuple(seconds(several) / repeats / seconds(theirs) for _ in range(pairs))
    )
    return {
        "threads": 1,
        "ratio": ratio.median,
        "spread": ratio.spread,
        "pairs": pairs,
    }


def uncertain(values, digits=".1e"):
    """Mean and its standard error."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):{digits}} +- {error:{digits}}"


def experiment(workload, note):
    """A row without a ratio."""
    return {"workload": workload, "note": note}


def compared(ours, theirs):
    """Mean errors of both on the same problems; standard error of the difference."""
    gap = np.std(np.subtract(ours, theirs), ddof=1) / np.sqrt(len(ours))
    errors = {"error": np.mean(ours), "error_peer": np.mean(theirs), "error_gap": gap}
    return {key: significant(value) for key, value in errors.items()}


def regression(names, seeds=60):
    """``SBLRegressor`` against scikit-learn's estimators; errors are means."""
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
                repeats=10,
            )
            if x is not None:
                errors = []
                for seed in range(seeds):
                    A, y, x = bench_sbl.WORKLOADS[workload](seed=seed)
                    fits = SBLRegressor().fit(A, y), other.fit(A, y)
                    errors.append([bench_sbl.error(fit.coef_, x) for fit in fits])
                row |= compared(*zip(*errors, strict=True))
            yield row


def cross_validation():
    """Mean R^2 over five folds, of the peer also with features of variance one.

    Ours does not depend on the units of the features.
    """
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from numopt.sbl import SBLRegressor

    for workload in ("diabetes degree 2", "diabetes degree 3"):
        A, y, _ = bench_sbl.problem(workload)
        other = bench_sbl.peer("ARDRegression")
        mine, theirs, scaled = (
            float(cross_val_score(model, A, y).mean())
            for model in (
                SBLRegressor(),
                other,
                make_pipeline(StandardScaler(), other),
            )
        )
        note = f"R2 {mine:.3f}, ARDRegression {theirs:.3f}, scaled {scaled:.3f}"
        yield experiment(f"{workload}, 5 folds", note)


def overhead():
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
        )


def floor():
    """Passes that any fit needs: sums of columns, products of the true features."""
    from numopt.sbl._estimators.centring import column_sums, summed

    for workload in ("n=2000 p=100 AR(.5)", "n=100 p=1000", "n=200 p=2000"):
        A, y, x = bench_sbl.problem(workload)
        true, other = np.flatnonzero(x), bench_sbl.peer("ARDRegression")

        def passes(A=A, y=y, true=true):
            summed(A, y, column_sums(A, y, True), True).gram.make(true)

        yield {
            "workload": f"{workload}: sums, products of {true.size} features",
            "peer": "ARDRegression",
            "version": peers.version("sklearn"),
        } | alternate(passes, lambda A=A, y=y, fit=other.fit: fit(A, y), repeats=10)


def relevance():
    """``RVMRegressor`` against fastrvm."""
    for n in (800, 2000):
        ours, theirs = structured.relevance(n)
        row = {"workload": f"sinc, RBF kernel, n={n}", "peer": "fastrvm"}
        row["version"] = peers.version("fastrvm")
        row |= alternate(ours, theirs)
        row |= compared(*structured.relevance_errors(n, ours, theirs))
        yield row


def discovery():
    """Terms of the Lorenz system against sequentially thresholded least squares."""
    for noise in (0.1, 1.0, 5.0, 10.0):
        ours, theirs, wrong = structured.discovery(noise)
        row = {"workload": f"Lorenz, 56 monomials, noise {noise:g}", "peer": "STLSQ"}
        row["version"] = peers.version("pysindy")
        row |= alternate(ours, theirs, repeats=10)
        row["error"], row["error_peer"] = wrong  # wrong terms out of 3 x 56
        yield row


def kronecker():
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
        yield row | alternate(ours, theirs, 9, repeats=20)
    for snr_db in (5, 15, 25):
        samples = []
        for seed in range(8):
            data = structured.separable(seed, snr_db)
            pair = [structured.solve(data, m) for m in ("auto", "svd")]
            samples.append(alternate(*pair, 2)["ratio"])
        yield {
            "workload": f"15^3 atoms, {snr_db} dB: auto",
            "peer": "svd",
            "version": version,
            "threads": 1,
            "ratio": float(np.median(samples)),
            "spread": 0.5 * (max(samples) - min(samples)) / float(np.median(samples)),
            "pairs": len(samples),
        }


def published():
    """Errors beside those that He and Joseph published for their methods."""
    theirs = {
        ("svd", 8): "mean 3.35e-4, SRR .896",
        ("am", 8): "mean 2.05e-2, SRR .691",
        ("svd", 10): "median 1.22e-4, SRR .875",
        ("am", 10): "median 4.0e-4, SRR .751",
        ("auto", 8): "",
        ("auto", 10): "",
    }
    for (method, rows), known in theirs.items():
        errors, rates = structured.recovery(method, 25, rows=rows)
        note = f"error mean {uncertain(errors)}, median {np.median(errors):.1e}"
        note += " (quartiles {:.1e}, {:.1e})".format(*np.quantile(errors, (0.25, 0.75)))
        note += f", SRR {uncertain(rates, '.3f')}"
        note += f" (published: {known})" if known else ""
        yield experiment(f"15^3 atoms, {rows} rows, 25 dB: {method}", note)
    for rows, nonzeros in ((6, 3), (8, 4)):
        errors, rates = structured.recovery("auto", 25, rows=rows, nonzeros=nonzeros)
        note = f"{np.sum(errors > 0.05)} of {errors.size} with an error above .05, "
        note += f"median {np.median(errors):.1e}, SRR {uncertain(rates, '.3f')}"
        yield experiment(
            f"15^3 atoms, {rows} rows, {nonzeros} nonzeros a factor, 25 dB: auto", note
        )
    curve = {
        **{5: (0.1285, 0.539), 10: (0.0742, 0.718), 15: (0.0447, 0.836)},
        **{20: (0.0278, 0.886), 25: (0.0215, 0.899), 30: (0.0174, 0.902)},
    }
    for snr_db, (error, rate) in curve.items():
        errors, rates = structured.recovery("svd", snr_db, known=True, trials=200)
        note = (
            f"relative error {uncertain(np.sqrt(errors), '.3f')} (published: "
            f"{error:.3f}), SRR {uncertain(rates, '.3f')} (published: {rate:.3f})"
        )
        yield experiment(f"15^3 atoms, {snr_db} dB, known noise: svd", note)


def channels():
    """Radio channels over a reflecting surface: the best published curve and ours."""
    curve = {4: 0.312, 8: 0.132, 12: 0.049, 16: 0.0089, 20: 0.0029}
    for snr_db, known in curve.items():
        for label, options in {
            "auto": {},
            "auto, coupled": {"coupling": [0.8, None, 0.8]},
            "svd": {"method": "svd"},
        }.items():
            errors = structured.channel_errors(snr_db, **options)
            note = f"mean {np.mean(errors):.2g}, median {np.median(errors):.2g}"
            note += f" (best published mean: {known:g})"
            yield experiment(f"radio channel, {snr_db} dB: {label}", note)


def wide():
    """A hundred thousand atoms by products alone, and by their entries."""
    from scipy.sparse.linalg import aslinearoperator

    from numopt.sbl import sbl

    A, y, x, noise = structured.wide()
    given = {"cofem": aslinearoperator(A), "fast": A}

    def solve(label):
        return lambda: sbl(given[label], y, random_state=0)

    for label in given:
        result = solve(label)()
        note = (
            f"error {bench_sbl.error(result.coef, x):.3g}, {result.active.size} atoms, "
            f"noise {result.noise_var / noise:.2f} of true"
        )
        yield experiment(f"n=2000 p=100000 sparse: {label}", note)
    yield {
        "workload": "n=2000 p=100000 sparse: entries",
        "peer": "products alone (cofem)",
        "version": peers.version("numopt"),
    } | alternate(solve("fast"), solve("cofem"), 2, repeats=10)


def memory():
    """Largest dictionary within one GiB."""
    found = structured.largest_problem(2**30)
    yield experiment(
        f"{found['atoms']:.2g} atoms, {found['rows']:.2g} rows",
        f"peak {found['peak'] / 2**20:.0f} MiB, found: {found['found']}",
    )


SELECTORS = ("LassoCV", "OrthogonalMatchingPursuitCV")
GROUPS = {
    "regression": functools.partial(regression, ("ARDRegression",)),
    "selection": functools.partial(regression, SELECTORS),
    "folds": cross_validation,
}
GROUPS |= {
    one.__name__: one
    for one in (
        *(overhead, floor, relevance, discovery, kronecker),
        *(published, channels, wide, memory),
    )
}
