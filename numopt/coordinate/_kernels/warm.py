# SPDX-License-Identifier: BSD-3-Clause
"""Compilation ahead of the first fit."""

import numpy as np

from numopt._kernels.dispatch import all_kernels

__all__ = ["warmup"]


def warmup() -> int:
    """Compile the kernels of the family into the cache, before the first fit.

    Returns
    -------
    int
        Number of kernels.

    See Also
    --------
    numopt.coordinate.bcd_solve : What they are for.

    Notes
    -----
    Compiled code is kept on disk, so this matters once for each installation;
    ``python -m numopt warmup`` does the same for all families.

    Examples
    --------
    >>> from numopt.coordinate import warmup
    >>> warmup() > 10  # doctest: +SKIP
    True
    """
    count = 0
    for name, kernel in all_kernels():
        if not name.startswith("numopt.coordinate."):
            continue
        for dtype in (np.float64, np.float32):
            kernel(*kernel.make_example(np.random.default_rng(0), dtype, 3))
        count += 1
    return count
