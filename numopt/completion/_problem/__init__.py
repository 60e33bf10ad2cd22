# SPDX-License-Identifier: BSD-3-Clause
"""What is solved: validated observations, the penalties and the objective."""

from numopt.completion._problem._model import Penalty, check_rank
from numopt.completion._problem._observations import Observations, Side, observations

__all__ = ["Observations", "Penalty", "Side", "check_rank", "observations"]
