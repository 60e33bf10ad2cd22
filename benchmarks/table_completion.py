# SPDX-License-Identifier: BSD-3-Clause
"""Measure the completion rows: ``python -m benchmarks.table --family completion``."""

import functools
import time
from pathlib import Path

import numpy as np

from benchmarks import bench_completion as bench
from benchmarks import experiments_completion as experiments
from benchmarks import floors_completion as floors
from benchmarks import peers

#: Sizes of the scaling rows: entries and shape, counts a line unchanged.
SMALL = (1_000_000, (10_000, 3_000))
DOUBLE = (2_000_000, (20_000, 6_000))
LARGE = (10_000_000, (100_000, 30_000))


def row(workload, peer, version, result, **fields):
    """One row of the table."""
    return {
        "workload": workload, "peer": peer, "version": version, "threads": 1,
        "ratio": result.median, "spread": result.spread, "pairs": len(result.samples),
        **fields,
    }  # fmt: skip


def imputation(table, name):
    """Time and error on a table against one of scikit-learn's imputers."""
    rank, share = bench.TABLES[table]
    holes = bench.table_with_holes(table)[1]
    result = peers.measure(
        lambda: bench.imputer("numopt", table).fit_transform(holes),
        lambda: bench.imputer(name, table).fit_transform(holes),
        clock=time.process_time,
    )
    yield row(
        f"{table}, {share:.0%} lost, rank {rank}", name, peers.version("sklearn"),
        result, error=bench.imputation_error("numopt", table),
        error_peer=bench.imputation_error(name, table),
    )  # fmt: skip


def ratings(rank, dtype, name, pairs):
    """Time to the objective of ten sweeps of cmfrec, whose run for it is counted."""
    entries, options = bench.ratings(dtype=dtype), bench.PEERS[name]
    bench.fit(entries, rank, sweeps=2)
    bench.fit_cmfrec(entries, rank, 1, **options)
    start = time.process_time()
    model = bench.fit_cmfrec(entries, rank, bench.SWEEPS, **options)
    theirs = time.process_time() - start
    target = bench.cmfrec_objective(entries, model)
    start = time.process_time()
    found = bench.fit(entries, rank, target=target)
    samples = [(time.process_time() - start) / theirs]
    if pairs > 1:
        more = bench.alternate(
            lambda: bench.fit(entries, rank, target=target),
            lambda: bench.fit_cmfrec(entries, rank, bench.SWEEPS, **options),
            pairs - 1,
        )
        samples += more.samples
    yield row(
        f"ratings 1e6, rank {rank}, {dtype}, to equal objective", name,
        peers.version("cmfrec"), peers.Ratio(tuple(samples)), sweeps=found.n_iter,
        sweeps_peer=bench.SWEEPS, error=bench.error(*bench.our_factors(found)),
        error_peer=bench.error(*bench.factors_of(model)),
    )  # fmt: skip


def sweeps(size, k, count, **options):
    """Fit ``count`` sweeps and return nothing."""
    n_obs, shape = size
    entries = bench.ratings(n_obs, "float32", shape)
    bench.fit(entries, k, sweeps=count, shape=shape, **options)


def scaling():
    """Time per entry and rank as either doubles; ten sweeps, ingest included."""
    auto, gradients = {}, {"inner": "cg"}
    for workload, ours, peer, options in (
        ("2e6 entries against 1e6, rank 32", (DOUBLE, 32), (SMALL, 32), auto),
        ("rank 64 against 32, 1e6 entries", (SMALL, 64), (SMALL, 32), auto),
        ("rank 128 against 64, 1e6 entries", (SMALL, 128), (SMALL, 64), auto),
        ("rank 64 against 32, inner cg", (SMALL, 64), (SMALL, 32), gradients),
        ("rank 128 against 64, inner cg", (SMALL, 128), (SMALL, 64), gradients),
    ):
        sweeps(*ours, 1, **options)
        sweeps(*peer, 1, **options)
        raw = bench.alternate(
            lambda o=ours, g=options: sweeps(*o, 10, **g),
            lambda p=peer, g=options: sweeps(*p, 10, **g),
            3,
        )
        result = peers.Ratio(tuple(s / 2 for s in raw.samples))
        yield row(f"time per (entry x rank): {workload}", "numopt", None, result)


