# SPDX-License-Identifier: BSD-3-Clause
"""Measure the min-max rows: ``python -m benchmarks.table --family dmmv``."""

from benchmarks import experiments_dmmv as experiments
from benchmarks import peers
from benchmarks.rows import significant

#: Instances of a row of their own.
NAMED = ("uniform 60 120 1", "gauss 100 50 3", "gauss 400 100 7")


def violations(workload, ours, others):
    """A row for each peer: our violation and its."""
    packages = {"HiGHS": "scipy", "CP-SAT": "ortools"}
    for peer, value in others.items():
        row = {
            "workload": workload,
            "peer": peer,
            "version": peers.version(packages[peer]),
            "violation": significant(ours),
        }
        if value == float("inf"):
            row["note"] = "the peer finds no point"
        else:
            row["violation of the peer"] = significant(value)
            row["violation over the peer's"] = significant(ours / value)
        yield row


def named(seconds=2.0):
    """Three instances at 2 s, and the peers at 8 s."""
    for name in NAMED:
        _, _, ours, others = experiments.compare(name, 0, seconds)
        yield from violations(f"{name}, {seconds:g} s", ours, others)


def random(seconds=0.5):
    """Fifty instances, the peers at four times our limit."""
    worst, above = {}, {}
    for _, _, ours, others in experiments.random_instances(seconds=seconds):
        for peer, value in others.items():
            worst.setdefault(peer, []).append(ours / value)
            above[peer] = above.get(peer, 0) + (ours > value * (1 + 1e-9))
    for peer, ratios in worst.items():
        ratios = sorted(ratios)
        yield {
            "workload": f"{len(ratios)} random instances, {seconds:g} s",
            "peer": peer,
            "instances where the peer is better": above[peer],
            "largest violation over the peer's": significant(ratios[-1]),
            "median": significant(ratios[len(ratios) // 2]),
            "smallest": significant(ratios[0]),
        }


def targets():
    """Time to our violation against HiGHS, which stops there."""
    for name, reached, mine, theirs in experiments.targets():
        yield {
            "workload": f"filter {name} to a ripple of {reached:.4g}",
            "peer": "HiGHS, objective target",
            "version": peers.version("highspy"),
            "ratio": significant(mine / theirs),
            "spread": None,
        }


def capped(limit=60.0):
    """Optima of filters against the program with its proof, stopped at a limit."""
    for name, reached, mine, value, theirs in experiments.capped(limit=limit):
        stopped = theirs > 0.8 * limit
        row = {
            "workload": f"optimum of filter {name}, peer up to {limit:g} s",
            "peer": "milp with proof",
            "version": peers.version("scipy"),
            "violation over the peer's": significant(reached / value),
        }
        if stopped:
            row["note"] = f"no proof within {limit:g} s: the ratio is at most this"
        yield row | {"ratio": significant(mine / theirs), "spread": None}


GROUPS = {one.__name__: one for one in (named, random, targets, capped)}
GROUPS["quantisation"] = experiments.quantisation
GROUPS["tomography"] = experiments.tomography
GROUPS["walks"] = experiments.walks
GROUPS["smoothness"] = experiments.smoothness
