# SPDX-License-Identifier: BSD-3-Clause
"""Rare branches: given up reductions, failed programs, limits, mixed senses."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import OptimizeResult

from numopt import config_context, get_num_threads
from numopt._array.namespace import array_namespace
from numopt.dmmv import (
    DiscreteTomography,
    MinMaxQuantizer,
    balance_vectors,
    design_fir,
    fir_ripple,
    lll_reduce,
    minimize_max_violation,
    minimize_max_violation_general,
    parallel_beam_matrix,
    quantize_layer,
)
from numopt.dmmv._problem import core as core_room
from numopt.dmmv._problem.bounds import attainable_bound
from numopt.dmmv._problem.core import make_core
from numopt.dmmv._problem.data import MinMaxProblem, row_intervals
from numopt.dmmv._solvers import lattice, quantize, relaxation, rounds
from numopt.dmmv._solvers.batch import damped_factor
from numopt.dmmv._solvers.exact import TOLERANCE, solve_milp
from numopt.dmmv._solvers.fir import design
from numopt.dmmv._solvers.minimize import thread_context
from numopt.dmmv._solvers.state import Search
from tests.dmmv.problems import brute_force, gaussian

LOW = [0, 0.4, 0.5, 1], [1, 0]


def _core(A, b, levels, **options):
    return make_core(MinMaxProblem.from_arrays(A, b, levels, **options))


# ---------------------------------------------------------------- the problem


def test_senses_of_rows_beside_intervals():
    b = np.array([0.0, 1, 2, 3]), np.array([5.0, 6, 7, 3])
    lower, upper = row_intervals(b, ["interval", "le", "ge", "abs"], 4)
    np.testing.assert_array_equal(lower, [0, -np.inf, 2, 3])
    np.testing.assert_array_equal(upper, [5, 6, np.inf, 3])
    with pytest.raises(ValueError, match="`b` must be l = u on rows of sense 'abs'"):
        row_intervals(b, ["abs", "le", "ge", "interval"], 4)
    with pytest.raises(ValueError, match=r"`b\[1\]` must be free of NaN"):
        row_intervals((0.0, np.nan), "interval", 4)


def test_rows_of_weight_zero_attain_anything():
    A, b = np.array([[2.0, 4.0], [2.0, 6.0]]), [1.0, 4.0]
    problem = MinMaxProblem.from_arrays(A, b, (0, 3), weights=[1.0, 0.0])
    assert attainable_bound(problem, 0.0) == 1.0  # an even sum is never 1
    assert attainable_bound(problem, 1.5) == 3.0


# ---------------------------------------------------------------- bounds and programs


def test_program_without_a_point_below_the_cutoff():
    A, b = gaussian(0, 6, 4)
    core = _core(A, b, (0, 3))
    cutoff = 0.5 * brute_force(A, b, [range(4)] * 4) / core.scale
    answer = solve_milp(core, cutoff=cutoff, gap=0.0, time_limit=None)
    assert answer.k is None
    assert answer.proven
    assert answer.bound == pytest.approx(cutoff - TOLERANCE)


@pytest.mark.parametrize("failure", ["no point", "no multipliers"])
def test_linear_program_that_fails(failure, monkeypatch):
    A, b = gaussian(1, 12, 5)
    core = _core(A, b + 3 * (-1.0) ** np.arange(12), (0, 3))
    x = None if failure == "no point" else np.full(core.n + 1, 9.0)
    answer = OptimizeResult(x=x, status=1, ineqlin=OptimizeResult(marginals=None))
    monkeypatch.setattr(relaxation, "_solve_lp", lambda *_: answer)
    found = relaxation.lp_relaxation(core)
    assert found.kind == "dual"
    if x is None:
        other = relaxation.least_squares_relaxation(core)
        np.testing.assert_array_equal(found.x, other.x)
        assert found.bound == other.bound > 0
    else:
        np.testing.assert_array_equal(found.x, core.bounds()[1])
        assert found.bound == 0


def test_least_squares_inside_all_intervals_and_of_sparse_rows(monkeypatch):
    A, b = gaussian(2, 12, 5)
    inside = _core(A, (b - 50, b + 50), (0, 3), sense="interval")
    assert relaxation.least_squares_relaxation(inside).bound == 0.0
    monkeypatch.setattr(core_room, "LARGEST_DENSE", 0)
    core = _core(sp.csc_array(A), b, (0, 3))
    assert core.sparse
    weights = np.linspace(0.5, 2.0, core.m)
    found = relaxation.weighted_least_squares(core, core.target(), weights)
    rows, root = core.At.toarray().T, np.sqrt(weights)
    expected = np.linalg.lstsq(rows * root[:, None], root * core.target(), rcond=None)
    np.testing.assert_allclose(
        found, expected[0], atol=1e-3 * np.abs(expected[0]).max()
    )


def test_multipliers_from_two_equal_residuals_prove_the_optimum():
    core = _core(np.ones((2, 1)), [0.0, 4.0], (0, 4))
    for kind, bound in (("lp", 0.0), ("dual", 2.0)):
        search = Search(core, _index_of(core, 2.0), 2.0, "round", 0.0, np.inf)
        search.relaxation = relaxation.Relaxation(np.zeros(1), 0.0, kind)
        rounds._dual_bound(search)
        assert search.lower_bound == pytest.approx(bound)


def _index_of(core, value):
    """Index at which the only variable has a value."""
    every = range(int(core.k_low[0]), int(core.k_high[0]) + 1)
    found = [k for k in every if core.to_x(np.array([k]))[0] == value]
    return np.array(found, np.int64)


def test_enumeration_is_one_round():
    core = _core([[1.0, 2.0]], [2.5], (0, 3))
    search = Search(core, np.zeros(2, np.int64), np.inf, "round", 0.0, np.inf)
    steps = list(itertools.islice(rounds.auto_method(search, None), 2))
    assert len(steps) == 1
    assert search.violation == search.lower_bound == pytest.approx(0.5)


def test_width_of_a_beam():
    def width(n, number, given=None):
        search = SimpleNamespace(core=SimpleNamespace(n=n))
        return rounds.beam_width(search, SimpleNamespace(beam_width=given), number)

    assert width(10, 0, 7) == 7
    assert [width(64, 0), width(64, 1)] == [1000, 5000]
    assert [width(100, 0), width(1000, 3), width(1001, 0)] == [6000, 64, 16]


# ---------------------------------------------------------------- lattices and factors


def test_reductions_that_are_given_up(monkeypatch):
    A, b = gaussian(3, 10, 8)
    with pytest.raises(ValueError, match="`B` could not be reduced: more than 1 steps"):
        lll_reduce(A[:, np.argsort(np.abs(A[0]))], max_steps=1)
    monkeypatch.setattr(lattice, "LARGEST_ENTRY", 50.0)
    with pytest.raises(ValueError, match="entries of the transformation exceed"):
        lll_reduce([[1.0, 100.0], [0.0, 1.0]])
    monkeypatch.setattr(lattice, "MAX_STEPS", 1)
    core = _core(A, b, (0, 9))
    with pytest.warns(UserWarning, match="gave up.*unit moves are used"):
        basis = lattice.reduced_basis(core)
    assert basis.unit
    np.testing.assert_array_equal(basis.moves, np.eye(core.n))


def test_damping_grows_until_a_factor_exists():
    gram = np.array([[1.0, 1.01], [1.01, 1.0]])  # least eigenvalue -0.01
    xp = array_namespace(gram)
    R, damping = damped_factor(xp, gram, 0.0)
    assert damping == pytest.approx(0.1)
    np.testing.assert_allclose(R.T @ R, gram + damping * np.eye(2), atol=1e-12)
    with pytest.raises(ValueError, match="`A` must have a Gram matrix"):
        damped_factor(xp, np.array([[1.0, 3.0], [3.0, 1.0]]), 1e-6)
    with pytest.raises(ValueError, match="broadcast"):  # any other error is passed on
        damped_factor(xp, np.ones((2, 3)), 1e-6)


# ---------------------------------------------------------------- other searches


def test_general_search_finds_its_size_and_keeps_its_time():
    def fun(X):
        return np.abs(X.sum(axis=1, keepdims=True) - 3.5)

    options = {"random_state": 0, "max_iter": 2}
    for levels, extra in (
        ((0, 3), {"x0": [0.0, 1.0, 2.0]}),
        (([0, 0, 0], 3), {}),
        ([range(4)] * 3, {}),
        ((0, 3), {"n": 3, "time_limit": 1e9}),
    ):
        result = minimize_max_violation_general(fun, levels, **extra, **options)
        assert result.x.shape == (3,)
        assert result.violation == 0.5
        assert "time_limit" not in result.message
    hurried = minimize_max_violation_general(
        fun, (0, 3), n=3, time_limit=1e-9, warn=False
    )
    assert hurried.status == "max_iter"
    assert "time_limit=1e-09 s reached" in hurried.message


def test_real_rows_need_no_polygon():
    A, b = gaussian(4, 6, 4)
    result = minimize_max_violation_general((A, b), (0, 3))
    plain = minimize_max_violation(A, b, (0, 3))
    assert result.violation == pytest.approx(plain.violation)
    assert result.residual.shape == (6,)


def test_one_capacity_a_bin():
    items = np.random.default_rng(0).random((12, 2))
    capacities = np.array([1.0, 2.0, 4.0])
    found = [
        balance_vectors(items, 3, capacities=given, max_iter=20, random_state=0)
        for given in (capacities, capacities[:, None])
    ]
    np.testing.assert_array_equal(found[0].assignment, found[1].assignment)
    assert found[0].loads[2].sum() > found[0].loads[0].sum()


def test_negative_numbers_of_jobs_count_from_the_top():
    with config_context(num_threads=2):
        for given, expected in ((-1, 2), (-2, 1), (-9, 1), (1, 1)):
            with thread_context(given):
                assert get_num_threads() == expected


def test_layers_too_large_to_polish(monkeypatch, rng):
    W, X = rng.standard_normal((8, 3)), rng.standard_normal((20, 8))
    polished = quantize_layer(W, X, bits=2)
    monkeypatch.setattr(quantize, "LARGEST_POLISH", 0)
    monkeypatch.setattr(quantize, "polish", None)
    plain = quantize_layer(W, X, bits=2)
    assert np.all(polished.violation <= plain.violation * (1 + 1e-9))


def test_codes_of_groups_stand_for_their_weights(rng):
    W = rng.standard_normal((8, 3))
    model = MinMaxQuantizer(bits=3, group_size=4).fit(W)
    np.testing.assert_allclose(model.inverse_transform(model.codes_), model.weights_)
    with pytest.raises(ValueError, match=r"`codes` must be of shape \(8, 3\)"):
        model.inverse_transform(model.codes_[:4])


def test_ample_time_changes_no_image():
    theta = [0.0, 90.0]
    image = np.zeros((6, 6))
    image[1:4, 2:5] = 1.0
    sinogram = (parallel_beam_matrix((6, 6), theta) @ image.ravel()).reshape(-1, 2)
    found = [
        DiscreteTomography(theta=theta, time_limit=limit, random_state=0).fit(sinogram)
        for limit in (None, 1e9)
    ]
    assert found[1].n_iter_ == found[0].n_iter_ > 0
    np.testing.assert_array_equal(found[0].image_, found[1].image_)


# ---------------------------------------------------------------- filters


def test_small_filters_are_enumerated():
    result = design_fir(5, *LOW, word_length=5)
    assert result.method == "exhaustive"
    assert result.ripple == pytest.approx(fir_ripple(result.coefficients, *LOW))
    assert result.lower_bound <= result.ripple
    # The best real filter is better than all integer ones, and than its rounding.
    assert result.ripple_infinite <= result.ripple <= result.ripple_rounding + 1e-9


def test_exchange_improves_a_filter_on_few_frequencies():
    result = design_fir(25, *LOW, word_length=12, method="round", grid_density=4)
    assert result.ripple < 0.999 * result.ripple_rounding
    assert result.ripple == pytest.approx(fir_ripple(result.coefficients, *LOW))


@pytest.mark.parametrize("time_limit", [None, 60.0])
def test_best_of_several_gains(time_limit, monkeypatch):
    monkeypatch.setattr(design, "GAINS", np.array([0.8, 1.0, 1.2]))
    fixed = design_fir(5, *LOW, word_length=4)
    free = design_fir(5, *LOW, word_length=4, gain="free", time_limit=time_limit)
    assert free.gain in design.GAINS
    assert free.lower_bound <= free.ripple <= fixed.ripple * (1 + 1e-9)
    ripple = fir_ripple(free.coefficients / free.gain, *LOW)
    assert free.ripple == pytest.approx(ripple)


def test_ripple_of_an_antisymmetric_filter():
    # The amplitude of (1, 0, -1) / 2 is the sine.
    ripple = fir_ripple([0.5, 0.0, -0.5], [0.3, 0.7], [1])
    assert ripple == pytest.approx(1 - np.sin(0.3 * np.pi))
