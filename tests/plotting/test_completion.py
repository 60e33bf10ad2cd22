# SPDX-License-Identifier: BSD-3-Clause
import types

import numpy as np
import pytest
from scipy.sparse import csr_array

from numopt.plotting import (
    PhaseTransitionDisplay,
    ResidualMapDisplay,
    SingularValueDisplay,
)


class _Model:
    shape = (3, 4)
    singular_values = np.array([2.0, 0.5])
    outlier_mask = None

    def predict(self, rows, cols):
        return np.zeros(len(rows))


def test_singular_values_of_results_and_estimators():
    fitted = types.SimpleNamespace(singular_values_=np.array([1.0, 0.0]))
    display = SingularValueDisplay.from_results({"a": _Model(), "b": fitted})
    assert [line.get_label() for line in display.lines_] == ["a", "b"]
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [2.0, 0.5])
    assert display.ax_.get_yscale() == "linear"
    alone = SingularValueDisplay.from_result(_Model(), color="red")
    assert alone.ax_.get_yscale() == "log"
    assert alone.ax_.get_legend() is None
    with pytest.raises(TypeError, match="`result` must be a model"):
        SingularValueDisplay.from_result(object())


def test_residual_map_of_every_kind_of_data():
    X = np.full((3, 4), np.nan)
    X[0, 1], X[2, 3] = 0.5, -2.0
    rows, cols = np.nonzero(~np.isnan(X))
    values = X[rows, cols]
    for data in (X, csr_array((values, (rows, cols)), (3, 4)), (rows, cols, values)):
        display = ResidualMapDisplay.from_result(_Model(), data)
        image = display.image_.get_array()
        assert image.count() == 2
        assert image[2, 3] == -2.0
        assert display.image_.get_clim() == (-2.0, 2.0)
        assert display.marks_ is None


def test_outliers_are_marked_and_left_out_of_the_colours():
    model = _Model()
    model.outlier_mask = np.array([False, True])
    display = ResidualMapDisplay.from_result(
        model, (np.array([0, 2]), np.array([1, 3]), np.array([0.5, 90.0]))
    )
    np.testing.assert_array_equal(display.marks_.get_offsets(), [[3, 2]])
    assert display.image_.get_clim() == (-0.5, 0.5)


def test_phase_transition(plt):
    _, ax = plt.subplots()
    display = PhaseTransitionDisplay(
        [[0.0, 0.5, 1.0], [0.0, 0.0, 1.0]], x=[1.1, 1.5, 2], y=[3, 5]
    ).plot(ax=ax)
    assert display.ax_ is ax
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1.1", "1.5", "2"]
    np.testing.assert_array_equal(display.image_.get_array()[0], [0.0, 0.5, 1.0])
    with pytest.raises(ValueError, match=r"of shape \(len\(y\), len\(x\)\) = \(1, 2\)"):
        PhaseTransitionDisplay([[0.0]], x=[1, 2], y=[3])
