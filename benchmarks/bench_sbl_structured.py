# SPDX-License-Identifier: BSD-3-Clause
"""Relevance vectors, equation discovery and Kronecker dictionaries against peers."""

import functools
import itertools

import numpy as np

from benchmarks import peers
from benchmarks.common import PeerBenchmark


def sinc(n, seed=0):
    """Noisy sinc on a grid, its truth, and the width of the kernel."""
    x = np.linspace(-10, 10, n)[:, None]
    truth = np.sinc(x[:, 0] / np.pi)
    noise = 0.1 * np.random.default_rng(seed).standard_normal(n)
    return x, truth + noise, truth, 0.1


def relevance(n):
    """Ours and fastrvm on a sample of the noise."""
    from numopt.sbl import RVMRegressor

    fastrvm = peers.require("fastrvm")

    def ours(seed=0):
        x, y, _, gamma = sinc(n, seed)
        return RVMRegressor(gamma=gamma).fit(x, y)

    def theirs(seed=0):
        x, y, _, gamma = sinc(n, seed)
        return fastrvm.RVR(gamma=gamma, fit_intercept=True).fit(x, y)

    return ours, theirs


def relevance_errors(n, *fits, seeds=64):
    """Root mean square errors of each fit over noise samples."""
    x, _, truth, _ = sinc(n)

    def error(model):
        return float(np.sqrt(np.mean((model.predict(x) - truth) ** 2)))

    return [[error(fit(seed)) for seed in range(seeds)] for fit in fits]


@functools.cache
def lorenz(noise, n=2000, degree=5, seed=0):
    """Monomials of a Lorenz trajectory, its noisy derivatives and the true terms."""
    from scipy.integrate import solve_ivp

    def field(_, u):
        x, y, z = u
        return [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]

    t = np.linspace(0, 20, n)
    path = solve_ivp(field, (0, 20), [-8, 8, 27], t_eval=t, rtol=1e-9).y
    slopes = np.array(field(0, path))
    slopes = slopes + noise * np.random.default_rng(seed).standard_normal(slopes.shape)
    powers = [
        p for p in itertools.product(range(degree + 1), repeat=3) if sum(p) <= degree
    ]
    library = np.stack([np.prod(path.T**p, axis=1) for p in powers], axis=1)
    true = [
        {(1, 0, 0), (0, 1, 0)},
        {(1, 0, 0), (0, 1, 0), (1, 0, 1)},
        {(1, 1, 0), (0, 0, 1)},
    ]
    return library, slopes, [{powers.index(p) for p in terms} for terms in true]


def discovery(noise):
    """Ours, STLSQ, and the numbers of wrong terms of both."""
    from numopt.sbl import SBLRegressor

    optimizers = peers.require("pysindy.optimizers")
    library, slopes, true = lorenz(noise)

    def ours():
        return SBLRegressor(fit_intercept=False).fit(library, slopes.T).coef_

    def theirs():
        return optimizers.STLSQ(threshold=0.1).fit(library, slopes.T).coef_

    wrong = [
        sum(
            len(set(np.flatnonzero(c)) ^ terms)
            for c, terms in zip(m(), true, strict=True)
        )
        for m in (ours, theirs)
    ]
    return ours, theirs, wrong


@functools.cache
def wide(n=2000, p=100_000, k=30, seed=0):
    """Sparse dictionary with fifty times more atoms than rows, y, x and the noise."""
    import scipy.sparse as sp

    rng = np.random.default_rng(seed)
    A = sp.random_array(
        (n, p),
        density=0.005,
        random_state=rng,
        format="csc",
        data_sampler=rng.standard_normal,
    )
    x = np.zeros(p)
    x[rng.choice(p, k, replace=False)] = 2 * rng.standard_normal(k)
    noise = float(np.var(A @ x)) / 100
    return A, A @ x + np.sqrt(noise) * rng.standard_normal(n), x, noise


@functools.cache
def separable(seed=0, snr_db=25.0, rows=8, nonzeros=3):
    from numopt.datasets import make_kronecker_sparse

    return make_kronecker_sparse(
        (rows, 12, 15), (15, 15, 15), nonzeros, snr_db=snr_db, random_state=seed
    )


def recovery(method, snr_db, *, rows=8, nonzeros=3, known=False, trials=100):
    """Squared errors and support rates in the setting of He and Joseph 2024."""
    from numopt.sbl import kronecker_sbl

    errors, rates = [], []
    for seed in range(trials):
        data = separable(seed, snr_db, rows, nonzeros)
        noise = data.noise_var if known else None
        coef = kronecker_sbl(
            data.factors, data.y, method=method, noise_var=noise, warn=False
        ).coef
        found, truth = np.abs(coef) > 1e-3 * np.abs(coef).max(), data.coef != 0
        errors.append(np.sum((coef - data.coef) ** 2) / np.sum(data.coef**2))
        rates.append(np.sum(found & truth) / np.sum(found | truth))
    return np.array(errors), np.array(rates)


