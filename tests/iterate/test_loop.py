# SPDX-License-Identifier: BSD-3-Clause
"""The loop driver on a solver that halves its residual."""

import dataclasses
import logging
import warnings

import numpy as np
import pytest

from numopt import IterationInfo, SolverResult
from numopt._iterate.loop import Solver, iterate
from numopt._iterate.stopping import Stop
from numopt.exceptions import ConvergenceWarning


@dataclasses.dataclass
class State:
    x: np.ndarray


@dataclasses.dataclass(frozen=True)
class Halving(Solver):
    """x <- x / 2, with faults on demand."""

    nan_at: float = -1.0
    stalls: bool = False
    name = "halving"

    def init(self, problem, warm_start):
        return State(np.array([problem if warm_start is None else warm_start]))

    def step(self, problem, state):
        state.x *= 0.5
        if state.x[0] < self.nan_at:
            state.x[0] = np.nan
        return state

    def measure(self, problem, state):
        return {"objective": state.x[0] ** 2, "residual": state.x[0], "stage": "only"}

    def finish(self, problem, state):
        return {"x": state.x}

    def current(self, state):
        return state.x

    def stop(self, problem, state):
        return Stop("stalled", "no progress") if self.stalls else None

    def snapshot(self, state):
        return state.x.copy()

    def restore(self, state, snapshot):
        return State(snapshot)


def run(solver=None, **options):
    defaults = {"tol": 1e-3, "max_iter": 100}
    return iterate(solver or Halving(), 1.0, **{**defaults, **options})


def test_converges_with_equal_length_history():
    fields = run()
    assert fields["status"] == "converged"
    assert fields["converged"]
    assert fields["n_iter"] == 10
    history = fields["history"]
    assert {"n_iter", "time", "objective", "residual", "stage"} == set(history)
    assert {len(column) for column in history.values()} == {11}
    np.testing.assert_allclose(history["residual"], 0.5 ** np.arange(11))
    assert np.all(np.diff(history["time"]) >= 0)


def test_solved_start_takes_no_step():
    assert run(warm_start=1e-4)["n_iter"] == 0


def test_max_iter_warns_once_and_points_here():
    with pytest.warns(ConvergenceWarning, match="halving did not converge") as caught:
        fields = run(max_iter=3)
    assert (fields["status"], fields["n_iter"]) == ("max_iter", 3)
    assert "increase `max_iter`" in fields["message"]
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_warning_can_be_silenced():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not run(max_iter=3, warn=False)["converged"]


def test_nan_returns_the_last_finite_iterate():
    with pytest.warns(ConvergenceWarning, match="NaN"):
        fields = run(Halving(nan_at=0.1))
    assert fields["status"] == "diverged"
    assert fields["x"][0] == 0.125


def test_own_stop():
    fields = run(Halving(stalls=True), warn=False)
    assert (fields["status"], fields["message"]) == ("stalled", "no progress")


def test_check_every_measures_the_last_step_too():
    fields = run(check_every=4, max_iter=6, tol=0.0, warn=False)
    np.testing.assert_array_equal(fields["history"]["n_iter"], [0, 4, 6])


def test_callback_sees_and_stops():
    seen = []

    def callback(info):
        seen.append(info)
        with pytest.raises(ValueError, match="read-only"):
            info.x[0] = 7.0
        return info.n_iter == 2

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fields = run(callback=callback)
    assert fields["status"] == "callback"
    assert not fields["converged"]
    assert [info.n_iter for info in seen] == [0, 1, 2]
    assert isinstance(seen[0], IterationInfo)
    assert seen[1].residual == 0.5
    assert seen[1].stage == "only"
    with pytest.raises(AttributeError, match="metrics are objective"):
        _ = seen[1].nothing


def test_errors_of_the_callback_pass_through():
    def callback(info):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(callback=callback)


def test_interrupts_end_solvers_without_a_whole_state(monkeypatch):
    def interrupted(self, problem, state):
        raise KeyboardInterrupt

    monkeypatch.setattr(Halving, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()


def test_verbose_one_shows_a_bar(capsys):
    run(verbose=1)
    assert "halving" in capsys.readouterr().err


def test_verbose_two_logs_lines(caplog):
    with caplog.at_level(logging.INFO):
        run(verbose=2)
    assert len(caplog.records) == 11
    assert "residual=0.5" in caplog.records[1].getMessage()


def test_measures_may_be_arrays_without_dimensions():
    class Halves(Halving):
        def measure(self, problem, state):
            return {"residual": np.asarray(state.x[0])}

    fields = run(Halves())
    assert fields["converged"]
    assert {type(value) for value in fields["history"]["residual"].tolist()} == {float}


def test_silent_by_default(capsys, caplog):
    run()
    assert capsys.readouterr() == ("", "")
    assert not caplog.records


def test_result_is_frozen_with_a_short_repr():
    fields = {key: value for key, value in run().items() if key != "x"}
    result = SolverResult(**fields)
    assert (
        repr(result) == "SolverResult(status='converged', n_iter=10, residual=9.77e-04)"
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.n_iter = 3
