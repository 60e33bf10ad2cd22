# SPDX-License-Identifier: BSD-3-Clause
"""What the table of capabilities says is what the functions do."""

import dataclasses
import importlib
import inspect

import array_api_strict
import numpy as np
import pytest
from scipy.sparse import csr_array, issparse

import numopt
from numopt._capabilities import CAPABILITIES
from tests.product.calls import CALLS, make_call

#: Their arrays are no data: settings, or a problem that holds the data.
SETTINGS_ONLY = {
    "completion.make_low_rank",
    "coordinate.warmup",
    "dmmv.design_fir",
    "dmmv.fir_ripple",
    "dmmv.minimize_max_violation_general",
    "dmmv.parallel_beam_matrix",
}
#: The problem they take decides which arrays; tests/bilevel has them on each library.
BY_PROBLEM = {name for name in CALLS if name.startswith("bilevel.")}
TAKERS = sorted(set(CALLS) - SETTINGS_ONLY - BY_PROBLEM)


def _functions():
    """All public functions of the families."""
    for family in numopt.FAMILIES:
        module = importlib.import_module(f"numopt.{family}")
        for name in module.__all__:
            if inspect.isfunction(getattr(module, name)):
                yield f"{family}.{name}"


def _change(value, change):
    """Apply to a float array, or to those of a list."""
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [change(x) for x in value]
    return change(value) if isinstance(value, np.ndarray) else value


def _is_data(value):
    """Whether an argument is a dense array of floats, or a list of such."""
    value = value[0] if isinstance(value, list) and value else value
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _changed_call(name, change):
    """Call with every array argument changed."""
    function, arguments = make_call(name)
    return function(**{key: _change(x, change) for key, x in arguments.items()})


def _float_arrays(value, depth=0):
    """Arrays of floats in a result."""
    if hasattr(value, "__array_namespace__") or isinstance(value, np.ndarray):
        if "float" in str(value.dtype):
            yield value
    elif dataclasses.is_dataclass(value) and depth < 2:
        for field in dataclasses.fields(value):
            if field.name != "history":
                yield from _float_arrays(getattr(value, field.name, None), depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _float_arrays(item, depth + 1)


def _float32(x):
    return x.astype(np.float32) if x.dtype.kind == "f" else x


def _strict(x):
    return array_api_strict.asarray(x) if x.dtype.kind == "f" else x


def _sparse(x):
    return csr_array(np.nan_to_num(x)) if x.ndim == 2 else x


def test_every_function_has_a_line_and_a_call():
    assert sorted(_functions()) == sorted(CAPABILITIES)
    assert sorted(CALLS) == sorted(CAPABILITIES)
    words = {word for text in CAPABILITIES.values() for word in text.split()}
    assert words == {"libraries", "sparse", "float32"}


@pytest.mark.parametrize("name", TAKERS)
def test_libraries(name):
    if not any(map(_is_data, make_call(name)[1].values())):
        pytest.skip("takes no dense array")
    if "libraries" not in CAPABILITIES[name]:
        with pytest.raises(TypeError, match=r"NumPy|numpy"):
            _changed_call(name, _strict)
        return
    found = list(_float_arrays(_changed_call(name, _strict)))
    main = [x for x in found if not isinstance(x, np.ndarray)]
    host = list(_float_arrays(_changed_call(name, lambda x: x)))
    assert bool(main) == bool(host), "the answer left the library"


@pytest.mark.parametrize("name", TAKERS)
def test_float32(name):
    found = [str(x.dtype) for x in _float_arrays(_changed_call(name, _float32))]
    if "float32" in CAPABILITIES[name]:
        assert "float32" in found
    else:
        assert "float32" not in found


@pytest.mark.parametrize("name", TAKERS)
def test_sparse(name):
    matrices = [
        x
        for x in make_call(name)[1].values()
        if issparse(x) or (isinstance(x, np.ndarray) and x.ndim == 2)
    ]
    if not matrices and "factors" not in make_call(name)[1]:
        pytest.skip("takes no matrix")
    if "sparse" in CAPABILITIES[name]:
        _changed_call(name, _sparse)
    else:
        with pytest.raises(TypeError, match="sparse"):
            _changed_call(name, _sparse)
