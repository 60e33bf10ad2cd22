# SPDX-License-Identifier: BSD-3-Clause
"""Quality of discrete min-max violation, in numbers that are not times."""

import time

import numpy as np

from benchmarks import bench_dmmv, peers

#: Gaussian and uniform rows, a word of the name each: kind, m, n, highest level.
SHAPES = (
    "gauss 40 20 3",
    "gauss 60 30 3",
    "gauss 80 40 7",
    "gauss 100 50 1",
    "gauss 100 50 3",
    "uniform 40 60 1",
    "uniform 60 120 1",
    "uniform 80 40 3",
    "uniform 30 30 7",
    "gauss 150 75 3",
)
#: Coefficients of the integer program are the rounded multiples of the rows.
CP_SCALE = 10_000


def solve_cp_sat(A, b, low, high, time_limit):
    """Return the violation that OR-tools' CP-SAT reaches on scaled coefficients."""
    cp_model = peers.require("ortools.sat.python.cp_model")
    model = cp_model.CpModel()
    n = A.shape[1]
    x = [model.new_int_var(int(low), int(high), "") for _ in range(n)]
    rows = np.rint(A * CP_SCALE).astype(int)
    ends = np.rint(b * CP_SCALE).astype(int)
    top = int(np.max(np.abs(rows).sum(axis=1) * max(abs(low), abs(high)) + abs(ends)))
    worst = model.new_int_var(0, top, "")
    for row, end in zip(rows, ends, strict=True):
        total = cp_model.LinearExpr.weighted_sum(x, row.tolist())
        model.add(total - int(end) <= worst)
        model.add(int(end) - total <= worst)
    model.minimize(worst)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = time_limit
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return np.inf
    point = np.array([solver.value(one) for one in x], float)
    return float(np.max(np.abs(A @ point - b)))


def solve_to_target(A, b, low, high, weights, target, time_limit):
    """Return the CPU seconds of HiGHS until it has a point of that violation."""
    highspy = peers.require("highspy")
    m, n = A.shape
    rows, scaled = A * weights[:, None], b * weights
    model = highspy.Highs()
    model.setOptionValue("output_flag", False)
    model.setOptionValue("threads", 1)
    model.setOptionValue("time_limit", float(time_limit))
    model.setOptionValue("objective_target", float(target * (1 + 1e-6)))
    infinity = highspy.kHighsInf
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = n + 1, 2 * m
    lp.col_cost_ = np.append(np.zeros(n), 1.0)
    lp.col_lower_ = np.append(np.broadcast_to(low, n).astype(float), 0.0)
    lp.col_upper_ = np.append(np.broadcast_to(high, n).astype(float), infinity)
    matrix = np.vstack(
        [np.hstack([rows, -np.ones((m, 1))]), np.hstack([rows, np.ones((m, 1))])]
    )
    lp.row_lower_ = np.concatenate([np.full(m, -infinity), scaled])
    lp.row_upper_ = np.concatenate([scaled, np.full(m, infinity)])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.arange(2 * m + 1) * (n + 1)
    lp.a_matrix_.index_ = np.tile(np.arange(n + 1), 2 * m)
    lp.a_matrix_.value_ = matrix.ravel()
    whole = highspy.HighsVarType
    lp.integrality_ = [whole.kInteger] * n + [whole.kContinuous]
    model.passModel(lp)
    started = time.process_time()
    model.run()
    return time.process_time() - started


def instance(name, seed):
    """Return ``(A, b, low, high)``."""
    kind, m, n, high = name.split()
    rng = np.random.default_rng(seed)
    shape = int(m), int(n)
    A = rng.standard_normal(shape) if kind == "gauss" else rng.random(shape)
    return A, A @ rng.uniform(0, int(high), shape[1]), 0, int(high)


def random_instances(seeds=5, seconds=1.0):
    """Yield a row for each instance: ours, and the peers' at four times our limit."""
    from numopt.dmmv import minimize_max_violation

    for name in SHAPES:
        for seed in range(seeds):
            A, b, low, high = instance(name, seed)
            ours = minimize_max_violation(A, b, (low, high), time_limit=seconds)
            others = {
                "HiGHS": bench_dmmv.solve_milp(A, b, low, high, time_limit=4 * seconds),
                "CP-SAT": solve_cp_sat(A, b, low, high, 4 * seconds),
            }
            yield name, seed, ours.violation, others


def targets(names=("A35/8", "C35/8", "E35/8", "D35/9"), time_limit=120.0):
    """Yield the time of our search over HiGHS', which stops at our violation."""
    from numopt.dmmv import minimize_max_violation

    for name in names:
        A, b, w, low, high = bench_dmmv.filter_problem(name)
        rounds = 2 if name == "D35/9" else 1

        def ours(A=A, b=b, w=w, low=low, high=high, rounds=rounds):
            return minimize_max_violation(
                A, b, (low, high), weights=w, max_iter=rounds
            ).violation

        reached = ours()
        started = time.process_time()
        ours()
        mine = time.process_time() - started
        theirs = solve_to_target(A, b, low, high, w, reached, time_limit)
        yield name, reached, mine, theirs
