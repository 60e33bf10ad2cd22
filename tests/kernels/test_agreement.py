# SPDX-License-Identifier: BSD-3-Clause
"""Every kernel: reference = Numba = CuPy, and the thread count changes no bit."""

import numpy as np
import pytest

import numopt
from numopt._array.namespace import is_array, numpy_namespace, to_numpy
from numopt._kernels.dispatch import Kernel, all_kernels, kernel, sequential_kernel

KERNELS = dict(all_kernels())
SIZES = (0, 1, 7, 1201)
DTYPES = ("float64", "float32")


def _flatten(result):
    parts = result if isinstance(result, tuple) else (result,)
    return [to_numpy(part) for part in parts]


def _move(args, backend):
    return [backend.asarray(arg, arg.dtype) if is_array(arg) else arg for arg in args]


def _assert_agree(actual, desired, dtype):
    rtol = {"float64": 1e-9, "float32": 1e-4}[dtype]
    for one, other in zip(_flatten(actual), _flatten(desired), strict=True):
        assert one.dtype == other.dtype
        scale = np.max(np.abs(other), initial=0.0, where=np.isfinite(other))
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * scale)


def _examples(one, dtype, size):
    return one.make_example(np.random.default_rng(size), np.dtype(dtype), size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", KERNELS)
def test_bodies_agree(name, size, dtype, backend):
    one = KERNELS[name]
    if one.reference is None:
        if backend.library not in ("numpy", "cupy"):
            pytest.skip("sequential kernel")
        return
    args = _examples(one, dtype, size)
    desired = one.reference(*args)
    actual = one.for_namespace(backend.xp)(*_move(args, backend))
    _assert_agree(actual, desired, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KERNELS)
def test_thread_count_changes_no_bit(name, dtype):
    one = KERNELS[name]
    body = one.for_namespace(numpy_namespace)
    answers = []
    for count in (1, 2, 3):
        with numopt.config_context(num_threads=count):
            answers.append(_flatten(body(*_examples(one, dtype, 1201))))
    for other in answers[1:]:
        for x, y in zip(answers[0], other, strict=True):
            np.testing.assert_array_equal(x, y)


def test_resolution_is_by_namespace():
    @kernel(numpy="numpy:sum")
    def total(x):
        """Sum of all entries."""
        return "reference"

    assert total(np.ones(3)) == 3.0
    assert total.__name__ == "total"
    assert total.__doc__ == "Sum of all entries."
    assert repr(total) == "<Kernel total>"
    with pytest.raises(RuntimeError, match="total has no example"):
        total.make_example(np.random.default_rng(0), np.dtype("float64"), 3)
    strict = pytest.importorskip("array_api_strict")
    assert total(strict.ones(3)) == "reference"


def test_sequential_kernels_say_where_they_run():
    strict = pytest.importorskip("array_api_strict")
    one = sequential_kernel("walk", "A walk.", numpy="numpy:cumsum")
    assert isinstance(one, Kernel)
    np.testing.assert_array_equal(one(np.ones(2)), [1, 2])
    with pytest.raises(TypeError, match="walk runs on numpy arrays only"):
        one(strict.ones(2))
