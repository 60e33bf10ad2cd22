# SPDX-License-Identifier: BSD-3-Clause
"""Layers of few bits: GPTQ as the case K = 1, objectives, grids, batches."""

import numpy as np
import pandas as pd
import pytest

from numopt._array.namespace import to_numpy
from numopt.dmmv import (
    MinMaxQuantizer,
    minimize_max_violation_batch,
    quantize_layer,
)
from tests.backends import assert_xp_close
from tests.dmmv.problems import nearest_plane


@pytest.fixture(scope="module")
def layer():
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((24, 24)) * (0.3 + rng.random(24))
    X = rng.standard_normal((120, 24)) @ mixing
    return rng.standard_normal((24, 6)), X


def gptq(W, X, scales, zeros, top, damping):
    """The published loop: quantise an input, feed its error to those that remain."""
    H = X.T @ X / X.shape[0]
    H += damping * np.mean(np.diag(H)) * np.eye(len(H))
    rest = list(np.argsort(np.sum(X**2, axis=0), kind="stable"))
    W = W.copy()
    codes = np.zeros(W.shape)
    while rest:
        inverse = np.linalg.inv(H[np.ix_(rest, rest)])
        j = rest[-1]
        q = np.clip(np.rint(W[j] / scales) + zeros, 0, top)
        codes[j] = q
        error = (W[j] - scales * (q - zeros)) / inverse[-1, -1]
        for row, i in enumerate(rest[:-1]):
            W[i] -= inverse[row, -1] * error
        rest.pop()
    return codes


def test_width_one_is_gptq(layer):
    W, X = layer
    result = quantize_layer(W, X, bits=3, method="babai", clip_search=False)
    codes = gptq(W, X, result.scales[0], result.zeros[0], 7, 0.01)
    np.testing.assert_array_equal(result.codes, codes)
    beam = quantize_layer(
        W, X, bits=3, beam_width=1, clip_search=False, objective="mse"
    )
    np.testing.assert_array_equal(beam.codes, codes)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_objectives_order(layer, bits):
    W, X = layer
    results = {
        name: quantize_layer(W, X, bits=bits, clip_search=False, **options)
        for name, options in {
            "round": {"method": "round"},
            "gptq": {"method": "babai"},
            "mse": {"objective": "mse"},
            "mix": {"objective": "mix"},
            "max": {"objective": "max"},
        }.items()
    }
    worst = {name: r.violation.mean() for name, r in results.items()}
    square = {name: r.mean_square.mean() for name, r in results.items()}
    assert square["mse"] <= square["gptq"] < square["round"]
    assert worst["max"] <= worst["mix"] <= worst["mse"] * (1 + 1e-9)
    assert worst["max"] < 0.9 * worst["gptq"]
    assert square["mix"] <= 1.2 * square["mse"]
    for result in results.values():
        np.testing.assert_allclose(
            result.violation, np.abs(X @ (W - result.weights)).max(axis=0)
        )
        assert result.codes.max() < 2**bits
        assert np.all(result.lower_bound <= result.violation + 1e-12)


def test_clip_search_lowers_the_quadratic_error(layer):
    W, X = layer
    plain = quantize_layer(W, X, bits=2, clip_search=False, objective="mse")
    searched = quantize_layer(W, X, bits=2, objective="mse")
    assert searched.mean_square.mean() < plain.mean_square.mean()


@pytest.mark.parametrize("symmetric", [False, True])
def test_groups(layer, symmetric):
    W, X = layer
    result = quantize_layer(
        W, X, bits=3, group_size=10, symmetric=symmetric, beam_width=8
    )
    assert result.scales.shape == (3, 6)
    groups = np.arange(24) // 10
    weights = result.scales[groups] * (result.codes - result.zeros[groups])
    np.testing.assert_allclose(result.weights, weights)
    rounding = quantize_layer(
        W, X, bits=3, group_size=10, symmetric=symmetric, method="round"
    )
    assert result.violation.mean() < rounding.violation.mean()
    if symmetric:
        assert np.all(result.zeros == 4)


def test_few_samples_and_dead_inputs(rng):
    W = rng.standard_normal((12, 2))
    X = rng.standard_normal((5, 12))
    X[:, 3] = 0.0
    result = quantize_layer(W, X, bits=4, clip_search=False)
    grid = result.scales[0] * (np.arange(16)[:, None] - result.zeros[0])
    nearest = np.argmin(np.abs(grid - W[3]), axis=0)
    np.testing.assert_array_equal(result.codes[3], nearest)
    zeros = quantize_layer(W, np.zeros((4, 12)), bits=4)
    assert np.all(zeros.violation == 0)


def test_identity_inputs_are_nearest_rounding(rng):
    W = rng.standard_normal((9, 2))
    result = quantize_layer(W, np.eye(9), bits=3, clip_search=False)
    rounding = quantize_layer(W, None, bits=3, clip_search=False)
    assert result.violation == pytest.approx(rounding.violation)
    assert result.lower_bound == pytest.approx(result.violation)


def test_estimator_round_trip(layer):
    W, X = layer
    model = MinMaxQuantizer(bits=3, beam_width=8).fit(W, X=X)
    np.testing.assert_array_equal(model.transform(W), model.codes_)
    np.testing.assert_allclose(model.inverse_transform(model.codes_), model.weights_)
    assert model.score(W, X) == pytest.approx(-model.violation_.max())
    assert model.score(W, X=X) == model.score(W, X)
    plain = MinMaxQuantizer(bits=3).fit(W)
    assert model.score(W, X) > plain.score(W, X)
    with pytest.raises(ValueError, match="`W` must be of shape"):
        model.transform(W[:5])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"bits": 0}, "`bits` must be"),
        ({"bits": 9}, "`bits` must be"),
        ({"objective": "median"}, "`objective` must be one of"),
        ({"method": "gptq"}, "`method` must be one of"),
        ({"group_size": 0}, "`group_size` must be"),
        ({"beam_width": 0}, "`beam_width` must be"),
        ({"damping": -1.0}, "`damping` must be"),
    ],
)
def test_bad_options(layer, options, match):
    with pytest.raises(ValueError, match=match):
        quantize_layer(*layer, **options)