def two_threads():
    """Elapsed time on two threads over that on one: ten sweeps, ingest included.

    The rows of register tiles do the same arithmetic without memory or serial parts:
    no program gains more from the second thread of this machine.
    """
    for rank in (32, 64):
        for work, act in {
            "1e6 entries, rank {}, ten sweeps": lambda k=rank: sweeps(SMALL, k, 10),
            "register tiles alone, rank {}": lambda k=rank: floors.tiles(k),
        }.items():
            yield row(
                f"two threads against one: {work.format(rank)}", "numopt", None,
                floors.elapsed_ratio(act), threads=2,
            )  # fmt: skip


def implicit_core():
    """Three gradient steps for each row against the core of implicit."""
    for rank in (16, 32, 64, 128):
        ours, theirs = floors.half_sweeps(rank)
        yield row(
            f"three gradient steps for each row, 1e6 entries, rank {rank}",
            "implicit, another model", peers.version("implicit"),
            peers.measure(ours, theirs, clock=time.process_time),
        )  # fmt: skip


def photograph():
    """Half the pixels of a photograph lost, against neighbours and soft-impute."""
    X, holes, lost = bench.photograph_with_holes()
    ours = bench.complete_photograph(holes)
    for name, (version, fill) in {
        "KNNImputer": ("sklearn", bench.imputer("KNNImputer", None).fit_transform),
        "soft-impute, equal penalty": ("numpy", bench.soft_impute),
    }.items():
        result = peers.measure(
            lambda: bench.complete_photograph(holes),
            lambda f=fill: f(holes),
            clock=time.process_time,
        )
        yield row(
            f"photograph {X.shape[0]} x {X.shape[1]}, 50% lost", name,
            peers.version(version), result,
            error=float(np.sqrt(np.mean((ours - X)[lost] ** 2))),
            error_peer=float(np.sqrt(np.mean((fill(holes) - X)[lost] ** 2))),
        )  # fmt: skip


def large():
    """Ten sweeps of 1e7 entries: time per entry against 1e6, and memory.

    ``memory`` is the growth of the resident set during the fit over the size of the
    triplets.
    """
    entries = bench.ratings(LARGE[0], "float32", LARGE[1])
    sweeps(SMALL, 32, 1)
    bench.truth.cache_clear()
    before = _memory("VmRSS")
    # Sets the peak back to the present size (Linux).
    Path("/proc/self/clear_refs").write_text("5")
    start = time.process_time()
    bench.fit(entries, 32, sweeps=10, shape=LARGE[1])
    taken = time.process_time() - start
    memory = (_memory("VmHWM") - before) / sum(a.nbytes for a in entries)
    small = []
    for _ in range(3):
        start = time.process_time()
        sweeps(SMALL, 32, 10)
        small.append(time.process_time() - start)
    result = peers.Ratio(tuple(taken / 10 / s for s in small))
    yield row(
        "time per entry: 1e7 entries against 1e6, rank 32, ten sweeps", "numopt", None,
        result, memory=memory,
    )  # fmt: skip


