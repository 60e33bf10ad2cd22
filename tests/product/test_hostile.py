# SPDX-License-Identifier: BSD-3-Clause
"""Hostile arguments of every public function: a clear error, or a finite result."""

import dataclasses
import inspect
import warnings
from numbers import Number
from typing import Any

import numpy as np
import pytest

from tests.product.calls import CALLS, make_call

#: What replaces an array: values that are wrong, and forms that are unusual.
HOSTILE_ARRAYS = {
    "nan": lambda x: _with(x, np.nan),
    "inf": lambda x: _with(x, np.inf),
    "-inf": lambda x: _with(x, -np.inf),
    "huge": lambda x: x * 1e200,
    "tiny": lambda x: x * 1e-200,
    "zeros": lambda x: x * 0,
    "negative": lambda x: -abs(x),
    "constant": lambda x: x * 0 + 1,
    "empty": lambda x: x[:0],
    "one": lambda x: x[:1],
    "short": lambda x: x[:-1],
    "long": lambda x: np.concatenate([x, x]),
    "scalar": lambda x: x.ravel()[0],
    "three axes": lambda x: x[None, None],
    "transposed": lambda x: x.T,
    "integers": lambda x: np.nan_to_num(x).astype(int),
    "float32": lambda x: x.astype(np.float32),
    "float16": lambda x: x.astype(np.float16),
    "complex": lambda x: x.astype(complex) * (1 + 1j),
    "strings": lambda x: x.astype(str),
    "objects": lambda x: x.astype(object),
    "booleans": lambda x: np.nan_to_num(x) > 0,
    "list": lambda x: x.tolist(),
    "None": lambda x: None,
    "a word": lambda x: "data",
    "strided": lambda x: np.repeat(x, 2, axis=0)[::2],
    "read-only": lambda x: _read_only(x),
}
HOSTILE_NUMBERS = {
    "nan": np.nan,
    "inf": np.inf,
    "negative": -1,
    "zero": 0,
    "one and a half": 1.5,
    "word": "much",
    "list": [1, 2],
    "complex": 1j,
    "huge": 10**9,
}
#: With these grows the work: a large value is a valid one.
MORE_WORK = {
    "beam_width",
    "grid_density",
    "m",
    "max_iter",
    "max_outer",
    "n",
    "n_alphas",
    "n_bins",
    "n_init",
    "n_jobs",
    "n_projections",
    "numtaps",
    "verbose",
    "warm_iter",
}
#: Fields documented as nan where they have no meaning.
MAY_BE_NAN = {"alpha", "history", "lambda_", "sdp_value"}


def _with(x, value):
    """Return a copy with one entry replaced."""
    out = np.array(x, dtype=float)
    out.flat[out.size // 2] = value
    return out


def _read_only(x):
    """Return a copy that refuses to be written."""
    out = np.array(x)
    out.flags.writeable = False
    return out


def _numbers(value: Any, seen: int = 0) -> Any:
    """All numeric arrays of a result, with the names of their fields."""
    if isinstance(value, np.ndarray | Number):
        yield "", value
    elif dataclasses.is_dataclass(value) and seen < 3:
        for field in dataclasses.fields(value):
            if field.name not in MAY_BE_NAN:
                for name, x in _numbers(getattr(value, field.name, None), seen + 1):
                    yield f"{field.name}.{name}", x
    elif isinstance(value, dict):
        for key, item in value.items():
            for name, x in _numbers(item, seen + 1):
                yield f"{key}.{name}", x
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item, seen + 1)


def check_call(function, arguments, changed, kind):
    """Call; an error must name the argument, a result may hold no NaN."""
    before = {
        name: np.array(x, copy=True)
        for name, x in arguments.items()
        if isinstance(x, np.ndarray) and x.dtype.kind in "fiub"
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = function(**arguments)
        except (ValueError, TypeError) as error:
            text = str(error)
            named = any(f"`{name}" in text for name in arguments)
            assert named, f"{changed} {kind}: {text!r} names no argument"
            return
    for name, x in before.items():
        np.testing.assert_array_equal(arguments[name], x)
    for name, x in _numbers(result):
        x = np.asarray(x)
        if x.dtype.kind in "fc":
            assert not np.any(np.isnan(x)), f"{changed} {kind}: NaN in {name}"


ARRAYS = [
    (name, argument)
    for name in CALLS
    for argument, value in make_call(name)[1].items()
    if isinstance(value, np.ndarray)
]


@pytest.mark.parametrize(("name", "argument"), ARRAYS)
def test_arrays(name, argument):
    for kind, change in HOSTILE_ARRAYS.items():
        function, arguments = make_call(name)
        arguments[argument] = change(arguments[argument])
        check_call(function, arguments, argument, kind)


def _number_options():
    """Numeric arguments and options of every function."""
    for name in CALLS:
        function, arguments = make_call(name)
        for option, parameter in inspect.signature(function).parameters.items():
            value = arguments.get(option, parameter.default)
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield name, option


@pytest.mark.parametrize(("name", "option"), list(_number_options()))
def test_numbers(name, option):
    for kind, value in HOSTILE_NUMBERS.items():
        if kind in ("huge", "inf") and option in MORE_WORK:
            continue
        function, arguments = make_call(name)
        arguments[option] = value
        check_call(function, arguments, option, kind)


WITH_CHOICES = [
    (name, option)
    for name in CALLS
    for option, parameter in inspect.signature(make_call(name)[0]).parameters.items()
    if isinstance(parameter.default, str)
]


@pytest.mark.parametrize(("name", "option"), WITH_CHOICES)
def test_unknown_choice_is_refused(name, option):
    function, arguments = make_call(name)
    arguments[option] = "no such thing"
    with pytest.raises(ValueError, match=f"`{option}"):
        function(**arguments)
