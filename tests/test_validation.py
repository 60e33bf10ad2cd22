# SPDX-License-Identifier: BSD-3-Clause
import math

import numpy as np
import pytest
import scipy.sparse as sp

from numopt import _validation as v
from numopt._array.random import as_generator


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf])
def test_real_wrong_value(value):
    with pytest.raises(
        ValueError, match=r"`reg` must be a positive finite number, got"
    ):
        v.check_real("reg", value, low=0, include_low=False)


@pytest.mark.parametrize("value", ["1", None, [1.0], np.ones(2), True, 1j])
def test_real_wrong_kind(value):
    with pytest.raises(TypeError, match="`reg` must be"):
        v.check_real("reg", value)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.array(2.0)])
def test_real_accepts_scalars(value):
    assert v.check_real("reg", value) == 2.0


def test_interval_is_spelled_out():
    with pytest.raises(ValueError, match=r"`x` must be a finite number in \[0, 1\)"):
        v.check_real("x", 1.0, low=0, high=1, include_high=False)


def test_hint_is_appended():
    with pytest.raises(ValueError, match="use ot_exact"):
        v.check_real("reg", 0.0, low=0, include_low=False, hint="use ot_exact")


@pytest.mark.parametrize("value", [1.0, True, "3", None])
def test_int_wrong_kind(value):
    with pytest.raises(TypeError, match="an integer"):
        v.check_int("k", value)


def test_int_range():
    assert v.check_int("k", np.int64(3), low=1, high=3) == 3
    with pytest.raises(ValueError, match="<= 3, got 4"):
        v.check_int("k", 4, low=-np.inf, high=3)
    with pytest.raises(ValueError, match=r"in \[1, 3\], got 4"):
        v.check_int("k", 4, low=1, high=3)


@pytest.mark.parametrize(
    "groups",
    [
        2,
        [[0, 1], [2, 3], [4]],
        [0, 0, 3, 3, 7],
        list("aabbc"),
        np.repeat([0.0, 1, 2], 2)[:5],
    ],
)
def test_groups_in_every_form(groups):
    parts = v.check_groups(groups, 5)
    assert [part.tolist() for part in parts] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("groups", "error"),
    [
        (None, TypeError),
        (True, TypeError),
        ({0, 1}, TypeError),
        ([0.5] * 5, TypeError),
        ([], TypeError),
        (0, ValueError),
        ([0, 1], ValueError),
        ([[0, 1], [1, 2, 3, 4]], ValueError),
        ([[0, 1, 2, 3, 4], []], ValueError),
        ([[0, 1, 2, 3], 4], ValueError),
    ],
)
def test_groups_that_are_none(groups, error):
    with pytest.raises(error, match="`groups` must be"):
        v.check_groups(groups, 5)


def test_choice_lists_the_words():
    with pytest.raises(ValueError, match="one of 'a', 'b', got 'c'"):
        v.check_choice("method", "c", ("a", "b"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_entries_too_large_to_square(dtype):
    x = np.ones(3, dtype)
    x[1] = np.sqrt(np.finfo(dtype).max) / 10
    with pytest.raises(ValueError, match="rescale the data"):
        v.check_values("M", x)
    assert v.check_values("M", x[:1]) == (1.0, 1.0)


def test_entries_too_small_to_square():
    x = np.full(3, 1e-160)
    assert v.check_values("y", x)[1] == 1e-160
    with pytest.raises(ValueError, match="rescale the data"):
        v.check_values("y", x, squared=True)


def test_none_is_no_array():
    with pytest.raises(TypeError, match="`M` must be an array, got None"):
        v.check_ndim("M", None, 2)


def test_verbose():
    assert v.check_verbose(True) == 1
    with pytest.raises(TypeError, match="`verbose` must be an integer >= 0"):
        v.check_verbose("much")


@pytest.mark.parametrize("random_state", ["word", 1.5, -1, np.nan])
def test_random_state(random_state):
    with pytest.raises(ValueError, match="`random_state` must be None, a non-negative"):
        as_generator(random_state)


def test_flag_and_callback():
    assert v.check_flag("warn", np.True_) is True
    with pytest.raises(TypeError):
        v.check_flag("warn", 1)
    with pytest.raises(TypeError, match="callable or None, got 3"):
        v.check_callback(3)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("float32", "float32"), "float32"),
        (("float32", "float64"), "float64"),
        (("int32", "float32"), "float64"),
        (("bool", "int64"), "float64"),
    ],
)
def test_dtype_rule(backend, dtypes, expected):
    x, y = (backend.asarray(np.ones(2), dtype) for dtype in dtypes)
    xp, arrays = v.float_arrays(x=x, y=y, z=None)
    assert arrays[2] is None
    assert all(a.dtype == getattr(xp, expected) for a in arrays[:2])


