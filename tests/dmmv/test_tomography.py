# SPDX-License-Identifier: BSD-3-Clause
"""Discrete tomography: projector geometry, exact recovery, criteria, bad input."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.dmmv import DiscreteTomography, parallel_beam_matrix


def blobs(size, seed=0):
    """A few discs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    image = np.zeros((size, size))
    for _ in range(3):
        cy, cx = rng.uniform(0.25, 0.75, 2) * size
        radius = rng.uniform(0.12, 0.22) * size
        image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = 1.0
    return image


def test_columns_sum_to_the_number_of_angles():
    A = parallel_beam_matrix((9, 13), np.arange(7) * 23.0)
    np.testing.assert_allclose(A.sum(axis=0), 7.0)
    assert A.shape == (19 * 7, 9 * 13)


def test_axis_aligned_projections_are_sums():
    image = np.random.default_rng(0).random((8, 8))
    sinogram = (parallel_beam_matrix((8, 8), [0.0, 90.0]) @ image.ravel()).reshape(
        -1, 2
    )
    middle = sinogram.shape[0] // 2
    at = slice(middle - 4, middle + 4)
    np.testing.assert_allclose(sinogram[at, 0], image.sum(axis=0))
    # at 90 degrees the detector runs against the rows, one further on
    np.testing.assert_allclose(
        sinogram[middle - 3 : middle + 5, 1], image.sum(axis=1)[::-1]
    )


@pytest.mark.parametrize(
    ("shape", "circle"), [((32, 32), False), ((33, 24), False), ((33, 33), True)]
)
def test_agrees_with_scikit_image(shape, circle):
    transform = pytest.importorskip("skimage.transform")
    theta = np.array([0.0, 27.0, 45.0, 90.0, 131.0])
    A = parallel_beam_matrix(shape, theta, circle=circle)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = np.hypot(y - shape[0] // 2, x - shape[1] // 2) <= min(shape) // 2
    for image in (blobs(shape[0])[:, : shape[1]], rng.random(shape)):
        image = image * inside
        expected = transform.radon(image, theta, circle=circle)
        actual = (A @ image.ravel()).reshape(expected.shape)
        rms = np.sqrt(np.mean((actual - expected) ** 2) / np.mean(expected**2))
        assert rms < 0.02


def test_circle_leaves_out_the_corners():
    A = parallel_beam_matrix((16, 16), [10.0], circle=True)
    assert A.shape[0] == 16
    covered = np.asarray(A.sum(axis=0)).reshape(16, 16) > 0
    assert not covered[0, 0]
    assert covered[8, 8]


@pytest.mark.parametrize("criterion", ["l2", "max"])
def test_recovers_an_image_under_bounded_noise(criterion):
    image = blobs(20)
    theta = np.arange(6) * 30.0
    A = parallel_beam_matrix(image.shape, theta)
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, A.shape[0])
    sinogram = (A @ image.ravel() + noise).reshape(-1, 6)
    start = DiscreteTomography(
        theta=theta, image_shape=image.shape, noise=0.5, method="sirt"
    ).fit(sinogram)
    model = DiscreteTomography(
        theta=theta, image_shape=image.shape, noise=0.5, criterion=criterion
    ).fit(sinogram)
    assert -model.score(image) <= 0.02
    assert -model.score(image) <= -start.score(image)
    residual = np.abs(A @ model.image_.ravel() - sinogram.ravel()).max()
    assert model.violation_ == pytest.approx(residual)
    assert model.lower_bound_ <= model.violation_
    again = DiscreteTomography(
        theta=theta, image_shape=image.shape, noise=0.5, criterion=criterion
    ).fit(sinogram)
    np.testing.assert_array_equal(model.image_, again.image_)


def test_given_matrix_levels_and_dart():
    image = blobs(12) * 2.0
    image[2:4, 2:4] = 0.7
    theta = np.arange(8) * 22.5
    A = parallel_beam_matrix((12, 12), theta)
    model = DiscreteTomography(
        levels=[0.0, 0.7, 2.0], init="dart", noise=0.05, random_state=0
    )
    found = model.fit_predict(A @ image.ravel(), matrix=sp.csr_matrix(A))
    assert set(np.unique(found)) <= {0.0, 0.7, 2.0}
    assert np.mean(found != image) < 0.06


def test_time_limit():
    image = blobs(12)
    A = parallel_beam_matrix((12, 12), [0.0, 45.0, 90.0])
    model = DiscreteTomography(time_limit=1e-9, theta=[0.0, 45.0, 90.0])
    model.fit((A @ image.ravel()).reshape(-1, 3))
    assert model.n_iter_ == 0
    assert set(np.unique(model.image_)) <= {0.0, 1.0}


def test_bad_input():
    with pytest.raises(ValueError, match="`theta` must be"):
        DiscreteTomography(theta=[0.0]).fit(np.ones((5, 2)))
    with pytest.raises(ValueError, match="`levels` must be at least two"):
        DiscreteTomography(levels=[1.0]).fit(np.ones((5, 2)))
    with pytest.raises(ValueError, match="`image_shape` must be of 6 pixels"):
        DiscreteTomography(image_shape=(2, 2)).fit(np.ones(3), matrix=np.ones((3, 6)))
    with pytest.raises(ValueError, match="`sinogram` must be of shape"):
        DiscreteTomography().fit(np.ones(4), matrix=np.ones((3, 4)))
    with pytest.raises(ValueError, match="`image_shape` must be"):
        parallel_beam_matrix(4, [0.0])
    with pytest.raises(ValueError, match="`image_shape` must be"):
        parallel_beam_matrix((0, 4), [0.0])
    with pytest.raises(ValueError, match="`theta` must be finite"):
        parallel_beam_matrix((4, 4), [np.nan])


def test_little_noise_and_four_projections_are_no_barrier():
    # annealing under the given bound alone ends far from these images
    theta = np.arange(4) * 45.0
    A = parallel_beam_matrix((20, 20), theta)
    wrong = []
    for seed in range(3):
        image = blobs(20, seed)
        noise = np.random.default_rng(seed).uniform(-0.1, 0.1, A.shape[0])
        model = DiscreteTomography(theta=theta, image_shape=(20, 20), noise=0.1)
        model.fit((A @ image.ravel() + noise).reshape(-1, 4))
        wrong.append(-model.score(image))
    assert np.median(wrong) <= 0.02
    assert model.history_["residual"].tolist() == list(range(model.n_iter_, -1, -1))


def test_largest_residual_is_polished_towards_the_noise_bound():
    image = blobs(20)
    theta = np.arange(6) * 30.0
    A = parallel_beam_matrix(image.shape, theta)
    noise = np.random.default_rng(1).uniform(-1, 1, A.shape[0])
    sinogram = (A @ image.ravel() + noise).reshape(-1, 6)
    worst = {}
    for criterion in ("l2", "max"):
        model = DiscreteTomography(
            theta=theta, image_shape=image.shape, noise=1.0, criterion=criterion
        ).fit(sinogram)
        worst[criterion] = model.violation_
    assert worst["max"] < worst["l2"]
