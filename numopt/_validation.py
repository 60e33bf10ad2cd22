# SPDX-License-Identifier: BSD-3-Clause
"""How we say no: one checker per kind of argument, one message style.

Messages read "`name` must be <expectation>, got <what came>". ArgumentTypeError is
for the wrong kind of thing, ValueError for a wrong value. Inputs are not modified.
"""

import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from numopt._array.namespace import (
    array_namespace,
    device,
    is_array,
    namespace_name,
    numpy_namespace,
    to_numpy,
)
from numopt._array.sparse import is_sparse
from numopt.exceptions import ArgumentTypeError
from numopt.typing import Array, Namespace

__all__ = [
    "check_callback",
    "check_choice",
    "check_flag",
    "check_groups",
    "check_int",
    "check_ndim",
    "check_numpy",
    "check_present",
    "check_real",
    "check_shape",
    "check_values",
    "check_verbose",
    "float_arrays",
    "import_optional",
    "message",
]

#: Entries may reach this power of the largest number: sums of squares of larger ones,
#: and their ratios to other numbers, overflow; answers would be infinite or undefined.
_SAFE_POWER = 0.4
#: Sizes between this and its inverse are safe in every precision.
_PLAIN = 1e-15
#: The precision of nearly all arrays.
_DOUBLE = np.dtype(np.float64)


def message(name: str, expected: str, got: Any) -> str:
    """Return the sentence that every checker uses."""
    return f"`{name}` must be {expected}, got {got}"


def check_real(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    include_low: bool = True,
    include_high: bool = True,
    allow_inf: bool = False,
    hint: str = "",
) -> float:
    """Return a real scalar in an interval as a float.

    0-d arrays and NumPy scalars are scalars; bool is not. ``hint`` is appended to the
    message of a wrong value.
    """
    if type(value) is float and low < value < high:  # nearly always
        return value
    expected = _interval("a finite number", low, high, include_low, include_high)
    scalar = _as_scalar(value)
    if scalar is None or isinstance(scalar, bool | np.bool_):
        raise ArgumentTypeError(message(name, expected, _describe(value)))
    if not isinstance(scalar, numbers.Real):
        raise ArgumentTypeError(message(name, expected, _describe(value)))
    number = float(scalar)
    inside = (number >= low if include_low else number > low) and (
        number <= high if include_high else number < high
    )
    if math.isnan(number) or not inside or (math.isinf(number) and not allow_inf):
        raise ValueError(
            message(name, expected, scalar) + (f"; {hint}" if hint else "")
        )
    return number


def check_int(
    name: str, value: Any, *, low: int | None = None, high: int | None = None
) -> int:
    """Return an integer (not a bool) in a closed interval as an int."""
    if type(value) is int and high is None and low is not None and value >= low:
        return value
    expected = _interval(
        "an integer",
        -math.inf if low is None else low,
        math.inf if high is None else high,
        True,
        True,
    )
    scalar = _as_scalar(value)
    if isinstance(scalar, bool | np.bool_) or not isinstance(scalar, numbers.Integral):
        raise ArgumentTypeError(message(name, expected, _describe(value)))
    number = int(scalar)
    if (low is not None and number < low) or (high is not None and number > high):
        raise ValueError(message(name, expected, number))
    return number


def check_flag(name: str, value: Any) -> bool:
    """Return a bool."""
    if not isinstance(value, bool | np.bool_):
        raise ArgumentTypeError(message(name, "True or False", _describe(value)))
    return bool(value)


