# SPDX-License-Identifier: BSD-3-Clause
"""Completion without a peer's clock: exact and robust recovery, on many seeds."""

import numpy as np

from benchmarks.rows import significant
from numopt.completion import complete
from numopt.datasets import make_low_rank

__all__ = ["alternating", "recovery", "robust"]

SHAPE, RANK = (600, 500), 5
#: Shape, entries and tolerance where fifteen parts have enough entries each.
AMPLE = (1500, 1200), 1_200_000, 1e-2
#: Relative errors below these count as success.
RECOVERED, CLEANED = 1e-6, 1e-8


def solved(seed, *, shape=SHAPE, fit=None, **options):
    """One problem: the result, its entries, the truth and the relative error."""
    *entries, U, V = make_low_rank(*shape, RANK, random_state=seed, **options)
    result = complete(
        tuple(entries), RANK, shape=shape, random_state=0, warn=False, **(fit or {})
    )
    truth = U @ V.T
    error = np.linalg.norm(result.to_dense() - truth) / np.linalg.norm(truth)
    return result, entries, truth, error


def summary(workload, errors, bound, **more):
    """A row of an experiment over seeds."""
    good = [error for error in errors if error < bound]
    return {
        "workload": workload,
        "seeds": len(errors),
        f"errors below {bound:g}": len(good),
        "median error": significant(np.median(errors)),
        "largest error": significant(max(errors)),
        **more,
    }


def recovery(rho, seeds=10, conditions=(1.0, 10.0, 1e3)):
    """Exact recovery by Gauss-Newton from rho times the degrees of freedom."""
    for condition in conditions:
        errors, steps = [], []
        for seed in range(seeds):
            result, *_, error = solved(seed, oversampling=rho, condition=condition)
            errors.append(error)
            steps.append(int(np.sum(result.history["inner_iter"])))
        yield summary(
            f"recovery {SHAPE[0]} x {SHAPE[1]}, rank {RANK}, oversampling {rho:g}, "
            f"condition {condition:g}",
            errors, RECOVERED, **{"median inner steps": int(np.median(steps))},
        )  # fmt: skip


def robust(seeds=5, cells=((5.0, 0.1), (8.0, 0.1), (8.0, 0.3))):
    """Recovery from entries some of which are wrong by ten standard deviations."""
    for rho, share in cells:
        errors, exact = [], 0
        for seed in range(seeds):
            result, entries, truth, error = solved(
                seed, oversampling=rho, outliers=share, fit={"loss": "l1"}
            )
            errors.append(error)
            bad = np.abs(entries[2] - truth[entries[0], entries[1]]) > 1e-6
            exact += bool(np.array_equal(result.outlier_mask, bad))
        yield summary(
            f"robust {SHAPE[0]} x {SHAPE[1]}, rank {RANK}, oversampling {rho:g}, "
            f"outliers {share:.0%}",
            errors, CLEANED, **{"exact masks": exact},
        )  # fmt: skip


def alternating(seeds=3):
    """Alternating minimisation as its theory has it, and as practice does."""
    shape, n_obs, tol = AMPLE
    for name, options in {
        "all entries": {},
        "all entries, sketch": {"precond": "sketch"},
        "fresh entries": {"resample": True},
        "fresh entries, sketch": {"resample": True, "precond": "sketch"},
    }.items():
        errors, rounds = [], []
        for seed in range(seeds):
            fit = {"method": "altmin_sketch", "tol": tol, **options}
            result, *_, error = solved(seed, shape=shape, n_obs=n_obs, fit=fit)
            errors.append(error)
            rounds.append(result.n_iter)
        yield summary(
            f"alternating minimisation to {tol:g}, {n_obs} of {shape[0]} x "
            f"{shape[1]}, rank {RANK}, {name}",
            errors, tol, **{"median rounds": int(np.median(rounds))},
        )  # fmt: skip
