# SPDX-License-Identifier: BSD-3-Clause
"""Bilevel experiments that count work and errors: what the ratios cannot show."""

import numpy as np

from benchmarks import bench_bilevel as bench

#: Seeds of the quadratic problem that no setting was chosen on.
FRESH = tuple(range(200, 220))
#: Seeds of the noise of photographs, likewise.
FRESH_NOISE = tuple(range(300, 310))
PHOTOGRAPHS = {
    "camera, astronaut, coffee, cat, brick": (
        "camera", "astronaut", "coffee", "cat", "brick",
    ),
    "coins, moon, rocket, page, clock": ("coins", "moon", "rocket", "page", "clock"),
}  # fmt: skip


def work(result):
    """Lower gradients and Hessian products."""
    return result.n_lower_grad + result.n_hvp


def ridge_loss(X, y, groups, alphas, n_folds=5):
    """Cross-validated half mean squared error of penalties per block."""
    from sklearn.model_selection import KFold

    losses = []
    for train, test in KFold(n_folds).split(X):
        centre, level = X[train].mean(axis=0), y[train].mean()
        A = X[train] - centre
        H = A.T @ A + np.diag(np.asarray(alphas)[groups])
        w = np.linalg.solve(H, A.T @ (y[train] - level))
        error = y[test] - level - (X[test] - centre) @ w
        losses.append(0.5 * np.mean(error**2))
    return float(np.mean(losses))


def quadratic():
    """Work to two gaps: the printed seeds, and the distribution over fresh ones."""
    for gap in (1e-2, 1e-6):
        counts = {}
        for seed in (29, 1, 2, *FRESH):
            problem = bench.quadratic(seed)
            run = bench.ours_quadratic(problem, bench.target(problem, gap))
            counts[seed] = work(run())
        fresh = [counts[seed] for seed in FRESH]
        yield {
            "workload": f"quadratic, work to a gap of {gap:.0e}",
            "seeds 29, 1, 2": [counts[seed] for seed in (29, 1, 2)],
            "median of 20 fresh seeds": float(np.median(fresh)),
            "worst of 20 fresh seeds": max(fresh),
        }
    counts = []
    for seed in (29, 1, 2):
        problem = bench.quadratic(seed)
        level = bench.target(problem, 1e-2)
        run = bench.ours_quadratic(
            problem, level, method="maid", eps0=0.1, max_work=60_000
        )
        result = run()
        counts.append(work(result) if result.converged else None)
    yield {
        "workload": "quadratic, work to a gap of 1e-02, published method",
        "seeds 29, 1, 2": counts,
    }
    tight = []
    for seed in (29, 1, 2):
        problem = bench.quadratic(seed)
        tight.append(bench.tight_lbfgs(problem, bench.target(problem, 1e-2))())
    yield {
        "workload": "quadratic, work to a gap of 1e-02, L-BFGS-B at 1e-6",
        "seeds 29, 1, 2": tight,
    }


def total_variation():
    """Work to two gaps of weight and smoothing, by photographs and seed of noise."""
    for label, names in PHOTOGRAPHS.items():
        for gap in (1e-2, 1e-4):
            row = {"workload": f"total variation, work to {gap:.0e}: {label}"}
            for method in ("maid-qn", "maid"):
                row[f"{method}, seeds 19, 100, 101"] = [
                    bench.denoising_work(gap, method=method, names=names, seed=seed)
                    for seed in (19, 100, 101)
                ]
            fresh = [
                bench.denoising_work(gap, names=names, seed=seed)
                for seed in FRESH_NOISE
            ]
            row["maid-qn, median of 10 fresh seeds"] = float(np.median(fresh))
            row["maid-qn, worst of 10 fresh seeds"] = max(fresh)
            yield row


