# SPDX-License-Identifier: BSD-3-Clause
"""Displays are tested where matplotlib is installed; figures are closed after each."""

from typing import Any

import pytest


@pytest.fixture
def plt() -> Any:
    return pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close_figures(plt: Any) -> Any:
    yield
    plt.close("all")
