# SPDX-License-Identifier: BSD-3-Clause
"""Threads: serial, GIL-free kernels cut into blocks on one persistent pool.

The number of blocks depends on the problem only, and partial results are combined in
block order, so that answers are bit-identical for any number of threads.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

__all__ = [
    "block_bounds",
    "config_context",
    "get_num_threads",
    "reduce_blocks",
    "run_blocks",
    "set_num_threads",
]

MAX_BLOCKS = 64
#: Flop-equivalents (about a nanosecond each) of one block: calling a kernel of a dozen
#: arguments costs about 5000 of them, and each block of a reduction its own part.
WORK_PER_BLOCK = 250_000
#: Below this much work the threads cost more than they save.
SERIAL_WORK = 400_000

_ENVIRONMENT = ("NUMOPT_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS")

_local = threading.local()
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_num_threads: int | None = None


def _default_num_threads() -> int:
    for name in _ENVIRONMENT:
        text = os.environ.get(name, "").split(",")[0].strip()
        if text.isdigit() and int(text) > 0:
            return int(text)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # pragma: no cover - systems without affinity


def _check_num_threads(n: int) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"`num_threads` must be an integer, got {type(n).__name__}")
    if n < 1:
        raise ValueError(f"`num_threads` must be at least 1, got {n}")
    return int(n)


def get_num_threads() -> int:
    """Return the number of threads that kernels use.

    The first that is set counts: ``config_context(num_threads=)`` of this thread,
    ``set_num_threads``, the environment variables ``NUMOPT_NUM_THREADS``,
    ``NUMBA_NUM_THREADS``, ``OMP_NUM_THREADS``, the CPUs this process may run on.

    Returns
    -------
    int
        Number of threads, at least 1.

    Examples
    --------
    >>> import numopt
    >>> with numopt.config_context(num_threads=1):
    ...     numopt.get_num_threads()
    1
    """
    n = getattr(_local, "num_threads", None) or _num_threads
    return n if n is not None else _default_num_threads()


def set_num_threads(n: int) -> None:
    """Set the number of threads that kernels use in this process.

    Parameters
    ----------
    n : int
        Number of threads, at least 1. Results do not depend on it, bit for bit.

    Raises
    ------
    TypeError
        When ``n`` is not an integer.
    ValueError
        When ``n`` is less than 1.

    Examples
    --------
    >>> import numopt
    >>> before = numopt.get_num_threads()
    >>> numopt.set_num_threads(1)
    >>> numopt.get_num_threads()
    1
    >>> numopt.set_num_threads(before)
    """
    global _num_threads
    _num_threads = _check_num_threads(n)


@contextlib.contextmanager
def config_context(*, num_threads: int | None = None) -> Iterator[None]:
    """Use other settings inside a ``with`` block, in the calling thread only.

    Parameters
    ----------
    num_threads : int, default=None
        Number of threads for kernels; None changes nothing.

    Yields
    ------
    None
        Nothing; the former settings return at the end of the block.

    Raises
    ------
    TypeError, ValueError
        When ``num_threads`` is not a positive integer.

    Examples
    --------
    >>> import numopt
    >>> with numopt.config_context(num_threads=1):
    ...     n = numopt.get_num_threads()
    >>> n
    1
    """
    before = getattr(_local, "num_threads", None)
    if num_threads is not None:
        _local.num_threads = _check_num_threads(num_threads)
    try:
        yield
    finally:
        _local.num_threads = before


def block_bounds(n: int, work: int) -> list[int]:
    """Cut 0..n into blocks; their number depends on ``n`` and ``work`` only."""
    if work < SERIAL_WORK:
        return [0, n]
    blocks = max(1, min(MAX_BLOCKS, n, int(work) // WORK_PER_BLOCK))
    return [n * i // blocks for i in range(blocks + 1)]


def run_blocks(
    kernel: Callable[..., Any], n: int, args: tuple[Any, ...], work: int
) -> None:
    """Run ``kernel(*args, lo, hi)`` over blocks of 0..n, on several threads.

    ``work`` is the total cost in flop-equivalents (about a nanosecond each).
    """
    bounds = block_bounds(n, work)
    _run_all(lambda b: kernel(*args, bounds[b], bounds[b + 1]), len(bounds) - 1)


def reduce_blocks(
    kernel: Callable[..., Any],
    n: int,
    args: tuple[Any, ...],
    work: int,
    *,
    shape: tuple[int, ...],
    dtype: Any = np.float64,
) -> np.ndarray:
    """Run ``kernel(*args, part, lo, hi, block)`` and add up ``part`` in block order.

    ``part`` is zeroed, of shape (blocks, *shape); a block adds to ``part[block]`` only.
    """
    bounds = block_bounds(n, work)
    blocks = len(bounds) - 1
    part = np.zeros((blocks, *shape), dtype)
    _run_all(lambda b: kernel(*args, part, bounds[b], bounds[b + 1], b), blocks)
    return part[0] if blocks == 1 else np.add.reduce(part, axis=0)


def _run_all(run_block: Callable[[int], None], blocks: int) -> None:
    """Run all blocks: the calling thread and the pool draw from one iterator."""
    # One block needs no look at the environment, which costs as much as a small kernel.
    helpers = min(get_num_threads(), blocks) - 1 if blocks > 1 else 0
    if helpers < 1 or getattr(_local, "inside", False):
        for b in range(blocks):
            run_block(b)
        return
    remaining = iter(range(blocks))

    def drain() -> None:
        _local.inside = True
        try:
            for b in remaining:
                run_block(b)
        finally:
            _local.inside = False

    futures: list[Future[None]] = [
        _workers(helpers).submit(drain) for _ in range(helpers)
    ]
    try:
        drain()
    finally:
        # After an error elsewhere the others must stop before the arrays go away.
        for _ in remaining:
            pass
        errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error


def _workers(size: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size < size:
            if _pool is not None:
                _pool.shutdown(wait=False)
            _pool = ThreadPoolExecutor(size, thread_name_prefix="numopt")
            _pool_size = size
        return _pool


def _reset_after_fork() -> None:
    global _pool, _pool_size, _lock
    _pool, _pool_size, _lock = None, 0, threading.Lock()
    _local.inside = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
