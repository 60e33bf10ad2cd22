# SPDX-License-Identifier: BSD-3-Clause
"""Counting sort of entries by line, in stretches that threads take in turn."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import run_blocks

__all__ = ["group_entries"]

#: Most stretches, and least entries of one: each keeps a count of every line.
STRETCHES, STRETCH = 16, 1 << 16


@jit_kernel
def _count(ids, bounds, out_counts, lo, hi):
    """Entries of each line in some stretches."""
    for s in range(lo, hi):
        for t in range(bounds[s], bounds[s + 1]):
            out_counts[s, ids[t]] += 1


@jit_kernel
def _starts(out_starts, work_counts):
    """Start of each line; the counts become the first place of each stretch."""
    place = 0
    for i in range(work_counts.shape[1]):
        out_starts[i] = place
        for s in range(work_counts.shape[0]):
            count = work_counts[s, i]
            work_counts[s, i] = place
            place += count
    out_starts[work_counts.shape[1]] = place


@jit_kernel
def _place(
    ids, others, values, weights, tags, bounds, work_places, out_others, out_values,
    out_weights, out_tags, lo, hi,
):  # fmt: skip
    """Move the entries of some stretches to their places."""
    weighted, tagged = weights.shape[0] > 0, tags.shape[0] > 0
    for s in range(lo, hi):
        places = work_places[s]
        for t in range(bounds[s], bounds[s + 1]):
            at = places[ids[t]]
            places[ids[t]] = at + 1
            out_others[at] = others[t]
            out_values[at] = values[t]
            if weighted:
                out_weights[at] = weights[t]
            out_tags[at] = tags[t] if tagged else t


def group_entries(ids, others, values, weights, tags, n):
    """Entries brought into the order of their lines, and the start of each line."""
    size = ids.shape[0]
    stretches = max(1, min(STRETCHES, size // max(n, STRETCH)))
    bounds = size * np.arange(stretches + 1) // stretches
    starts = np.empty(n + 1, np.int64)
    counts = np.zeros((stretches, n), np.int64)
    moved = tuple(np.empty_like(a) for a in (others, values, weights))
    out_tags = np.empty(size, tags.dtype)
    run_blocks(_count, stretches, (ids, bounds, counts), work=2 * size)
    _starts(starts, counts)
    run_blocks(
        _place,
        stretches,
        (ids, others, values, weights, tags, bounds, counts, *moved, out_tags),
        work=16 * size,
    )
    return starts, *moved, out_tags
