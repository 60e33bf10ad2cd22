# SPDX-License-Identifier: BSD-3-Clause
"""Bilevel learning: work to a gap on closed forms, fits against grids of peers."""

import warnings

import numpy as np

from benchmarks import peers
from benchmarks.common import PeerBenchmark


def quadratic(seed=29, n=1000, m=10):
    """The quadratic problem of Salehi et al. (2025), with fixed draws."""
    from numopt.bilevel import QuadraticProblem

    rng = np.random.default_rng(seed)
    A1, A2, A3 = (rng.uniform(size=(n, m)) for _ in range(3))
    x1, x2, theta = (rng.uniform(size=m) for _ in range(3))
    b1 = A1 @ x1 + 0.01 * rng.standard_normal(n)
    b2 = A2 @ x2 + A3 @ theta + 0.01 * rng.standard_normal(n)
    return QuadraticProblem(A1, b1, A2, A3, b2)


def target(problem, gap):
    """Value at a relative gap between the start and the minimum."""
    from numopt.bilevel import hypergradient

    start = hypergradient(problem, problem.theta0, tol=1e-9).value
    return problem.f_star + gap * (start - problem.f_star)


def ours_quadratic(problem, level, method="maid-qn", **options):
    """Return a callable that brings the certified upper end below a level."""
    from numopt.bilevel import maid

    fixed = {"f_target": level, "gtol": 0.0, "ftol": 0.0, "warn": False}
    return lambda: maid(
        problem, problem.theta0, method=method, max_iter=5000, **fixed, **options
    )


def tight_lbfgs(problem, level):
    """SciPy's L-BFGS-B on values and gradients of accuracy 1e-6."""
    from scipy.optimize import minimize

    from numopt.bilevel import hypergradient

    class Reached(Exception):
        pass

    def run():
        work = 0
        x = q = None

        def evaluate(theta):
            nonlocal work, x, q
            result = hypergradient(problem, theta, x0=x, q0=q, tol=1e-6)
            x, q = result.x, result.q
            work += result.n_lower_grad + result.n_hvp
            if result.value <= level:
                raise Reached
            return result.value, result.gradient

        options = {"maxiter": 5000, "ftol": 0.0, "gtol": 0.0}
        try:
            minimize(
                evaluate, problem.theta0, jac=True, method="L-BFGS-B", options=options
            )
        except Reached:
            return work
        raise NotImplementedError("stops before the target")

    return run


