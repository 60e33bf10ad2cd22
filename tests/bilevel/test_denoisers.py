# SPDX-License-Identifier: BSD-3-Clause
"""TVDenoiser: learns, predicts any size and type, says no."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import numopt.bilevel as bl
from numopt.exceptions import ConvergenceWarning
from tests.bilevel.problems import photograph

NOISY, CLEAN = photograph(36, 40)
MODEL = bl.TVDenoiser().fit(NOISY, CLEAN)


def psnr(a, b):
    return -10 * np.log10(np.mean((a - b) ** 2))


def test_learns_and_generalises():
    noisy, clean = photograph(30, 50, seed=1)
    assert MODEL.result_.converged
    error = np.mean((MODEL.predict(NOISY) - CLEAN) ** 2)
    assert error == pytest.approx(MODEL.train_error_, rel=1e-2)
    assert MODEL.score(noisy, clean) > psnr(noisy, clean) + 1
    assert MODEL.score(noisy, clean) == pytest.approx(
        psnr(MODEL.predict(noisy), clean), rel=1e-6
    )


def test_predictions_are_near_the_minimiser():
    loose = MODEL.predict(NOISY)
    tight = pickle.loads(pickle.dumps(MODEL)).set_params(predict_tol=1e-6)
    difference = loose - tight.predict(NOISY)
    assert np.sqrt(np.mean(difference**2)) <= 1.1e-3


def test_batches_and_channels_are_images():
    stack = np.stack([NOISY, NOISY[::-1]])
    out = MODEL.predict(stack)
    assert out.shape == stack.shape
    np.testing.assert_array_equal(out[0], MODEL.predict(NOISY))
    colour = np.stack([stack, 1 - stack, stack], axis=-1)
    out4 = MODEL.predict(colour)
    np.testing.assert_array_equal(out4[..., 0], out)
    np.testing.assert_array_equal(MODEL.transform(stack), out)


def test_integers_are_scaled():
    integers = np.round(255 * np.clip(NOISY, 0, 1)).astype(np.uint8)
    out = MODEL.predict(integers)
    assert out.dtype == np.float64
    np.testing.assert_allclose(out, MODEL.predict(integers / 255.0))


@pytest.mark.parametrize("factor", [255.0, 65535.0, 1e-4, 1e-30])
def test_grey_values_of_any_range(factor):
    model = bl.TVDenoiser().fit(factor * NOISY, factor * CLEAN)
    spread = factor * float(CLEAN.max() - CLEAN.min())
    assert 0.7 <= spread / model.unit_ <= 1.42
    assert MODEL.unit_ == 1.0
    # The same noise is removed; where the search stops depends on the unit a little.
    out = model.predict(factor * NOISY) / factor
    assert psnr(out, CLEAN) == pytest.approx(psnr(MODEL.predict(NOISY), CLEAN), abs=0.1)


def test_fixed_smoothing():
    model = bl.TVDenoiser(smoothing=0.02).fit(NOISY, CLEAN)
    assert model.smoothing_ == 0.02
    assert model.train_error_ >= MODEL.train_error_ * (1 - 1e-3)
    started = bl.TVDenoiser(smoothing=0.02, theta0=[-4.0]).fit(NOISY, CLEAN)
    assert started.train_error_ == pytest.approx(model.train_error_, rel=5e-3)


def test_single_precision():
    model = bl.TVDenoiser(dtype="float32").fit(NOISY, CLEAN)
    assert model.predict(NOISY).dtype == np.float32
    assert MODEL.result_.x.dtype == np.float32
    double = bl.TVDenoiser(dtype="float64").fit(NOISY, CLEAN)
    assert double.result_.x.dtype == np.float64
    # The error is flat about its minimum: it agrees, weights agree less.
    assert model.train_error_ == pytest.approx(double.train_error_, rel=3e-3)


def test_threads_change_nothing():
    model = bl.TVDenoiser(n_jobs=2).fit(NOISY, CLEAN)
    assert model.weight_ == MODEL.weight_


@pytest.mark.parametrize(
    ("noisy", "clean", "words"),
    [
        (NOISY, CLEAN[:, 1:], "`clean` must be of the shape"),
        (NOISY > 0.5, CLEAN, "`noisy` must be grey values"),
        (NOISY[0], CLEAN[0], r"`noisy` must be \(H, W\)"),
        (np.where(NOISY > 0.5, np.nan, NOISY), CLEAN, "`noisy` must be finite"),
        (NOISY[:1], CLEAN[:1], "at least 2 x 2"),
        (np.zeros((0, 4, 4)), np.zeros((0, 4, 4)), "non-empty"),
    ],
)
def test_bad_images(noisy, clean, words):
    with pytest.raises(ValueError, match=words):
        bl.TVDenoiser().fit(noisy, clean)


def test_bad_options():
    with pytest.raises(ValueError, match="smoothing_bounds"):
        bl.TVDenoiser(smoothing_bounds=(1.0, 0.5)).fit(NOISY, CLEAN)
    with pytest.raises(ValueError, match="smoothing"):
        bl.TVDenoiser(smoothing=-1.0).fit(NOISY, CLEAN)
    with pytest.raises(NotFittedError):
        clone(MODEL).predict(NOISY)
    with pytest.raises(ValueError, match=r"\(B, H, W\)"):
        MODEL.predict(np.zeros(5))
    with pytest.raises(ValueError, match="a pair"):
        bl.TVDenoiser(smoothing_bounds=(0.1,)).fit(NOISY, CLEAN)


def test_limits_warn():
    model = bl.TVDenoiser(max_iter=1, tol=0.0, theta0=[-8.0, -4.0])
    with pytest.warns(ConvergenceWarning, match="TVDenoiser"):
        model.fit(NOISY, CLEAN)
    assert model.n_iter_ == 1
