# SPDX-License-Identifier: BSD-3-Clause
"""Fields of experts and deblurring: brute force, bounds, learned filters."""

import copy
import dataclasses
import warnings

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import numopt
import numopt.bilevel as bl
from numopt._array.namespace import to_numpy
from numopt.bilevel._problem.experts import first_filters
from numopt.bilevel._problem.fidelity import BlurredFidelity, gram_bound
from numopt.bilevel._problem.images import folded, mirrored
from numopt.exceptions import ConvergenceWarning
from tests.bilevel.problems import BLUR, photograph


def brute_force(x, y, experts):
    """The objective, pixel by pixel, with images continued by reflection."""
    filters, a, b, _ = experts
    total = 0.5 * np.sum((x - y) ** 2)
    size = filters.shape[1]
    front = (size - 1) // 2
    wide = np.pad(x, (front, size - 1 - front), mode="symmetric")
    for c, weight, smoothing in zip(filters, a, b, strict=True):
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                u = np.sum(c * wide[i : i + size, j : j + size])
                total += weight * (np.hypot(u, smoothing) - smoothing)
    return total


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_values_are_those_of_the_formula(size, rng):
    y, x = photograph(6, 7)
    problem = bl.FoEDenoisingProblem(y, x, n_filters=3, filter_size=size)
    theta = problem.theta0 + 0.3 * rng.normal(size=problem.theta0.shape)
    value, _ = problem.lower.value_grad(x[None], theta)
    desired = brute_force(x, y, problem.lower.experts(theta))
    assert value == pytest.approx(desired, rel=1e-10)


@pytest.mark.parametrize("size", [2, 3, 5, 6])
def test_folding_is_adjoint_to_mirroring(size, rng, backend):
    x = rng.normal(size=(2, 7, 6))
    wide = to_numpy(mirrored(backend.asarray(x), size))
    front = (size - 1) // 2
    margins = (front, size - 1 - front)
    desired = np.pad(x, ((0, 0), margins, margins), mode="symmetric")
    np.testing.assert_array_equal(wide, desired)
    z = rng.normal(size=wide.shape)
    back = to_numpy(folded(backend.asarray(z), size))
    assert np.sum(wide * z) == pytest.approx(np.sum(x * back), rel=1e-12)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_bound_of_the_spectrum_holds(size, rng):
    H, W = 6, 7
    wide = mirrored(np.eye(H * W).reshape(-1, H, W), size)
    shift = np.zeros((1, size, size))
    shift[0, -1, -1] = 1.0
    for filters in (shift, rng.normal(size=(3, size, size))):
        weights = rng.uniform(0.1, 1.0, len(filters))
        gram = 0.0
        for c, w in zip(filters, weights, strict=True):
            taps = [(i, j) for i in range(size) for j in range(size)]
            C = sum(c[i, j] * wide[:, i : i + H, j : j + W] for i, j in taps)
            C = C.reshape(H * W, -1)
            gram = gram + w * C @ C.T
        largest = np.linalg.eigvalsh(gram)[-1]
        assert largest <= gram_bound(filters, weights) * (1 + 1e-12)


def test_blur_is_a_convolution(rng):
    signal = pytest.importorskip("scipy.signal")
    y, x = rng.normal(size=(2, 1, 8, 9))
    fidelity = BlurredFidelity(y, BLUR, 0.05)
    value, grad = fidelity.value_grad(x)
    wide = np.pad(x[0], 1, mode="symmetric")
    blurred = signal.convolve2d(wide, BLUR, mode="valid")
    desired = 0.5 * np.sum((blurred - y[0]) ** 2) + 0.025 * np.sum(x**2)
    assert value == pytest.approx(desired, rel=1e-12)
    u, h = rng.normal(size=x.shape), 1e-6
    up, down = (fidelity.value_grad(x + s * h * u)[0] for s in (1, -1))
    assert (up - down) / (2 * h) == pytest.approx(np.sum(grad * u), rel=1e-6)
    product = fidelity.product(u)
    assert np.sum(u * product) <= fidelity.lipschitz * np.sum(u * u)


