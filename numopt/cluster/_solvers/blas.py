# SPDX-License-Identifier: BSD-3-Clause
"""One BLAS thread while a solve makes many small calls."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

__all__ = ["calm_blas"]

#: Below this order several BLAS threads cost more than they save.
SMALL_ORDER = 600


@functools.cache
def _controller() -> Any:
    """The one controller: creating it scans all loaded libraries."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextlib.contextmanager
def calm_blas(order: int) -> Iterator[None]:
    """Limit BLAS to one thread when the matrices of a solve are small."""
    if order >= SMALL_ORDER:
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield
