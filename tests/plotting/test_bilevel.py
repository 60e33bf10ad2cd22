# SPDX-License-Identifier: BSD-3-Clause
"""The displays of a bilevel run and of learned filters."""

import numpy as np

import numopt.bilevel as bl
from numopt.plotting import BilevelResultDisplay, FiltersDisplay


def test_values_and_band(plt):
    rng = np.random.default_rng(0)
    A1, A2, A3 = (rng.uniform(size=(30, 3)) for _ in range(3))
    problem = bl.QuadraticProblem(A1, A1.sum(axis=1), A2, A3, rng.uniform(size=30))
    result = bl.maid(problem, problem.theta0)
    display = BilevelResultDisplay.from_result(result, color="k")
    np.testing.assert_array_equal(
        display.lines_[0].get_ydata(), result.history["value"]
    )
    assert len(display.lines_) == 4
    assert display.axes_[1].get_yscale() == "log"
    _, axes = plt.subplots(1, 2)
    again = BilevelResultDisplay(result.history).plot(axes=axes)
    assert again.axes_[0] is axes[0]


def test_filters_are_drawn_each_on_its_scale(plt):
    filters = np.random.default_rng(0).normal(size=(5, 3, 3))
    display = FiltersDisplay(filters, np.arange(5.0)).plot(cmap="gray")
    for one, image in zip(filters, display.images_, strict=True):
        np.testing.assert_array_equal(image.get_array(), one)
        assert image.get_clim() == (-np.abs(one).max(), np.abs(one).max())
    assert [ax.get_title() for ax in display.axes_] == ["0", "1", "2", "3", "4"]
    _, axes = plt.subplots(1, 5)
    assert FiltersDisplay(filters).plot(axes=axes).axes_[4] is axes[4]


def test_filters_of_an_estimator():
    clean = np.random.default_rng(0).random((1, 8, 8))
    model = bl.FoEDenoiser(n_filters=2, max_work=50)
    model.fit(clean + 0.1, clean)
    display = FiltersDisplay.from_estimator(model)
    assert len(display.images_) == len(model.filters_)
