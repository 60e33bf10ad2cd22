# SPDX-License-Identifier: BSD-3-Clause
"""Progress for people: a tqdm bar at verbose=1, log lines at verbose=2."""

import logging
from types import TracebackType
from typing import Any, Self

__all__ = ["Progress"]


class Progress:
    """Show each check according to ``verbose``; a context manager.

    0 is silent, 1 shows a progress bar, 2 writes one INFO line a check to the logger
    named after the solver's module.
    """

    def __init__(self, verbose: int, *, total: int, name: str, module: str) -> None:
        self._bar: Any = None
        self._log = logging.getLogger(module) if verbose >= 2 else None
        self._name = name
        if verbose == 1:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, desc=name, leave=True)

    def update(self, n_iter: int, metrics: dict[str, Any]) -> None:
        """Show one check."""
        if self._bar is not None:
            self._bar.set_postfix(
                objective=f"{metrics['objective']:.6g}",
                residual=f"{metrics['residual']:.1e}",
                refresh=False,
            )
            self._bar.update(n_iter - self._bar.n)
        if self._log is not None:
            line = " ".join(f"{key}={_short(value)}" for key, value in metrics.items())
            self._log.info("%s n_iter=%d %s", self._name, n_iter, line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
