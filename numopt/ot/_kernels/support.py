# SPDX-License-Identifier: BSD-3-Clause
"""Truncated supports: finding their entries, passes over them.

A support is (start, stop, index, cost): row i holds the entries start[i]:stop[i].
"""

import numpy as np

from numopt._kernels.dispatch import sequential_kernel

__all__ = [
    "support_count",
    "support_entries",
    "support_filter",
    "support_pass",
    "support_prune",
]

_CPU = "numopt.ot._kernels_cpu.support"

support_count = sequential_kernel(
    "support_count",
    """Entries with h_j + s_i - M_ij / eps > 0, by row: (M, h, s, inv_eps) -> int64.""",
    numpy=f"{_CPU}:support_count",
)

support_entries = sequential_kernel(
    "support_entries",
    """Those entries, given their count: (M, h, s, inv_eps, count) -> support.

    A support is (start, stop, index, cost): row i holds start[i]:stop[i].
    """,
    numpy=f"{_CPU}:support_entries",
)

support_filter = sequential_kernel(
    "support_filter",
    """Entries of a support with h_j + s_i - M_ij / eps > 0, a support again.""",
    numpy=f"{_CPU}:support_filter",
)

support_pass = sequential_kernel(
    "support_pass",
    """``fused_pass`` over a support; also writes P on it to the last argument.""",
    numpy=f"{_CPU}:support_pass",
)

support_prune = sequential_kernel(
    "support_prune",
    """Entries with P_ij > floor_i weight_j: (start, stop, index, P).""",
    numpy=f"{_CPU}:support_prune",
)


def _support_example(rng, size):
    m = size // 2 + 1
    M, gamma = rng.random((size, m)), rng.standard_normal(m)
    phi, log_a = rng.standard_normal(size), np.log(rng.random(size) + 0.1)
    support = (
        np.arange(size, dtype=np.int64) * gamma.size,
        np.arange(1, size + 1, dtype=np.int64) * gamma.size,
        np.tile(np.arange(gamma.size, dtype=np.int32), size),
        M.ravel(),
    )
    return support, M, gamma, phi, log_a


@support_count.example
def _(rng, _, size):
    _, M, gamma, phi, _ = _support_example(rng, size)
    return M, gamma, phi, 2.0


@support_entries.example
def _(rng, _, size):
    _, M, gamma, phi, _ = _support_example(rng, size)
    count = np.sum(gamma + phi[:, None] - 2.0 * M > 0, axis=1, dtype=np.int64)
    return M, gamma, phi, 2.0, count


@support_filter.example
def _(rng, _, size):
    support, _, gamma, phi, _ = _support_example(rng, size)
    return *support, gamma, phi, 2.0


@support_pass.example
def _(rng, _, size):
    support, _, gamma, phi, log_a = _support_example(rng, size)
    return *support, gamma, phi, log_a, 2.0, np.empty_like(support[3])


@support_prune.example
def _(rng, _, size):
    support, _, gamma, phi, _ = _support_example(rng, size)
    return *support, 0.5 * np.exp(phi), np.exp(gamma)
