# SPDX-License-Identifier: BSD-3-Clause
"""What is solved: validated observations, the penalties and the objective."""

from numopt.completion._problem.observations import Observations, Side, observations
from numopt.completion._problem.penalty import Penalty, check_rank

__all__ = ["Observations", "Penalty", "Side", "check_rank", "observations"]
