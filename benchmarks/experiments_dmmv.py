# SPDX-License-Identifier: BSD-3-Clause
"""Quality of discrete min-max violation, in numbers that are not times."""

import functools
import time
import warnings

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
#: Instances on which walks are compared.
NAMED_WALKS = ("gauss 100 50 3", "gauss 400 100 7", "uniform 60 120 1")
#: Pixels on a side, projections, noise bound.
TOMOGRAPHY = (
    (32, 6, 1.0),
    (32, 4, 1.0),
    (48, 6, 1.0),
    (32, 6, 0.25),
    (32, 4, 0.25),
    (48, 6, 0.25),
)
OBJECTIVES = ("mse", "mix", "max")
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


@functools.cache
def _compile():
    """Run every part of the search once, so that no compilation is timed."""
    from numopt.dmmv import minimize_max_violation

    A, b, low, high = instance(SHAPES[0], 0)
    minimize_max_violation(A, b, (low, high), max_iter=5)


def compare(name, seed, seconds):
    """Return the instance, our violation, and the peers' at four times our limit."""
    from numopt.dmmv import minimize_max_violation

    _compile()
    A, b, low, high = instance(name, seed)
    ours = minimize_max_violation(A, b, (low, high), time_limit=seconds)
    others = {
        "HiGHS": bench_dmmv.solve_milp(A, b, low, high, time_limit=4 * seconds),
        "CP-SAT": solve_cp_sat(A, b, low, high, 4 * seconds),
    }
    return name, seed, ours.violation, others


def random_instances(seeds=5, seconds=1.0):
    """Yield the comparison of each instance."""
    for name in SHAPES:
        for seed in range(seeds):
            yield compare(name, seed, seconds)


def _timed(name):
    """A filter's program, the violation that our search reaches, and its time."""
    from numopt.dmmv import minimize_max_violation

    A, b, w, low, high = program = bench_dmmv.filter_problem(name)
    rounds = 2 if name == "D35/9" else 1

    def ours():
        return minimize_max_violation(
            A, b, (low, high), weights=w, max_iter=rounds
        ).violation

    reached = ours()
    started = time.process_time()
    ours()
    return program, reached, time.process_time() - started


def targets(names=("A35/8", "C35/8", "E35/8", "D35/9"), time_limit=120.0):
    """Yield the time of our search over HiGHS', which stops at our violation."""
    for name in names:
        (A, b, w, low, high), reached, mine = _timed(name)
        theirs = solve_to_target(A, b, low, high, w, reached, time_limit)
        yield name, reached, mine, theirs


def capped(names=("C35/8", "E35/8", "D35/9"), limit=60.0):
    """Yield our time, and that of the program with its proof, up to a limit."""
    for name in names:
        (A, b, w, low, high), reached, mine = _timed(name)
        started = time.process_time()
        peer = bench_dmmv.solve_milp(A, b, low, high, w, time_limit=limit)
        yield name, reached, mine, peer, time.process_time() - started


def walks(names=NAMED_WALKS, seeds=8):
    """Yield the violations that walks reach from the rounded relaxation, one round."""
    from numopt.dmmv import minimize_max_violation

    for name in names:
        A, b, low, high = instance(name, 0)
        found = {}
        for method in ("anneal", "record", "tabu"):
            found[method] = [
                minimize_max_violation(
                    A, b, (low, high), method=method, max_iter=1, random_state=seed
                ).violation
                for seed in range(seeds)
            ]
        yield {
            "workload": f"one walk, {name}",
            "peer": "other walks",
            "seeds": seeds,
            "violation": {key: summary(values) for key, values in found.items()},
        }


# ------------------------------------------------------------- layers of few bits


