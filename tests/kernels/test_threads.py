# SPDX-License-Identifier: BSD-3-Clause
import multiprocessing
import os
import threading

import numpy as np
import pytest

import numopt
from numopt._kernels import threads
from numopt._kernels.jit import jit_kernel


@jit_kernel
def _square(x, out, lo, hi):
    for i in range(lo, hi):
        out[i] = x[i] * x[i]


@jit_kernel
def _dot(x, y, part, lo, hi, block):
    for i in range(lo, hi):
        part[block, 0] += x[i] * y[i]


def _sum_of_products(x, y, work):
    return threads.reduce_blocks(_dot, x.size, (x, y), work, shape=(1,))[0]


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 10_001])
@pytest.mark.parametrize("work", [1, 10**7])
def test_every_row_once(rng, n, work):
    x, out = rng.random(n), np.full(n, np.nan)
    with numopt.config_context(num_threads=3):
        threads.run_blocks(_square, n, (x, out), work)
    np.testing.assert_array_equal(out, x * x)


def test_reductions_do_not_depend_on_the_thread_count(rng):
    x, y = rng.standard_normal((2, 100_003))
    answers = set()
    for count in (1, 2, 3, 4, 7):
        with numopt.config_context(num_threads=count):
            answers.add(_sum_of_products(x, y, 10**7))
    assert len(answers) == 1
    assert answers.pop() == pytest.approx(x @ y, rel=1e-10)


def test_blocks_depend_on_problem_only():
    with numopt.config_context(num_threads=1):
        one = threads.block_bounds(1000, 10**6)
    with numopt.config_context(num_threads=8):
        assert threads.block_bounds(1000, 10**6) == one
    assert len(one) - 1 == 4
    assert len(threads.block_bounds(10**6, 10**9)) - 1 == threads.MAX_BLOCKS
    assert threads.block_bounds(10, 10) == [0, 10]


def test_errors_come_through():
    def fail(lo, hi):
        raise RuntimeError("broken kernel")

    with (
        numopt.config_context(num_threads=2),
        pytest.raises(RuntimeError, match="broken"),
    ):
        threads.run_blocks(fail, 100, (), 10**7)


def test_errors_of_other_threads_come_through():
    caller, elsewhere = threading.current_thread(), threading.Event()

    def fail_elsewhere(lo, hi):
        if threading.current_thread() is caller:
            assert elsewhere.wait(60)
        else:
            elsewhere.set()
            raise RuntimeError("broken in a worker")

    with (
        numopt.config_context(num_threads=2),
        pytest.raises(RuntimeError, match="in a worker"),
    ):
        threads.run_blocks(fail_elsewhere, 100, (), 10**7)


def test_no_nesting():
    inner_threads = []

    def inner(lo, hi):
        inner_threads.append(threading.get_ident())

    def outer(lo, hi):
        threads.run_blocks(inner, 64, (), 10**9)
        assert inner_threads

    with numopt.config_context(num_threads=2):
        threads.run_blocks(outer, 2, (), 10**6)
    assert len(inner_threads) == 2 * 64


def test_concurrent_callers(rng):
    x = rng.standard_normal(50_000)
    answers = []

    def call():
        with numopt.config_context(num_threads=2):
            answers.extend(_sum_of_products(x, x, 10**7) for _ in range(20))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert len(answers) == 80
    assert len(set(answers)) == 1


def _in_child(queue, x):
    with numopt.config_context(num_threads=2):
        queue.put(_sum_of_products(x, x, 10**7))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_has_its_own_pool(rng):
    x = rng.standard_normal(50_000)
    with numopt.config_context(num_threads=2):
        desired = _sum_of_products(x, x, 10**7)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue, x))
    child.start()
    assert queue.get(timeout=60) == desired
    child.join(60)
    assert child.exitcode == 0


def test_settings(monkeypatch):
    monkeypatch.setattr(threads, "_num_threads", None)
    for name in threads._ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    assert 1 <= numopt.get_num_threads() <= os.cpu_count()
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert numopt.get_num_threads() == 3
    monkeypatch.setenv("NUMOPT_NUM_THREADS", "5")
    assert numopt.get_num_threads() == 5
    numopt.set_num_threads(2)
    assert numopt.get_num_threads() == 2
    with numopt.config_context(num_threads=4):
        assert numopt.get_num_threads() == 4
    assert numopt.get_num_threads() == 2


@pytest.mark.parametrize(
    ("bad", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_bad_thread_counts(bad, error):
    with pytest.raises(error, match="num_threads"):
        numopt.set_num_threads(bad)