def _memory(field):
    """Bytes of a field of this process's status (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise ValueError(f"`field` must be in the status, got {field}")


def near_best(rank=10, dtype="float32"):
    """Time to within a thousandth of the best objective of either."""
    entries = bench.ratings(dtype=dtype)
    best = bench.fit(entries, rank, sweeps=60).objective
    for name, options in bench.PEERS.items():
        count, value = bench.SWEEPS, np.inf
        while count <= 80:
            model = bench.fit_cmfrec(entries, rank, count, **options)
            value = bench.cmfrec_objective(entries, model)
            if value <= 1.001 * best:
                break
            count += 10
        count = min(count, 80)
        target = 1.001 * min(best, value)
        found = bench.fit(entries, rank, target=target)
        result = bench.alternate(
            lambda t=target: bench.fit(entries, rank, target=t),
            lambda c=count, o=options: bench.fit_cmfrec(entries, rank, c, **o),
            3,
        )
        yield row(
            f"ratings 1e6, rank {rank}, {dtype}, to within 1e-3 of the best", name,
            peers.version("cmfrec"), result, sweeps=found.n_iter, sweeps_peer=count,
            reached_peer=bool(value <= 1.001 * best),
            error=bench.error(*bench.our_factors(found)),
            error_peer=bench.error(*bench.factors_of(model)),
        )  # fmt: skip


def fold_in():
    """Fold-in of 1e5 rows over one sweep of the same entries."""
    shape = (100_000, 3_000)
    entries = bench.ratings(1_000_000, "float32", shape)
    model = bench.fit(entries, 32, sweeps=2, shape=shape)

    def one_sweep():
        bench.fit(entries, 32, sweeps=1, shape=shape)

    result = bench.alternate(lambda: model.fold_in(entries), one_sweep, 5)
    yield row("fold-in of 1e5 rows against a fit of one sweep", "numopt", None, result)


def movielens():
    """Mean error over five 80/20 splits, and time, against cmfrec at its best."""
    from numopt.completion import MatrixCompletionRegressor
    from numopt.datasets import load_movielens

    data = load_movielens()
    X = np.column_stack([data.rows, data.cols])
    models = {
        "defaults": {"random_state": 0},
        "ridge 12, bias ridge 4, rank 30": {
            "rank": 30, "alpha": 12.0, "alpha_bias": 4.0, "alpha_scaling": "constant",
            "max_iter": 60, "random_state": 0,
        },
    }  # fmt: skip
    for name, options in models.items():
        errors, ratios, theirs = [], [], []
        for seed in range(5):
            held = np.random.default_rng(seed).random(data.values.size) < 0.2
            start = time.process_time()
            model = MatrixCompletionRegressor(**options)
            model.fit(X[~held], data.values[~held])
            ours = time.process_time() - start
            guess = model.predict(X[held])
            errors.append(np.sqrt(np.mean((guess - data.values[held]) ** 2)))
            taken, other = _cmfrec_movielens(X, data.values, held)
            theirs.append(np.sqrt(np.mean((other - data.values[held]) ** 2)))
            ratios.append(ours / taken)
        yield row(
            f"MovieLens small, five 80/20 splits, {name}", "cmfrec Cholesky, rank 30",
            peers.version("cmfrec"), peers.Ratio(tuple(ratios)),
            error=float(np.mean(errors)), error_peer=float(np.mean(theirs)),
        )  # fmt: skip


def _cmfrec_movielens(X, values, held):
    """CPU time and predictions of cmfrec, rank 30 and ridge 12."""
    import pandas as pd

    cmfrec = peers.require("cmfrec")
    frame = pd.DataFrame(
        {"UserId": X[~held, 0], "ItemId": X[~held, 1], "Rating": values[~held]}
    )
    start = time.process_time()
    model = cmfrec.CMF(
        k=30, lambda_=12.0, use_cg=False, niter=15, nthreads=1, verbose=False,
        random_state=1,
    ).fit(frame)  # fmt: skip
    taken = time.process_time() - start
    return taken, model.predict(X[held, 0], X[held, 1])


def rating_groups():
    """A group for each rank and dtype: cmfrec's largest runs take minutes."""
    for rank in bench.RANKS:
        for dtype in bench.DTYPES:
            for name in bench.PEERS:
                pairs = 1 if rank == 64 and "Cholesky" in name else 3
                label = f"ratings-{rank}-{dtype}-{name.split()[1]}"
                yield label, functools.partial(ratings, rank, dtype, name, pairs)


GROUPS = {
    part.__name__: part
    for part in (
        movielens,
        near_best,
        fold_in,
        scaling,
        two_threads,
        large,
        implicit_core,
        photograph,
    )
}
GROUPS |= {
    f"imputation-{table}-{name}": functools.partial(imputation, table, name)
    for table in bench.TABLES
    for name in bench.IMPUTERS
}
GROUPS |= dict(rating_groups())
GROUPS |= {
    f"recovery-{rho:g}": functools.partial(experiments.recovery, rho)
    for rho in (3.0, 2.0, 1.5)
}
GROUPS |= {
    "robust": experiments.robust,
    "alternating": experiments.alternating,
}