def channel_errors(snr_db, *, trials=12, **options):
    """Errors of the cascaded channel of a radio link over a reflecting surface."""
    from numopt.datasets import make_irs_mimo
    from numopt.sbl import kronecker_sbl

    errors = []
    for seed in range(trials):
        data = make_irs_mimo(snr_db=snr_db, random_state=seed)
        result = kronecker_sbl(data.factors, data.y, warn=False, **options)
        errors.append(data.nmse(result.coef))
    return np.array(errors)


def dense_step(A, y, gamma, noise):
    """One E-step by the dense formulas: covariance of the data, mean, covariance."""
    C = (A * gamma) @ A.T
    C[np.diag_indices_from(C)] += noise
    gain = np.linalg.solve(C, A * gamma).T
    cov = -gain @ (A * gamma)
    cov[np.diag_indices_from(cov)] += gamma
    return gain @ y, np.diagonal(cov)


def kronecker_step():
    """The same posterior by the factors, and by the dense formulas."""
    data = separable()
    model = kronecker_model(data.factors, data.y, data.noise_var)
    A = functools.reduce(np.kron, data.factors)
    gamma = np.ones(A.shape[1])

    def ours():
        model.refresh()  # the decompositions that new variances ask for
        return model.posterior()

    return ours, lambda: dense_step(A, data.y, gamma, data.noise_var)


def kronecker_model(factors, y, noise):
    """The solver's model at unit prior variances."""
    from numopt.sbl._solvers.kron_model import make_model

    gammas = [np.ones((1, H.shape[1])) for H in factors]
    model = make_model(
        factors, gammas, y[None, None, :], np.array([noise]), floor=1e-12, learn=True
    )
    model.refresh()
    return model


def solve(data, method, **options):
    """Time one whole Kronecker solve, as a callable."""
    from numopt.sbl import kronecker_sbl

    return lambda: kronecker_sbl(
        data.factors, data.y, method=method, warn=False, **options
    )


def sweep(size, method="mm"):
    """One iteration on ``size ** 3`` atoms and 12 ** 3 measurements."""
    from numopt.sbl._solvers import kron_steps

    rng = np.random.default_rng(0)
    H = [rng.standard_normal((12, size)) for _ in range(3)]
    model = kronecker_model(H, rng.standard_normal(12**3), 1.0)
    if method == "mm":
        return lambda: kron_steps.mm_sweep(model, 0.0)
    return lambda: kron_steps.svd_step(model)


class Kronecker(PeerBenchmark):
    """Kronecker solver against dense formulas and against itself."""

    def track_ratio_dense_formula(self):
        return self.ratio(*kronecker_step())

    def track_ratio_auto_to_svd(self):
        return self.ratio(solve(separable(), "auto"), solve(separable(), "svd"))

    def track_ratio_growth_of_atoms(self):
        return self.ratio(sweep(200), sweep(20))


class Relevance(PeerBenchmark):
    """``RVMRegressor`` against fastrvm."""

    params = [(800, 2000)]
    param_names = ("points",)

    def track_ratio_fastrvm(self, points):
        return self.ratio(*relevance(points))


class Discovery(PeerBenchmark):
    """``SBLRegressor`` against STLSQ on 56 monomials of a Lorenz trajectory."""

    params = [(0.1, 1.0, 5.0, 10.0)]
    param_names = ("noise",)

    def track_ratio_stlsq(self, noise):
        ours, theirs, _ = discovery(noise)
        return self.ratio(ours, theirs)

    def track_wrong_terms(self, noise):
        return discovery(noise)[2][0]


def largest_problem(limit, rows=(208, 256, 272, 288), seed=0):
    """Largest of a few problems whose solve allocates less than ``limit`` bytes.

    Three factors with ten columns a row; the allocations are those of NumPy.
    """
    import tracemalloc

    from numopt.sbl import kronecker_sbl

    rng, best = np.random.default_rng(seed), None
    for m in rows:
        H = [rng.standard_normal((m, 10 * m)) for _ in range(3)]
        y = functools.reduce(np.kron, [F[:, 5] for F in H])
        y += 0.01 * np.std(y) * rng.standard_normal(y.size)
        tracemalloc.start()
        result = kronecker_sbl(
            H, y, method="mm", max_iter=4, prune_tol=0.05, return_dense=False,
            warn=False,
        )  # fmt: skip
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if peak > limit:
            break
        found = [list(s) for s in result.support] == [[5]] * 3
        best = {"atoms": (10 * m) ** 3, "rows": m**3, "peak": peak, "found": found}
    return best
