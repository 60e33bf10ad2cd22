# SPDX-License-Identifier: BSD-3-Clause
"""Peers: measure ours and another library alternately, in one process."""

import contextlib
import functools
import gc
import importlib
import importlib.metadata
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MIN_PAIRS = 9
MIN_SECONDS = 2e-3

#: Import name -> name on the package index, where they differ.
DISTRIBUTIONS = {
    "ot": "POT",
    "ott": "ott-jax",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
}


@dataclass(frozen=True)
class Ratio:
    """Time ratio ours/peer over alternating pairs; below 1 is a win.

    ``spread`` is half the interquartile range of the pairwise ratios, divided by
    their median; None for a single pair.
    """

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return low, high

    @property
    def spread(self) -> float | None:
        if len(self.samples) < 2:
            return None
        low, high = self.quartiles
        return 0.5 * (high - low) / self.median

    def as_asv(self) -> dict[str, Any]:
        """Return what a ``track_*`` function hands to asv: it keeps the quartiles."""
        return {"samples": list(self.samples), "number": 1}


@dataclass(frozen=True)
class Case:
    """A row of the performance page: a workload, and a peer that solves it too.

    ``make()`` returns the two callables (ours, the peer's), which reach the same
    accuracy as judged by one residual; it raises NotImplementedError with the reason
    where the peer does not get there. ``clock`` is for workloads that are processes.
    """

    workload: str
    peer: str
    package: str
    make: Callable[[], tuple[Callable[[], Any], Callable[[], Any]]]
    clock: Callable[[], float] | None = None


def require(name: str) -> Any:
    """Import a peer; a missing one makes asv record n/a."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotImplementedError(f"peer {name} is not installed") from error


def version(name: str) -> str:
    """Return "distribution version" of an importable peer."""
    distribution = DISTRIBUTIONS.get(name, name)
    return f"{distribution} {importlib.metadata.version(distribution)}"


def all_threads() -> int:
    """Return the number of CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Pin numopt, BLAS and OpenMP to ``n`` threads."""
    import numopt

    with _controller().limit(limits=n), numopt.config_context(num_threads=n):
        yield


def measure(
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    *,
    pairs: int = MIN_PAIRS,
    num_threads: int = 1,
    clock: Callable[[], float] = time.perf_counter,
    max_seconds: float = 60.0,
) -> Ratio:
    """Time two callables alternately and return the pairwise ratios ours/peer.

    Both are called once before timing (compilation, caches). Short callables are
    repeated inside one sample, equally often, so that a sample takes at least a few
    milliseconds. The order within a pair changes from pair to pair. After
    ``max_seconds`` no further pair starts once five are done.

    Callers make sure that both reach the same accuracy, as judged by one residual.
    """
    if pairs < MIN_PAIRS:
        raise ValueError(f"`pairs` must be at least {MIN_PAIRS}, got {pairs}")
    with threads(num_threads):
        ours()
        peer()
        number = _number(min(_once(ours, 1, clock), _once(peer, 1, clock)))
        samples = []
        began = time.perf_counter()
        enabled = gc.isenabled()
        gc.disable()
        try:
            for k in range(pairs):
                order = (ours, peer) if k % 2 == 0 else (peer, ours)
                taken = {f: _once(f, number, clock) for f in order}
                samples.append(taken[ours] / taken[peer])
                if k >= 4 and time.perf_counter() - began > max_seconds:
                    break
        finally:
            if enabled:
                gc.enable()
    return Ratio(tuple(samples))


def _once(f: Callable[[], Any], number: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(number):
        f()
    return max(clock() - start, 1e-9)


def _number(seconds: float) -> int:
    return max(1, min(1000, round(MIN_SECONDS / seconds)))
