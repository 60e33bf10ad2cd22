# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest

from numopt.ot import barycenter, barycenter_grid, free_support_barycenter
from numopt.plotting import BarycenterDisplay


def test_histograms(rng):
    A = rng.random((8, 3)) + 0.1
    A /= A.sum(axis=0)
    x = np.linspace(0, 1, 8)
    result = barycenter(A, (x[:, None] - x) ** 2, 0.05)
    display = BarycenterDisplay.from_result(result, inputs=A, x=x, color="red")
    *inputs, mean = display.lines_
    assert len(inputs) == 3
    np.testing.assert_array_equal(inputs[1].get_ydata(), A[:, 1])
    np.testing.assert_array_equal(mean.get_xdata(), x)
    np.testing.assert_array_equal(mean.get_ydata(), result.barycenter)
    assert mean.get_color() == "red"


def test_images_on_given_axes(rng, plt):
    images = rng.random((2, 5, 6)) + 0.1
    images /= images.sum(axis=(1, 2), keepdims=True)
    result = barycenter_grid(images, 0.1)
    _, ax = plt.subplots()
    display = BarycenterDisplay.from_result(result, ax=ax)
    assert display.ax_ is ax
    np.testing.assert_array_equal(display.image_.get_array(), result.barycenter)


def test_clouds(rng):
    clouds = [rng.random((7, 2)), rng.random((5, 2)) + 1.0]
    result = free_support_barycenter(clouds, None, rng.random((4, 2)), 0.05)
    display = BarycenterDisplay.from_result(result, inputs=clouds)
    *inputs, mean = display.points_
    np.testing.assert_array_equal(inputs[1].get_offsets(), clouds[1])
    np.testing.assert_array_equal(mean.get_offsets(), result.X)


@pytest.mark.parametrize(
    ("mean", "masses", "words"),
    [
        (np.ones((2, 2, 2)), None, "one axis or two"),
        (np.ones((4, 3)), np.ones(4), r"\(n, 2\) to be drawn, got \(4, 3\)"),
    ],
)
def test_what_cannot_be_drawn(mean, masses, words):
    with pytest.raises(ValueError, match=words):
        BarycenterDisplay(mean, masses=masses).plot()