def check_groups(groups: Any, p: int) -> list[np.ndarray]:
    """Return the index arrays of a partition of 0..p-1.

    ``groups`` is an int (consecutive groups of that size, the last may be smaller), a
    list of index lists, or p labels, whose groups come in the order of the labels.
    """
    if isinstance(groups, numbers.Integral) and not isinstance(groups, bool):
        size = check_int("groups", groups, low=1)
        return [np.arange(k, min(k + size, p)) for k in range(0, p, size)]
    if isinstance(groups, list | tuple) and any(np.ndim(g) for g in groups):
        made = [np.asarray(g) for g in groups]
        if any(g.ndim != 1 or g.size == 0 or g.dtype.kind not in "iu" for g in made):
            raise ValueError(message("groups", "non-empty lists of indices", "others"))
        indices = np.concatenate(made)
        if not np.array_equal(np.sort(indices), np.arange(p)):
            expected = f"a partition of 0..{p - 1}"
            got = f"{len(made)} groups of {indices.size} indices"
            raise ValueError(message("groups", expected, got))
        return [g.astype(np.int64) for g in made]
    labels = _labels(groups)
    check_shape("groups", labels, (p,), why="(one label per feature)")
    _, codes = np.unique(labels, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return one of the valid words."""
    valid = tuple(choices)
    if not isinstance(value, str) or value not in valid:
        listed = ", ".join(repr(word) for word in valid)
        raise ValueError(message(name, f"one of {listed}", repr(value)))
    return value


def check_callback(callback: Any) -> Any:
    """Return None or something callable."""
    if callback is not None and not callable(callback):
        raise ArgumentTypeError(
            message("callback", "callable or None", _describe(callback))
        )
    return callback


def check_verbose(verbose: Any) -> int:
    """Return how much to tell: 0 nothing, 1 a progress bar, 2 a line per check."""
    level = int(verbose) if isinstance(verbose, bool | np.bool_) else verbose
    return check_int("verbose", level, low=0)


def float_arrays(**arrays: Any) -> tuple[Namespace, list[Array | None]]:
    """Bring array arguments to one namespace, one device and one float dtype.

    Lists and other array-likes become NumPy (or the library of the other arguments);
    None stays None. float32 and float64 are kept and the wider wins; integers and
    bool become float64. float16, complex, object and strings raise TypeError. Arrays
    that need no change are returned as they are, never copied.
    """
    if all(type(x) is np.ndarray and x.dtype == _DOUBLE for x in arrays.values()):
        return numpy_namespace, list(arrays.values())  # nearly always
    for name, x in arrays.items():
        if is_sparse(x):
            raise ArgumentTypeError(message(name, "a dense array", "a sparse matrix"))
    xp = array_namespace(*arrays.values())
    where = next((device(x) for x in arrays.values() if is_array(x)), None)
    made = {name: _as_array(name, x, xp, where) for name, x in arrays.items()}
    dtypes = [_float_dtype(name, x, xp) for name, x in made.items() if x is not None]
    narrow = bool(dtypes) and all(dtype == xp.float32 for dtype in dtypes)
    dtype = xp.float32 if narrow else xp.float64
    return xp, [
        None if x is None else xp.astype(x, dtype, copy=False) for x in made.values()
    ]


def check_ndim(name: str, x: Array, ndim: int, *, hint: str = "") -> None:
    """Check the number of dimensions and that no axis is empty."""
    check_present(name, x)
    if x.ndim != ndim:
        raise ValueError(
            message(name, f"{ndim}-D", f"shape {tuple(x.shape)}")
            + (f"; {hint}" if hint else "")
        )
    if 0 in x.shape:
        raise ValueError(message(name, "non-empty", f"shape {tuple(x.shape)}"))


def check_numpy(name: str, x: Any) -> None:
    """Refuse arrays of other libraries where only NumPy runs."""
    if is_array(x) and not isinstance(x, np.ndarray):
        other = namespace_name(array_namespace(x))
        raise ArgumentTypeError(message(name, "a numpy array", f"one of {other}"))


def check_shape(name: str, x: Array, shape: tuple[int, ...], *, why: str = "") -> None:
    """Check a shape; ``why`` says where the expectation comes from."""
    check_present(name, x)
    if tuple(x.shape) != shape:
        expected = f"of shape {shape}" + (f" {why}" if why else "")
        raise ValueError(message(name, expected, f"shape {tuple(x.shape)}"))


def check_present(name: str, x: Any) -> None:
    """Refuse None where an array is needed."""
    if x is None:
        raise ArgumentTypeError(message(name, "an array", None))


def check_values(
    name: str,
    x: Array,
    *,
    nonnegative: bool = False,
    allow_posinf: bool = False,
    squared: bool = False,
) -> tuple[float, float]:
    """Check that entries are finite (and not negative); return (min, max).

    One pass and one transfer; the first bad entry is looked up only on failure.
    Entries too large to be squared are refused too; with ``squared`` also data so
    small that all its squares vanish.
    """
    check_present(name, x)
    if math.prod(x.shape) == 0:
        return 0.0, 0.0
    if isinstance(x, np.ndarray):
        low, high = float(x.min()), float(x.max())
    else:
        xp = array_namespace(x)
        low, high = (float(v) for v in to_numpy(xp.stack([xp.min(x), xp.max(x)])))
    bad_high = math.isinf(high) and not allow_posinf
    bad_low = math.isinf(low) and (low < 0 or not allow_posinf)
    negative = nonnegative and low < 0
    if math.isnan(low) or math.isnan(high) or bad_low or bad_high or negative:
        kind = "finite" + (" or +inf" if allow_posinf else "")
        expected = f"{kind} and non-negative" if nonnegative else kind
        raise ValueError(
            message(name, expected, _first_bad(to_numpy(x), nonnegative, allow_posinf))
        )
    _check_size(name, x, low, high, squared)
    return low, high


def import_optional(module: str, *, extra: str) -> Any:
    """Import an optional package or say how to install it."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module} is needed for this; install it with: "
            f"pip install 'numopt[{extra}]'"
        ) from error


