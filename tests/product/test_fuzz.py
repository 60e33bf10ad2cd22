# SPDX-License-Identifier: BSD-3-Clause
"""Several wrong or extreme arguments at once: a clear error, or a finite result."""

import inspect

import numpy as np
import pytest

from tests.product.calls import CALLS, make_call
from tests.product.test_hostile import (
    HOSTILE_ARRAYS,
    HOSTILE_NUMBERS,
    MORE_WORK,
    check_call,
)

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

#: Values that divide, overflow or cancel.
EXTREMES = [0.0, 1.0, -1.0, 0.5, 1e-300, 1e-30, 1e-8, 1e8, -1e8, 1e30, -1e120, 1e150]


def _replaceable(value):
    """Whether a value is an array or a number."""
    return isinstance(value, np.ndarray | int | float) and not isinstance(value, bool)


def _array(draw, kind, value):
    """Return another array of the same shape, or one that is wrong as a whole."""
    if kind != "extremes":
        return HOSTILE_ARRAYS[kind](value)
    entries = draw(st.lists(st.sampled_from(EXTREMES), min_size=1, max_size=5))
    return np.resize(entries, value.shape)


@st.composite
def _arguments(draw, name):
    """Draw up to three replaced arguments of a function; say what was done."""
    function, arguments = make_call(name)
    defaults = {
        option: parameter.default
        for option, parameter in inspect.signature(function).parameters.items()
    }
    candidates = {
        option: value
        for option, value in {**defaults, **arguments}.items()
        if _replaceable(value)
    }
    chosen = draw(
        st.lists(
            st.sampled_from(sorted(candidates)), min_size=1, max_size=3, unique=True
        )
    )
    done = {}
    for option in chosen:
        value = candidates[option]
        if isinstance(value, np.ndarray):
            kind = draw(st.sampled_from(["extremes", *HOSTILE_ARRAYS]))
            arguments[option] = _array(draw, kind, value)
        else:
            kinds = set(HOSTILE_NUMBERS) - (
                {"huge", "inf"} if option in MORE_WORK else set()
            )
            kind = draw(st.sampled_from(sorted(kinds)))
            arguments[option] = HOSTILE_NUMBERS[kind]
        done[option] = kind
    return arguments, done


@pytest.mark.parametrize(
    "name", [n for n in CALLS if any(map(_replaceable, make_call(n)[1].values()))]
)
def test_several_at_once(name):
    @hypothesis.settings(max_examples=8)
    @hypothesis.given(_arguments(name))
    def run(drawn):
        arguments, done = drawn
        check_call(make_call(name)[0], arguments, " ".join(done), str(done))

    run()