def test_list_follows_the_other_arguments(backend):
    x = backend.asarray(np.ones(2))
    _, (first, second) = v.float_arrays(x=x, y=[1, 2])
    assert type(first) is type(second)
    assert first is x


@pytest.mark.parametrize(
    "bad",
    [np.ones(2, complex), np.array(["a"]), np.ones(2, np.float16), np.array([None])],
)
def test_wrong_dtype(bad):
    with pytest.raises(TypeError, match="`M` must be"):
        v.float_arrays(M=bad)


def test_ragged_list():
    with pytest.raises(ValueError, match="`M` must be a rectangular array"):
        v.float_arrays(M=[[1.0], [1.0, 2.0]])


def test_sparse_is_named():
    with pytest.raises(TypeError, match="`M` must be a dense array, got a sparse"):
        v.float_arrays(M=sp.eye(3))


def test_values_name_the_first_bad_index(backend):
    x = np.ones((3, 4))
    x[1, 2] = math.nan
    with pytest.raises(
        ValueError, match=r"`M` must be finite, got nan at index \(1, 2\)"
    ):
        v.check_values("M", backend.asarray(x))


def test_values_negative_and_infinite(backend):
    with pytest.raises(ValueError, match=r"non-negative, got -1\.0 at index 1"):
        v.check_values("a", backend.asarray([1.0, -1.0]), nonnegative=True)
    with pytest.raises(ValueError, match="inf at index 0"):
        v.check_values("a", backend.asarray([math.inf, 1.0]))
    low, high = v.check_values("a", backend.asarray([math.inf, 1.0]), allow_posinf=True)
    assert (low, high) == (1.0, math.inf)


def test_shapes():
    x = np.ones((2, 3))
    with pytest.raises(
        ValueError, match=r"of shape \(3, 2\) from a and b, got shape \(2, 3\)"
    ):
        v.check_shape("M", x, (3, 2), why="from a and b")
    with pytest.raises(ValueError, match="1-D"):
        v.check_ndim("a", x, 1)
    with pytest.raises(ValueError, match="non-empty"):
        v.check_ndim("a", np.ones(0), 1)


def test_missing_package_says_how_to_install():
    with pytest.raises(ImportError, match=r"pip install 'numopt\[gpu\]'"):
        v.import_optional("no_such_package_here", extra="gpu")


def test_numpy_arrays_of_other_kinds_become_plain():
    values = np.arange(6.0).reshape(2, 3)
    for other in (
        np.matrix(values),
        np.ma.masked_invalid(values),
        values.astype(">f8"),
        np.ma.masked_invalid(values.astype(">f4")),
    ):
        _, (plain,) = v.float_arrays(A=other)
        assert type(plain) is np.ndarray
        assert plain.dtype.isnative
        np.testing.assert_array_equal(plain, values)


def test_masked_entries_are_refused():
    A = np.ma.masked_greater(np.arange(6.0), 4.0)
    with pytest.raises(ValueError, match="`A` must be an array without masked entries"):
        v.float_arrays(A=A)