def test_bad_data(layer):
    W, X = layer
    with pytest.raises(ValueError, match="`X` must be of shape"):
        quantize_layer(W, X[:, :5])
    with pytest.raises(ValueError, match="`W` must be finite"):
        quantize_layer(np.full((24, 1), np.nan), X)


# ------------------------------------------------------------------- batches


def test_batch_finds_planted_points_on_every_library(backend):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((30, 6))
    X = rng.integers(0, 4, (6, 5)).astype(float)
    A_, B_ = backend.arrays(A, A @ X + 0.01)
    for method in ("beam", "babai", "round"):
        result = minimize_max_violation_batch(A_, B_, (0, 3), method=method)
        assert_xp_close(result.x, X, like=A_)
        assert_xp_close(result.violation, np.full(5, 0.01), like=A_, rtol=1e-6)
        assert result.lower_bound.shape == (5,)


def test_batch_uneven_levels_scale_and_weights(backend):
    rng = np.random.default_rng(1)
    levels = np.array([-1.0, 0.0, 2.5])
    A = rng.standard_normal((20, 4))
    x = levels[rng.integers(0, 3, (4, 3))]
    scale = np.array([1.0, 0.1, 10.0])
    weights = rng.uniform(0.5, 2, 20)
    B = A @ x * scale
    args = backend.arrays(A, B)
    scale_, weights_ = backend.arrays(scale, weights)
    result = minimize_max_violation_batch(
        *args, levels, scale=scale_, weights=weights_, beam_width=16
    )
    assert_xp_close(result.x, x, like=args[0])
    assert np.abs(to_numpy(result.violation)).max() < 1e-9


def test_batch_is_not_worse_than_rounding_or_babai():
    rng = np.random.default_rng(2)
    A = rng.standard_normal((40, 12)) @ rng.standard_normal((12, 12))
    B = A @ rng.uniform(0, 3, (12, 8))
    worst = {
        method: minimize_max_violation_batch(A, B, (0, 3), method=method)
        for method in ("round", "babai", "beam")
    }
    assert np.all(worst["babai"].violation <= worst["round"].violation)
    assert np.all(worst["beam"].violation <= worst["babai"].violation)
    assert worst["beam"].violation.mean() < 0.8 * worst["babai"].violation.mean()
    for result in worst.values():
        error = np.abs(A @ result.x - B).max(axis=0)
        np.testing.assert_allclose(error, result.violation)
        assert np.all(result.lower_bound <= result.violation)


def test_kernel_of_width_one_is_the_nearest_plane():
    from numopt.dmmv._kernels import k_best

    rng = np.random.default_rng(0)
    A, t = rng.standard_normal((15, 7)), 20 * rng.standard_normal(15)
    Q, R = np.linalg.qr(A)
    wide = np.full(7, 1e9)
    points, _ = k_best(R, (Q.T @ t)[None], np.zeros((7, 0)), -wide, wide, 1, 1, 1)
    np.testing.assert_array_equal(points[0, 0], nearest_plane(A, t))


@pytest.mark.parametrize("listed", [False, True])
def test_kernel_of_many_variables_agrees_with_its_reference(listed):
    # more variables than a block of the compiled search: shared and split decisions
    from numopt.dmmv._kernels import k_best

    rng = np.random.default_rng(1)
    n, channels = 90, 3
    R = np.triu(rng.standard_normal((n, n))) / np.sqrt(n)
    R += np.diag(np.sign(np.diag(R)))
    target = 4 * rng.standard_normal((channels, n))
    table = np.sort(rng.uniform(-3, 3, (n, 5)), axis=1) if listed else np.zeros((n, 0))
    box = np.full(n, -3.0), np.full(n, 3.0)
    for keep, count in ((1, 1), (20, 7)):
        args = (R, target, table, *box, keep, 3, count)
        points, costs = k_best(*args)
        again, expected = k_best.reference(*args)
        assert points.shape == (channels, count, n)
        np.testing.assert_allclose(costs, expected, rtol=1e-9)
        np.testing.assert_allclose(points, again)
        errors = np.sum((points @ R.T - target[:, None, :]) ** 2, axis=2)
        np.testing.assert_allclose(costs, errors, rtol=1e-9)


def test_batch_bad_input():
    A, B = np.ones((3, 2)), np.ones((3, 4))
    with pytest.raises(ValueError, match="`B` must be of shape"):
        minimize_max_violation_batch(A, B[:2], (0, 1))
    with pytest.raises(ValueError, match="`scale` must be"):
        minimize_max_violation_batch(A, B, (0, 1), scale=np.zeros(4))
    with pytest.raises(ValueError, match="`method` must be one of"):
        minimize_max_violation_batch(A, B, (0, 1), method="anneal")


def test_codes_keep_the_names_of_the_outputs():
    W = pd.DataFrame(
        np.random.default_rng(0).standard_normal((8, 2)), columns=["u", "v"]
    )
    codes = MinMaxQuantizer(bits=3).set_output(transform="pandas").fit_transform(W)
    assert list(codes.columns) == ["u", "v"]
    assert codes.to_numpy().max() <= 7
