# SPDX-License-Identifier: BSD-3-Clause
"""Checks that an estimator cannot pass, each with its reason, and how to make them.

``INSTANCES`` holds a factory where the default constructor is unsuited to the tiny
data of scikit-learn's checks.
"""

from collections.abc import Callable
from typing import Any

EXPECTED_FAILURES: dict[str, dict[str, str]] = {}

INSTANCES: dict[str, Callable[[], Any]] = {}