def photographs(names, size=64, seed=19, noise=0.1):
    """Noisy and clean centres of scikit-image's photographs."""
    data = peers.require("skimage.data")
    from skimage.color import rgb2gray
    from skimage.transform import resize

    clean = []
    for name in names:
        image = getattr(data, name)()
        image = rgb2gray(image) if image.ndim == 3 else image / 255.0
        side = min(image.shape)
        top, left = ((n - side) // 2 for n in image.shape)
        square = image[top : top + side, left : left + side]
        clean.append(resize(square, (size, size), anti_aliasing=True))
    clean = np.stack(clean)
    rng = np.random.default_rng(seed)
    return clean + noise * rng.standard_normal(clean.shape), clean


TRAIN = ("camera", "coins", "brick", "moon", "page")
TEST = ("clock", "text")


def _square(size):
    """Fit of weight and smoothing against a grid of 20 weights, five photographs."""
    restoration = peers.require("skimage.restoration")
    from numopt.bilevel import TVDenoiser

    noisy, clean = photographs(TRAIN, size)

    def grid():
        losses = []
        for weight in np.geomspace(0.02, 0.3, 20):
            outputs = [
                restoration.denoise_tv_chambolle(image, weight=weight)
                for image in noisy
            ]
            losses.append(np.mean((np.stack(outputs) - clean) ** 2))
        return min(losses)

    ours = TVDenoiser().fit(noisy, clean)
    if ours.train_error_ > grid():
        raise NotImplementedError("the grid ends at a lower training error")
    return lambda: TVDenoiser().fit(noisy, clean), grid


def denoiser_predict(size=160, accuracy=1e-3):
    """Denoising at one weight to a root mean square error of 1e-3."""
    restoration = peers.require("skimage.restoration")
    from numopt.bilevel import TVDenoiser

    noisy, clean = photographs(("camera", "coins"), size)
    # The kernel's smoothing is small here, so that both minimise the same model.
    model = TVDenoiser(smoothing=5e-3, predict_tol=0.5 * accuracy).fit(noisy, clean)
    weight = model.weight_
    reference = [
        restoration.denoise_tv_chambolle(image, weight, eps=1e-9, max_num_iter=3000)
        for image in noisy
    ]

    def theirs(eps):
        return [
            restoration.denoise_tv_chambolle(image, weight, eps=eps, max_num_iter=2000)
            for image in noisy
        ]

    for eps in (2e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6, 1e-6):
        error = np.sqrt(np.mean((np.stack(theirs(eps)) - np.stack(reference)) ** 2))
        if error <= accuracy:
            return lambda: model.predict(noisy), lambda eps=eps: theirs(eps)
    raise NotImplementedError("does not reach the accuracy")


def block_table(seed=0):
    """Breast cancer with 100 columns of noise, two blocks, split in three."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    X, y = load_breast_cancer(return_X_y=True)
    rng = np.random.default_rng(seed)
    X = np.hstack([X, rng.standard_normal((len(X), 100))])
    parts = train_test_split(X, y, test_size=0.4, random_state=seed, stratify=y)
    scaler = StandardScaler().fit(parts[0])
    groups = np.repeat([0, 1], [30, 100])
    return scaler.transform(parts[0]), scaler.transform(parts[1]), *parts[2:], groups


def block_logistic(seed=0):
    """Two penalties by hypergradients against twenty common ones."""
    from numopt.bilevel import BilevelLogisticRegression

    X, _, y, _, groups = block_table(seed)
    return _fits(BilevelLogisticRegression(groups), logistic_grid(), X, y)


def logistic_grid():
    """Twenty common penalties, five folds."""
    from sklearn.linear_model import LogisticRegressionCV

    return LogisticRegressionCV(
        Cs=20,
        cv=5,
        scoring="neg_log_loss",
        max_iter=1000,
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    )


def _fits(ours, peer, X, y):
    """Both fits; ours may warn that a penalty ended at a bound."""

    def fit():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ours.fit(X, y)

    return fit, lambda: peer.fit(X, y)


def block_search(draws=25, seed=0):
    """Two penalties by hypergradients against random draws of them, five folds.

    Rows scaled by ``exp(-theta / 2)`` turn penalties per block into a common one.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    from numopt.bilevel import BilevelLogisticRegression

    X, _, y, _, groups = block_table(seed)
    C = 1 / (0.8 * len(X))

    def search():
        rng = np.random.default_rng(seed)
        losses = []
        for _ in range(draws):
            scale = np.exp(-0.5 * rng.uniform(-9.0, 3.0, size=2))[groups]
            scores = cross_val_score(
                LogisticRegression(C=C, max_iter=1000),
                X * scale,
                y,
                cv=5,
                scoring="neg_log_loss",
            )
            losses.append(-scores.mean())
        return min(losses)

    fit = _fits(BilevelLogisticRegression(groups), None, X, y)[0]
    if fit().cv_loss_ > search():
        raise NotImplementedError("random search ends at a lower loss")
    return fit, search


def ring_table(seed=0):
    """Digits, 700 rows, with 64 columns of noise; pixels in four rings."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    X = np.hstack([X, rng.standard_normal((len(X), 64))])
    parts = train_test_split(X, y, train_size=700, random_state=seed, stratify=y)
    scaler = StandardScaler().fit(parts[0])
    i = np.minimum(np.arange(8), np.arange(8)[::-1])
    rings = np.minimum(i[:, None], i[None, :]).ravel()
    groups = np.append(rings, np.full(64, 4))
    return scaler.transform(parts[0]), scaler.transform(parts[1]), *parts[2:], groups


def ring_logistic():
    """Five penalties by hypergradients against twenty common ones, ten classes."""
    from numopt.bilevel import BilevelLogisticRegression

    X, _, y, _, groups = ring_table()
    return _fits(BilevelLogisticRegression(groups), logistic_grid(), X, y)


def sparse_ridge(seed=0, n=200, p=100, n_active=10):
    """Rows to train and 1,000 to test; ten columns matter."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n + 1000, p))
    active = np.arange(p) < n_active
    y = X[:, active] @ rng.standard_normal(n_active)
    y = y + y.std() * 0.5 * rng.standard_normal(len(y))
    return X[:n], y[:n], X[n:], y[n:], active


def feature_ridge():
    """A hundred penalties, safeguarded, against fifty common ones."""
    from sklearn.linear_model import RidgeCV

    from numopt.bilevel import BilevelRidge

    X, y, *_ = sparse_ridge()
    ours = BilevelRidge("features", random_state=0)
    return _fits(ours, RidgeCV(np.geomspace(1e-2, 1e5, 50), cv=5), X, y)


def banded(seed=0, n=300, sizes=(20, 40, 60, 80, 100)):
    """Five blocks, two of which matter."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, sum(sizes)))
    groups = np.repeat(np.arange(5), sizes)
    scale = np.array([1.0, 0.0, 0.3, 0.0, 0.0])[groups]
    y = X @ (scale * rng.standard_normal(X.shape[1]))
    return X, y + y.std() * rng.standard_normal(n), groups


def banded_ridge():
    """Five penalties by hypergradients against fifty common ones."""
    from sklearn.linear_model import RidgeCV

    from numopt.bilevel import BilevelRidge

    X, y, groups = banded()
    return _fits(BilevelRidge(groups), RidgeCV(np.geomspace(1e-2, 1e5, 50), cv=5), X, y)


def denoising_work(
    gap=1e-2,
    method="maid-qn",
    names=("camera", "astronaut", "coffee", "cat", "brick"),
    seed=19,
):
    """Work to a relative gap of weight and smoothing, five photographs of 64 pixels.

    The minimum is that of a run to ``ftol=1e-9``; None where 4,000 do not get there.
    """
    from numopt.bilevel import TVDenoisingProblem, maid

    noisy, clean = photographs(names, 64, seed)
    problem = TVDenoisingProblem(noisy, clean)
    best = maid(problem, problem.theta0, max_step=1.0, gtol=1e-7, ftol=1e-9, warn=False)
    result = maid(
        problem, np.array([-5.0, -5.0]), method=method, solver="lbfgs", max_step=1.0,
        tau=0.3, gtol=0.0, ftol=0.0, max_work=4000, max_iter=3000, warn=False,
        f_target=(1 + gap) * best.value,
    )  # fmt: skip
    return result.n_lower_grad + result.n_hvp if result.converged else None


def quadratic_cases():
    """Return the rows of the closed form."""
    return [
        peers.Case(
            f"quadratic, seed {seed}, gap {gap:.0e}",
            "L-BFGS-B, tight",
            "scipy",
            lambda seed=seed, gap=gap: _quadratic(seed, gap),
        )
        for seed in (29, 1)
        for gap in (1e-2, 1e-6)
    ]


def table_cases():
    """Return the rows of estimators on tables."""
    rows = (
        ("block logistic", "LogisticRegressionCV", block_logistic),
        ("block logistic", "25 random draws", block_search),
        ("digits with noise, 5 blocks", "LogisticRegressionCV", ring_logistic),
        ("sparse ridge, per feature", "RidgeCV, 50 alphas", feature_ridge),
        ("banded ridge, p 300", "RidgeCV, 50 alphas", banded_ridge),
    )
    return [peers.Case(work, peer, "sklearn", make) for work, peer, make in rows]


def image_cases():
    """Return the rows of denoisers."""
    grid, single = "TV weight, 5 images 96", "TV, 2 images 160"
    return [
        peers.Case(grid, "chambolle grid", "skimage", lambda: _square(96)),
        peers.Case(single, "chambolle", "skimage", denoiser_predict),
    ]


CASES = {"quadratic": quadratic_cases, "table": table_cases, "image": image_cases}


def _quadratic(seed, gap):
    problem = quadratic(seed)
    level = target(problem, gap)
    return ours_quadratic(problem, level), tight_lbfgs(problem, level)


class Quadratic(PeerBenchmark):
    """Work and time to a gap of the published quadratic problem."""

    params = [(29, 1, 2), (1e-2, 1e-6)]
    param_names = ("seed", "gap")

    def setup(self, seed, gap):
        self.problem = quadratic(seed)
        self.level = target(self.problem, gap)

    def track_work(self, seed, gap):
        result = ours_quadratic(self.problem, self.level)()
        return result.n_lower_grad + result.n_hvp

    track_work.unit = "gradients + products"

    def track_ratio_lbfgs(self, seed, gap):
        return self.ratio(*_quadratic(seed, gap))


class Tables(PeerBenchmark):
    """Estimators on tables."""

    def track_ratio_logistic_regression_cv(self):
        return self.ratio(*block_logistic())

    def track_ratio_ridge_cv(self):
        return self.ratio(*banded_ridge())


class Images(PeerBenchmark):
    """The denoiser against scikit-image."""

    def track_ratio_chambolle_grid(self):
        return self.ratio(*_square(96))

    def track_ratio_chambolle(self):
        return self.ratio(*denoiser_predict())

    def track_work_total_variation(self):
        return denoising_work()

    track_work_total_variation.unit = "gradients + products"