def digits_split(seed=0):
    """Pixels over 16, labels: 754 rows to train, 503 to validate."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X, _, y, _ = train_test_split(
        X / 16.0, y, train_size=1257, random_state=seed, stratify=y
    )
    a, b, ya, yb = train_test_split(X, y, train_size=754, random_state=seed, stratify=y)
    return a, ya, b, yb


def digits(most=2000):
    """Validation loss over work with one penalty per weight, 640 of them."""
    from numopt.bilevel import LogisticProblem, hoag, maid

    problem = LogisticProblem(*digits_split(), groups="weights")
    theta0 = np.full(problem.theta0.shape, -3.0)
    fixed = {"gtol": 0.0, "ftol": 0.0, "max_work": most, "max_iter": 10_000,
             "warn": False, "accuracy": "estimate"}  # fmt: skip
    runs = {
        "maid-qn": maid(problem, theta0, tau=0.3, **fixed),
        "maid": maid(problem, theta0, method="maid", **fixed),
        "hoag, quadratic": hoag(problem, theta0, **fixed),
        "hoag, cubic": hoag(problem, theta0, schedule="cubic", **fixed),
    }
    row = {"workload": f"digits, 640 penalties, loss after {most} work"}
    for name, result in runs.items():
        row[name] = _after(result, most)
    best = min(row["hoag, quadratic"], row["hoag, cubic"])
    ours = runs["maid-qn"].history
    there = np.flatnonzero(ours["value"] <= best)
    row["work of maid-qn to the loss of hoag"] = (
        int(ours["work"][there[0]]) if there.size else None
    )
    yield row


def _after(result, most):
    """Best value of a history within some work."""
    history = result.history
    return float(np.min(history["value"][history["work"] <= most]))


def _learned(problem, most):
    """Filters learned by each outer method with the same work.

    The first step of the published method, 0.01, is tiny here: it is run once more
    from 1, about the first step of ``hoag``.
    """
    from numopt.bilevel import hoag, maid

    theta0 = problem.theta0
    options = {"gtol": 0.0, "ftol": 0.0, "max_work": most, "max_iter": 10_000,
               "warn": False}  # fmt: skip
    return {
        "maid-qn": maid(problem, theta0, max_step=1.0, tau=0.3, memory=30, **options),
        "maid": maid(problem, theta0, method="maid", **options),
        "maid, first step 1": maid(
            problem, theta0, method="maid", step0=1.0, **options
        ),
        "hoag, quadratic": hoag(problem, theta0, **options),
    }


def experts():
    """Fields of experts: twelve filters on few small patches, value over work."""
    from numopt.bilevel import FoEDenoisingProblem, TVDenoisingProblem, maid

    names = ("camera", "astronaut", "coffee", "cat", "brick", "coins")
    noisy, clean = bench.photographs(names, 36)
    problem = FoEDenoisingProblem(noisy, clean, n_filters=12, filter_size=5)
    peer = TVDenoisingProblem(noisy, clean)
    best = maid(peer, peer.theta0, max_step=1.0, tau=0.1, warn=False).value
    row = {
        "workload": "fields of experts, 6 patches 36: loss after 600 and 2500 work",
        "total variation": best,
    }
    for name, result in _learned(problem, 2500).items():
        row[name] = [_after(result, 600), _after(result, 2500)]
    row["maid-qn, relative to total variation"] = [
        value / best for value in row["maid-qn"]
    ]
    yield row


def experts_unseen():
    """Filters of each outer method after the same work: PSNR on photographs unseen."""
    from numopt.bilevel import FoEDenoisingProblem, solve_lower

    size = {"n_filters": 12, "filter_size": 5}
    train, test = PHOTOGRAPHS.values()
    problem = FoEDenoisingProblem(*bench.photographs(train, 48), **size)
    noisy, clean = bench.photographs(test, 48)
    unseen = FoEDenoisingProblem(noisy, clean, **size)
    for most in (2000, 6000):
        row = {"workload": f"fields of experts after {most} work: PSNR on unseen, dB"}
        losses = {"workload": f"fields of experts, 5 photographs 48: loss after {most}"}
        for name, result in _learned(problem, most).items():
            x = solve_lower(unseen, result.theta, tol=1e-3 * clean.size**0.5).x
            errors = np.mean((x - clean) ** 2, axis=(1, 2))
            row[name] = float(np.mean(-10 * np.log10(errors)))
            losses[name] = _after(result, most)
        yield row
        yield losses


def block_losses():
    """Test log-loss of two penalties against one, breast cancer with noise."""
    from sklearn.metrics import log_loss

    from numopt.bilevel import BilevelLogisticRegression

    for seed in (0, 1, 10, 11, 12):
        X, Xt, y, yt, groups = bench.block_table(seed)
        ours = BilevelLogisticRegression(groups).fit(X, y)
        peer = bench.logistic_grid().fit(X, y)
        yield {
            "workload": f"block logistic, seed {seed}: test log-loss",
            "BilevelLogisticRegression": log_loss(yt, ours.predict_proba(Xt)),
            "LogisticRegressionCV": log_loss(yt, peer.predict_proba(Xt)),
        }


def rings():
    """Test log-loss on digits with columns of noise: rings of pixels and the noise.

    The penalties that are best on the rows of the test bound what any choice of them
    can reach.
    """
    from sklearn.metrics import log_loss

    from numopt.bilevel import BilevelLogisticRegression, LogisticProblem, maid

    losses = {"BilevelLogisticRegression": [], "LogisticRegressionCV": [],
              "best penalties for the test": []}  # fmt: skip
    for seed in range(5):
        X, Xt, y, yt, groups = bench.ring_table(seed)
        ours = BilevelLogisticRegression(groups).fit(X, y)
        peer = bench.logistic_grid().fit(X, y)
        problem = LogisticProblem(X, y, Xt, yt, groups=groups)
        best = maid(problem, np.log(ours.penalties_), accuracy="estimate", warn=False)
        found = (
            log_loss(yt, ours.predict_proba(Xt)),
            log_loss(yt, peer.predict_proba(Xt)),
            best.value,
        )
        for values, value in zip(losses.values(), found, strict=True):
            values.append(float(value))
    yield {"workload": "digits with noise, 5 blocks: test log-loss, 5 splits", **losses}


def per_feature():
    """Sparse ridge: R2 of a penalty per feature, safeguarded and not."""
    from sklearn.linear_model import RidgeCV

    from numopt.bilevel import BilevelRidge

    scores = {"RidgeCV": [], "auto": [], "none": [], "two true blocks": []}
    for seed in range(5):
        X, y, Xt, yt, active = bench.sparse_ridge(seed)
        models = {
            "RidgeCV": RidgeCV(np.geomspace(1e-2, 1e5, 50), cv=5),
            "auto": BilevelRidge("features", random_state=0),
            "none": BilevelRidge("features", shrinkage=0.0),
            "two true blocks": BilevelRidge(active.astype(int)),
        }
        for name, model in models.items():
            scores[name].append(model.fit(X, y).score(Xt, yt))
    yield {
        "workload": "sparse ridge, a penalty per feature: median R2 of 5 seeds",
        **{name: float(np.median(values)) for name, values in scores.items()},
    }


def unseen():
    """PSNR on a photograph that took no part: experts against total variation."""
    from numopt.bilevel import FoEDenoiser, TVDenoiser
    from numopt.datasets import load_photographs

    china, flower = (image.mean(axis=2)[::2, ::2] for image in load_photographs())
    rng = np.random.default_rng(0)
    first, second = (one + 0.1 * rng.normal(size=one.shape) for one in (china, flower))
    options = {"patch_size": 48, "n_patches": 16, "max_work": 600, "dtype": "float32"}
    model = FoEDenoiser(12, 5, random_state=0, **options).fit(first, china)
    peer = TVDenoiser().fit(first, china)
    yield {
        "workload": "PSNR on an unseen photograph, dB",
        "FoEDenoiser": model.score(second, flower),
        "TVDenoiser": peer.score(second, flower),
    }


def calibration():
    """PSNR at fresh noise: a weight learned from pairs, or calibrated on the image.

    The first two photographs are of those that were learned from, the last two are of
    another kind: a clock face and printed text.
    """
    from numopt.bilevel import TVDenoiser

    restoration = bench.peers.require("skimage.restoration")
    model = TVDenoiser().fit(*bench.photographs(bench.TRAIN, 96))
    weights = {"weight": np.geomspace(0.02, 0.3, 10)}
    for name in (*bench.TRAIN[:2], *bench.TEST):
        noisy, clean = bench.photographs((name,), 96, seed=20)
        denoise = restoration.calibrate_denoiser(
            noisy[0], restoration.denoise_tv_chambolle, weights
        )
        error = np.mean((denoise(noisy[0]) - clean[0]) ** 2)
        yield {
            "workload": f"{name}, 96 pixels: PSNR, dB",
            "TVDenoiser": model.score(noisy, clean),
            "calibrate_denoiser": float(-10 * np.log10(error)),
        }


def implicit():
    """Relative difference of hypergradients of a logistic problem to jaxopt's."""
    jaxopt = bench.peers.require("jaxopt")
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    from numopt.bilevel import LogisticProblem, hypergradient

    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 20))
    y = X[:, :5].sum(axis=1) + rng.normal(size=300) > 0
    problem = LogisticProblem(X[:200], y[:200], X[200:], y[200:], "features")
    ones = np.ones((len(X), 1))
    A, signs = jnp.asarray(np.hstack([X, ones])), jnp.where(jnp.asarray(y), 1.0, -1.0)

    def loss(w, rows):
        return jnp.mean(jnp.logaddexp(0.0, -signs[rows] * (A[rows] @ w)))

    def lower(w, theta):
        penalties = jnp.append(jnp.exp(theta), jnp.exp(-9.0))
        return loss(w, slice(0, 200)) + 0.5 * jnp.sum(penalties * w**2)

    solver = jaxopt.LBFGS(lower, tol=1e-12, maxiter=10_000)

    def outer(theta):
        found = solver.run(jnp.zeros(A.shape[1]), theta).params
        return loss(found, slice(200, 300))

    theta = rng.normal(-3.0, 1.0, size=20)
    theirs = np.asarray(jax.grad(outer)(jnp.asarray(theta)))
    ours = hypergradient(problem, theta, tol=1e-9).gradient
    yield {
        "workload": "logistic hypergradient, relative difference to implicit "
        "differentiation",
        "jaxopt": float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)),
    }


GROUPS = (
    quadratic,
    total_variation,
    digits,
    experts,
    experts_unseen,
    block_losses,
    rings,
    per_feature,
    unseen,
    calibration,
    implicit,
)