def _check_size(name: str, x: Array, low: float, high: float, squared: bool) -> None:
    """Refuse entries whose squares overflow, or all vanish."""
    size = max((abs(v) for v in (low, high) if math.isfinite(v)), default=0.0)
    if size == 0 or _PLAIN < size < 1.0 / _PLAIN:
        return
    xp = array_namespace(x)
    if x.dtype not in (xp.float32, xp.float64):
        return
    limits = xp.finfo(x.dtype)
    largest = float(limits.max) ** _SAFE_POWER
    least = math.sqrt(float(limits.smallest_normal)) if squared else 0.0
    if not least <= size <= largest:
        expected = f"of entries between {least:.2g} and {largest:.2g} in size"
        raise ValueError(
            message(name, expected, f"{size:.2g} as the largest") + "; rescale the data"
        )


def _interval(
    kind: str, low: float, high: float, include_low: bool, include_high: bool
) -> str:
    if low == 0 and high == math.inf and kind.startswith("a "):
        return kind.replace(
            "a ", "a non-negative " if include_low else "a positive ", 1
        )
    if low == -math.inf and high == math.inf:
        return kind
    if high == math.inf:
        return f"{kind} {'>=' if include_low else '>'} {low:g}"
    if low == -math.inf:
        return f"{kind} {'<=' if include_high else '<'} {high:g}"
    left, right = "[" if include_low else "(", "]" if include_high else ")"
    return f"{kind} in {left}{low:g}, {high:g}{right}"


def _as_scalar(value: Any) -> Any:
    """A Python or NumPy scalar, or None when ``value`` is no scalar."""
    if is_array(value):
        return to_numpy(value).item() if value.ndim == 0 else None
    return value if isinstance(value, numbers.Number | np.generic) else None


def _describe(value: Any) -> str:
    if is_array(value):
        return f"an array of shape {tuple(value.shape)}"
    if isinstance(value, numbers.Number | str) or value is None:
        return repr(value)
    return type(value).__name__


def _as_array(name: str, x: Any, xp: Namespace, where: Any) -> Array | None:
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        expected = "an array without masked entries"
        raise ValueError(message(name, expected, "a mask; fill it, with NaN say"))
    if isinstance(x, np.ndarray):
        x = np.asarray(x)  # np.matrix and others have operators of their own
        return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))
    if x is None or is_array(x):
        return x
    try:
        host = np.asarray(x)
    except ValueError as error:
        raise ValueError(message(name, "a rectangular array", str(error))) from error
    if host.dtype.kind not in "fiub":
        raise ArgumentTypeError(
            message(name, "an array of real numbers", f"dtype {host.dtype}")
        )
    return xp.asarray(host, device=where)


def _float_dtype(name: str, x: Array, xp: Namespace) -> Any:
    if x.dtype in (xp.float32, xp.float64):
        return x.dtype
    if isinstance(x, np.ndarray):
        integral = x.dtype.kind in "iub"
    else:
        integral = xp.isdtype(x.dtype, ("integral", "bool"))
    if integral:
        return xp.float64
    raise ArgumentTypeError(
        message(
            name,
            "float32, float64, integer or bool",
            f"dtype {x.dtype} ({namespace_name(xp)})",
        )
    )


def _labels(groups: Any) -> np.ndarray:
    """Integers or strings on the host."""
    labels = to_numpy(groups) if np.ndim(groups) else np.empty(0)
    if labels.dtype.kind == "O":
        labels = np.asarray(labels.tolist())
    if labels.dtype.kind == "f" and labels.size and np.all(labels == np.floor(labels)):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iuUS":
        expected = "a size, lists of indices, or labels that are integers or words"
        raise ArgumentTypeError(message("groups", expected, _describe(groups)))
    return labels


def _first_bad(x: np.ndarray, nonnegative: bool, allow_posinf: bool) -> str:
    bad = np.isnan(x) | (x == -np.inf)
    if not allow_posinf:
        bad |= x == np.inf
    if nonnegative:
        bad |= x < 0
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    where = index[0] if len(index) == 1 else index
    return f"{x[index]} at index {where}"