def digits_layer(seed):
    """Return weights of a trained layer, and its inputs to fit and to judge."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    X, y = load_digits(return_X_y=True)
    X = X / 16.0
    order = np.random.default_rng(seed).permutation(len(X))
    fit, judge = order[:1200], order[1200:]
    net = MLPClassifier((64,), max_iter=60, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sixty epochs are enough for a benchmark
        net.fit(X[fit], y[fit])
    return net.coefs_[0], X[fit[:512]], X[judge]


def quantisation(seeds=5):
    """Errors of each objective over those of GPTQ on the same grids."""
    from numopt.dmmv import quantize_layer

    layers = [digits_layer(seed) for seed in range(seeds)]
    for bits in (2, 3, 4):
        found = {}
        for W, X, held_out in layers:
            for name in ("gptq", *OBJECTIVES):
                options = {"objective": name}
                if name == "gptq":
                    options = {"method": "babai", "objective": "mse"}
                result = quantize_layer(W, X, bits=bits, clip_search=False, **options)
                error = held_out @ (W - result.weights)
                found.setdefault(name, []).append(
                    (
                        result.violation.mean(),
                        np.sqrt(np.mean(error**2)),
                        np.mean(np.abs(error).max(axis=0)),
                    )
                )
        reference = np.array(found.pop("gptq"))
        for name, errors in found.items():
            ratios = np.array(errors) / reference
            mean, most = ratios.mean(axis=0), ratios.max(axis=0)
            yield {
                "workload": f"digits layer, {bits} bits, objective {name}",
                "peer": "GPTQ (K=1)",
                "seeds": seeds,
                "worst error, calibration": float(f"{mean[0]:.3g}"),
                "rms error, held out": float(f"{mean[1]:.3g}"),
                "worst error, held out": float(f"{mean[2]:.3g}"),
                "largest of the seeds": [float(f"{one:.3g}") for one in most],
            }


# ------------------------------------------------------------- discrete tomography


def blobs(size, rng):
    """Return a smooth random field in a disc, cut at a level."""
    from scipy.ndimage import gaussian_filter

    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    inside = x**2 + y**2 < (0.45 * size) ** 2
    field = gaussian_filter(rng.standard_normal((size, size)), 0.08 * size)
    return ((field > np.median(field[inside])) & inside).astype(float)


def summary(values):
    """Mean and standard error."""
    values = np.asarray(values, float)
    error = values.std(ddof=1) / np.sqrt(values.size)
    return [float(f"{values.mean():.3g}"), float(f"{error:.2g}")]


def measured(size, count, noise, seed):
    """Return a random image, its projections with noise, and the generator."""
    from numopt.dmmv import parallel_beam_matrix

    rng = np.random.default_rng(seed)
    image = blobs(size, rng)
    A = parallel_beam_matrix((size, size), np.arange(count) * 180.0 / count)
    b = A @ image.ravel() + rng.uniform(-noise, noise, A.shape[0])
    return image, A, b, rng


def smoothness(seeds=10, strengths=(0.6, 1.0, 1.7, 3.0, 5.0)):
    """Wrong pixels, and the largest residual over the noise bound, by strength."""
    from numopt.dmmv import DiscreteTomography

    for size, count, noise in TOMOGRAPHY:
        found = {strength: [] for strength in strengths}
        for seed in range(seeds):
            image, A, b, _ = measured(size, count, noise, seed)
            for strength in strengths:
                model = DiscreteTomography(
                    image_shape=image.shape, noise=noise, smoothness=strength,
                    random_state=seed,
                ).fit(b, matrix=A)  # fmt: skip
                wrong = np.mean(model.image_ != image)
                found[strength].append((wrong, model.violation_ / noise))
        yield {
            "workload": f"smoothness {size}x{size}, {count} angles, noise {noise:g}",
            "peer": "other strengths",
            "seeds": seeds,
            "wrong pixels": {
                f"{strength:g}": summary([one[0] for one in values])
                for strength, values in found.items()
            },
            "residual over noise": {
                f"{strength:g}": summary([one[1] for one in values])
                for strength, values in found.items()
            },
        }


def tomography(seeds=20):
    """Wrong pixels of SIRT, DART and both criteria, default options, mean and error."""
    from numopt.dmmv import DiscreteTomography
    from numopt.dmmv._solvers import tomography as solvers

    for size, count, noise in TOMOGRAPHY:
        found, worst = {}, {}
        for seed in range(seeds):
            image, A, b, rng = measured(size, count, noise, seed)
            start, end = solvers.neighbours(image.shape)
            levels = np.array([0.0, 1.0])
            problem = solvers.Tomography(A, b, levels, start, end, noise)
            x = solvers.sirt(A, b, 0.0, 1.0, 800)
            images = {"SIRT": (x > 0.5) * 1.0, "DART": solvers.dart(problem, x, rng)}
            for criterion in ("l2", "max"):
                model = DiscreteTomography(
                    image_shape=image.shape, noise=noise, criterion=criterion,
                    random_state=seed,
                ).fit(b, matrix=A)  # fmt: skip
                images[criterion] = model.image_.ravel()
                worst.setdefault(criterion, []).append(model.violation_)
            for name, one in images.items():
                found.setdefault(name, []).append(np.mean(one != image.ravel()))
        peer = min(np.mean(found["SIRT"]), np.mean(found["DART"]))
        better = np.array(found["max"]) < np.array(found["l2"])
        equal = np.array(found["max"]) == np.array(found["l2"])
        violation = np.array(worst["max"]) / np.array(worst["l2"])
        yield {
            "workload": f"tomography {size}x{size}, {count} angles, noise {noise:g}",
            "peer": "SIRT-800, DART",
            "seeds": seeds,
            "wrong pixels": {name: summary(values) for name, values in found.items()},
            "l2 over the better peer": float(f"{np.mean(found['l2']) / peer:.3g}"),
            "max better than l2, equal": [int(better.sum()), int(equal.sum())],
            "worst residual, max over l2": summary(violation),
        }