@pytest.mark.parametrize("options", [{}, {"blur": BLUR, "ridge": 0.1}])
def test_array_libraries(backend, options, rng):
    noisy, clean = photograph(9, 8)
    desired = bl.FoEDenoisingProblem(noisy, clean, 2, 3, **options)
    problem = bl.FoEDenoisingProblem(*backend.arrays(noisy, clean), 2, 3, **options)
    x, q = rng.normal(size=(2, 1, 9, 8))
    results = []
    for p, (point, adjoint) in ((desired, (x, q)), (problem, backend.arrays(x, q))):
        lower, theta = p.lower, p.theta0
        value, grad = lower.value_grad(point, theta)
        arrays = grad, lower.hessian(point, theta)(adjoint)
        arrays = *arrays, lower.cross_vjp(point, theta, adjoint)
        variation = lower.hessian_variation(point, theta, adjoint, 0.1)
        results.append([value, variation, *map(to_numpy, arrays)])
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-12 * np.max(np.abs(one)), rtol=0)
    found = bl.solve_lower(problem, problem.theta0, tol=0.1, solver="agd")
    exact = bl.solve_lower(desired, desired.theta0, tol=1e-8)
    assert np.linalg.norm(to_numpy(found.x) - exact.x) <= found.error_bound + 1e-8


def test_threads_change_no_bit():
    noisy, clean = photograph(150, 120)
    problem = bl.FoEDenoisingProblem(noisy, clean, 3, 5)
    answers = []
    for count in (1, 2):
        with numopt.config_context(num_threads=count):
            answers.append(bl.hypergradient(problem, problem.theta0, tol=1.0).gradient)
    np.testing.assert_array_equal(*answers)


@pytest.fixture(scope="module")
def fitted():
    noisy, clean = photograph(48, 48)
    model = bl.FoEDenoiser(
        4, 3, max_work=150, n_patches=6, patch_size=20, random_state=0
    )
    return model.fit(noisy, clean), noisy, clean


def test_learned_filters_are_no_worse_than_total_variation(fitted):
    model, noisy, clean = fitted
    assert model.validation_error_ < model.validation_error_start_
    assert model.score(noisy, clean) > -10 * np.log10(np.mean((noisy - clean) ** 2)) + 2
    np.testing.assert_allclose(model.filters_.mean(axis=(1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(np.sum(model.filters_**2, axis=(1, 2)), 1)
    assert (np.diff(model.weights_) <= 0).all()
    assert model.smoothings_.shape == (4,)


def test_predictions_take_any_size(fitted):
    model, noisy, _ = fitted
    stack = np.stack([noisy[:30, :22], noisy[5:35, 3:25]])
    out = model.predict(stack)
    assert out.shape == stack.shape
    np.testing.assert_array_equal(out[1], model.transform(stack[1]))
    tight = copy.deepcopy(model).set_params(predict_tol=1e-7)
    difference = out - tight.predict(stack)
    assert np.sqrt(np.mean(difference**2)) <= 1.01e-3


def test_deblurring():
    _, clean = photograph(40, 40)
    rng = np.random.default_rng(3)
    kernel = np.full((3, 3), 1 / 9)
    wide = mirrored(clean[None], 3)
    blurred = sum(
        wide[0, i : i + 40, j : j + 40] / 9 for i in range(3) for j in range(3)
    )
    noisy = blurred + 0.02 * rng.normal(size=clean.shape)
    model = bl.FoEDenoiser(
        2, 2, max_work=60, n_patches=3, patch_size=24, blur=kernel, random_state=0
    ).fit(noisy, clean)
    gain = model.score(noisy, clean) + 10 * np.log10(np.mean((noisy - clean) ** 2))
    assert gain > 0.5


@pytest.mark.slow
def test_better_than_total_variation_on_an_unseen_photograph():
    from numopt.datasets import load_photograph

    rng = np.random.default_rng(0)
    images = [
        load_photograph(name).mean(axis=2)[::2, ::2] for name in ("china", "flower")
    ]
    noisy = [one + 0.1 * rng.normal(size=one.shape) for one in images]
    options = {"patch_size": 48, "n_patches": 16, "max_work": 600, "dtype": "float32"}
    model = bl.FoEDenoiser(12, 5, random_state=0, **options).fit(noisy[0], images[0])
    peer = bl.TVDenoiser().fit(noisy[0], images[0])
    assert model.score(noisy[1], images[1]) > peer.score(noisy[1], images[1]) + 0.1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"filter_size": 9}, "at least 9 x 9"),
        ({"n_filters": 0}, "n_filters"),
        ({"blur": np.ones((2, 2))}, "`blur` must be a square of odd width"),
        ({"blur": np.ones((9, 9))}, "`blur` must be no larger than the images"),
        ({"blur": np.full((3, 3), np.nan)}, "`blur` must be finite"),
        ({"blur": np.ones((3, 3)), "ridge": 0.0}, "ridge"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(ValueError, match=words):
        bl.FoEDenoisingProblem(*photograph(8, 8), **options)


def test_constant_filters_are_refused():
    problem = bl.FoEDenoisingProblem(*photograph(8, 8), n_filters=2, filter_size=3)
    theta = problem.theta0.copy()
    theta[4:13] = 1.0
    with pytest.raises(ValueError, match="a filter in theta is constant"):
        bl.solve_lower(problem, theta)


def test_bad_fits():
    noisy, clean = photograph(12, 12)
    with pytest.raises(ValueError, match="n_filters"):
        bl.FoEDenoiser(1).fit(noisy, clean)
    with pytest.raises(ValueError, match="`clean` must be of the shape"):
        bl.FoEDenoiser(2, 3).fit(noisy, clean[1:])
    with pytest.raises(NotFittedError):
        bl.FoEDenoiser().predict(noisy)


def test_first_filters():
    filters = first_filters(11, 3).reshape(11, 9)
    np.testing.assert_allclose(filters.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(np.sum(filters**2, axis=1), 1)
    # Eight cosines span what has mean zero; the others are random.
    np.testing.assert_allclose(filters[:8] @ filters[:8].T, np.eye(8), atol=1e-12)
    assert np.linalg.matrix_rank(filters) == 8
    assert np.abs(filters[8:] @ filters[:8].T).max() < 0.99


def test_random_filters_on_all_patches():
    noisy, clean = photograph(16, 16)
    options = {"validation_fraction": 0.0, "max_work": 60, "n_patches": 2}
    models = [
        bl.FoEDenoiser(3, 3, init=init, patch_size=12, random_state=0, **options).fit(
            noisy, clean
        )
        for init in ("random", "random", "dct")
    ]
    np.testing.assert_array_equal(models[0].filters_, models[1].filters_)
    assert np.abs(models[0].filters_ - models[2].filters_).max() > 1e-2
    for model in models[1:]:
        # Nothing is held out: the errors are those of the patches to train on.
        values = model.result_.history["value"]
        start, best = 2 * values[0] / 144, 2 * values.min() / 144
        assert model.validation_error_start_ == pytest.approx(start, rel=0.02)
        assert model.validation_error_ == pytest.approx(best, rel=0.02)


@pytest.mark.parametrize("status", ["max_iter", "callback", "stalled"])
def test_only_a_stalled_fit_warns(status, monkeypatch):
    noisy, clean = photograph(14, 14)

    def ends(*args, **options):
        result = bl.maid(*args, **options)
        return dataclasses.replace(result, converged=False, status=status)

    monkeypatch.setattr("numopt.bilevel._estimators.experts.maid", ends)
    model = bl.FoEDenoiser(2, 2, max_work=20, n_patches=2, patch_size=8)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model.set_params(random_state=0).fit(noisy, clean)
    told = [one for one in seen if issubclass(one.category, ConvergenceWarning)]
    assert len(told) == (status == "stalled")
