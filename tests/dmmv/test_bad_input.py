# SPDX-License-Identifier: BSD-3-Clause
"""What minimize_max_violation refuses, and how it says so."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.dmmv import (
    lll_reduce,
    max_violation,
    minimize_max_violation,
    violation_lower_bound,
)

A = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
B = np.array([1.0, 2.0, 3.0])
NAN, INF = np.nan, np.inf

VALUE_ERRORS = [
    ((A[0], B, (0, 1)), {}, "`A` must be 2-D"),
    ((np.zeros((3, 0)), B, (0, 1)), {}, "`A` must be of at least one column"),
    ((A * NAN, B, (0, 1)), {}, "`A` must be finite"),
    ((sp.csc_array(A * INF), B, (0, 1)), {}, "`A` must be finite"),
    ((A, B[:2], (0, 1)), {}, r"`b` must be of shape \(3,\)"),
    ((A, B * NAN, (0, 1)), {}, "`b` must be free of NaN"),
    ((A, [1.0, INF, 0], (0, 1)), {}, "`b` must be finite where sense is 'abs'"),
    ((A, [1.0, -INF, 0], (0, 1)), {"sense": "le"}, "`b` must be satisfiable"),
    ((A, (B, B - 1), (0, 1)), {"sense": "interval"}, "`b` must be l <= u"),
    ((A, B, (0, 1)), {"sense": "interval"}, "`b` must be a pair"),
    ((A, B, (0, 1)), {"sense": "eq"}, "`sense` must be one of 'abs', 'le'"),
    ((A, B, (0, 1)), {"sense": ["abs", "le"]}, "`sense` must be a word or one a row"),
    ((A, B, []), {}, "`levels` must be a non-empty 1-D array"),
    ((A, B, [0.0, NAN]), {}, "`levels` must be finite"),
    ((A, B, [[0.0], [1.0], [2.0]]), {}, "`levels` must be a list of 2 level sets"),
    ((A, B, [[0.0], []]), {}, r"`levels\[1\]` must be a non-empty"),
    ((A, B, (2, 1)), {}, "`levels` must be lo <= hi"),
    ((A, B, (0, 2**53)), {}, r"`levels` must be at most 2\*\*52 in size"),
    ((A, B, (0, 1.5)), {}, "`levels` must be integers"),
    ((A, B, (0, 1, 2)), {}, r"`levels` must be a pair"),
    ((A, B, (0, [1, 1, 1])), {}, "`levels` must be scalars or arrays"),
    ((A, B, (0, 1)), {"weights": [1.0, -1, 1]}, "`weights` must be finite and non-n"),
    ((A, B, (0, 1)), {"weights": [1.0, NAN, 1]}, "`weights` must be finite"),
    ((A, B, (0, 1)), {"weights": [1.0, 1]}, "`weights` must be of shape"),
    ((A, B, (0, 1)), {"x0": [0.0]}, "`x0` must be of shape"),
    ((A, B, (0, 1)), {"x0": [0.0, NAN]}, "`x0` must be finite"),
    ((A, B, (0, 1)), {"method": "polish"}, "`x0` must be given"),
    ((A, B, (0, 1)), {"method": "genetic"}, "`method` must be one of"),
    ((A, B, (0, 10**5)), {"method": "exhaustive"}, "'exhaustive' takes at most"),
    ((A, B, (0, 1)), {"time_limit": 0}, "`time_limit` must be"),
    ((A, B, (0, 1)), {"max_iter": 0}, "`max_iter` must be"),
    ((A, B, (0, 1)), {"p": 4}, "`p` must be 8, 16 or 32"),
    ((A, B, (0, 1)), {"moves": "triple"}, "`moves` must be one of"),
    ((A, B, (0, 1)), {"bound": "sdp"}, "`bound` must be one of"),
    ((A, B, (0, 1)), {"lattice": "yes"}, "`lattice` must be True, False or 'auto'"),
    ((A, B, (0, 1)), {"beam_width": 0}, "`beam_width` must be"),
    ((A, B, (0, 1)), {"tol": -1.0}, "`tol` must be"),
    ((A, B, (0, 1)), {"n_jobs": 0}, "`n_jobs` must not be 0|`n_jobs` must be not 0"),
]


@pytest.mark.parametrize(("args", "options", "match"), VALUE_ERRORS)
def test_wrong_values(args, options, match):
    with pytest.raises(ValueError, match=match):
        minimize_max_violation(*args, **options)


TYPE_ERRORS = [
    (A + 1j, "complex128"),
    (A > 2, "bool"),
    (sp.csc_array(A + 1j), "complex128"),
    (A.astype(object), "object"),
    (np.array([["a", "b"]]), "real numbers"),
]


@pytest.mark.parametrize(("matrix", "match"), TYPE_ERRORS)
def test_wrong_kinds(matrix, match):
    with pytest.raises(TypeError, match=match):
        minimize_max_violation(matrix, B[: matrix.shape[0]], (0, 1))


def test_arrays_of_other_libraries_are_sent_to_the_batch():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="minimize_max_violation_batch"):
        minimize_max_violation(strict.asarray(A), B, (0, 1))


def test_levels_are_sorted_and_unique():
    one = minimize_max_violation(A, B, [1.0, 0.0, 1.0, 2.0])
    other = minimize_max_violation(A, B, [0.0, 1.0, 2.0])
    assert one.violation == other.violation


def test_start_off_the_levels_moves_with_a_warning():
    with pytest.warns(UserWarning, match="off the levels at index 1"):
        result = minimize_max_violation(A, B, (0, 3), x0=[1.0, 7.0], method="round")
    assert result.violation <= max_violation(A, [1.0, 3.0], B)


def test_unsuitable_lattice_requests_use_unit_moves():
    result = minimize_max_violation(A, B, [0.0, 1.0, 5.0], lattice=True)
    assert result.converged


def test_bounds_and_points_are_checked_too():
    with pytest.raises(ValueError, match="`kind` must be one of"):
        violation_lower_bound(A, B, (0, 1), kind="sdp")
    with pytest.raises(ValueError, match="`x` must be of shape"):
        max_violation(A, [1.0], B)
    with pytest.raises(ValueError, match="`x` must be finite"):
        max_violation(A, [1.0, NAN], B)


def test_reduction_needs_independent_columns():
    with pytest.raises(ValueError, match="`B` must be of linearly independent"):
        lll_reduce([[1.0, 2.0], [2.0, 4.0]])
    with pytest.raises(ValueError, match="`delta` must be"):
        lll_reduce(np.eye(2), delta=2.0)
