# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest

from numopt import SolverResult
from numopt.ot import sinkhorn_points
from numopt.plotting import ConvergenceDisplay, TransportPlanDisplay


def _result(n=4):
    k = np.arange(n)
    history = {
        "n_iter": k,
        "time": 0.1 * k,
        "objective": 1.0 / (k + 1),
        "residual": 0.1**k,
    }
    return SolverResult(
        n_iter=n, converged=True, message="", status="converged", history=history
    )


def test_convergence_of_one_result():
    display = ConvergenceDisplay.from_result(_result(), x="n_iter", color="red")
    (line,) = display.lines_
    np.testing.assert_allclose(line.get_ydata(), 0.1 ** np.arange(4))
    assert line.get_color() == "red"
    assert display.ax_.get_yscale() == "log"
    assert display.ax_.get_xlabel() == "n iter"
    assert display.figure_ is display.ax_.figure


def test_convergence_of_several_on_given_axes(plt):
    _, ax = plt.subplots()
    display = ConvergenceDisplay.from_results({"a": _result(), "b": _result(6)}, ax=ax)
    assert display.ax_ is ax
    assert [line.get_label() for line in display.lines_] == ["a", "b"]
    assert ax.get_legend() is not None


def test_convergence_names_the_keys():
    with pytest.raises(ValueError, match="one of 'n_iter', 'time'"):
        ConvergenceDisplay.from_result(_result(), y="nothing")


def test_plan_as_image():
    display = TransportPlanDisplay(np.eye(3)).plot()
    np.testing.assert_array_equal(display.image_.get_array(), np.eye(3))


def test_plan_as_lines(rng):
    X, Y = rng.random((2, 3, 2))
    display = TransportPlanDisplay(np.eye(3), source=X, target=Y).plot()
    assert len(display.lines_.get_segments()) == 3
    np.testing.assert_allclose(display.lines_.get_segments()[1], [X[1], Y[1]])


def test_plan_of_a_result(rng):
    X, Y = rng.random((2, 4, 2))
    result = sinkhorn_points(X, Y, reg=0.1)
    image = TransportPlanDisplay.from_result(result).image_.get_array()
    np.testing.assert_allclose(image.sum(axis=0), 0.25)
    display = TransportPlanDisplay.from_result(result, source=X, target=Y)
    ends = {tuple(end) for line in display.lines_.get_segments() for end in line}
    assert ends == {tuple(point) for point in np.vstack([X, Y])}
