# SPDX-License-Identifier: BSD-3-Clause
"""Compilation ahead of the first fit."""

from numopt._kernels.dispatch import compile_kernels

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
    return compile_kernels("numopt.coordinate.")
