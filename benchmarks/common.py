# SPDX-License-Identifier: BSD-3-Clause
"""Base classes of the benchmarks: threads as a parameter, ratios against peers."""

from typing import Any

from benchmarks import peers

#: Two settings everywhere: one thread, and all CPUs of the machine.
THREADS = ("one", "all")


def num_threads(setting: str) -> int:
    """Return the thread count of a setting of ``THREADS``."""
    return 1 if setting == "one" else peers.all_threads()


class ThreadedBenchmark:
    """A benchmark whose last parameter is the thread setting.

    Subclasses extend ``params`` and ``param_names`` in front of it and define
    ``prepare``. ``setup`` pins the threads, ``teardown`` frees them.
    """

    params: Any = [THREADS]
    param_names = ("threads",)

    def prepare(self, *parameters: Any) -> None:
        """Make the data; called with the parameters before the thread setting."""

    def setup(self, *parameters: Any) -> None:
        *rest, setting = parameters
        self._pinned = peers.threads(num_threads(setting))
        self._pinned.__enter__()
        self.prepare(*rest)

    def teardown(self, *parameters: Any) -> None:
        self._pinned.__exit__(None, None, None)


class PeerBenchmark:
    """``track_ratio_<peer>`` functions: time ratio ours/peer, below 1 is a win.

    The functions return ``self.ratio(ours, peer)``; asv then stores the median and
    the quartiles of the pairs.
    """

    unit = "time ratio (ours/peer)"
    timeout = 900.0
    #: asv runs a track function once; the pairs are the repetitions.
    pairs = peers.MIN_PAIRS

    def ratio(self, ours: Any, peer: Any, *, threads: str = "one") -> dict[str, Any]:
        result = peers.measure(
            ours, peer, pairs=self.pairs, num_threads=num_threads(threads)
        )
        return result.as_asv()


def synchronize(xp: Any) -> None:
    """Wait for the device when ``xp`` is CuPy; call it inside a timed body."""
    if "cupy" in xp.__name__:
        import cupy

        cupy.cuda.get_current_stream().synchronize()
