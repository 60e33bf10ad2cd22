# SPDX-License-Identifier: BSD-3-Clause
"""Any solver on data in other units: what it tells is in those of the caller."""

import dataclasses
from typing import Any

from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.coordinate._problem.units import Units

__all__ = ["Rescaled", "rescaled"]


def rescaled(solver: Solver[Any, Any], units: Units) -> Solver[Any, Any]:
    """Return a solver that tells results in the units of the caller."""
    if units.plain:
        return solver
    return Rescaled(solver, units.coef, units.target, units.objective)


@dataclasses.dataclass(frozen=True)
class Rescaled(Solver[Any, Any]):
    """A solver and the units of its coefficients, intercept and objective."""

    solver: Solver[Any, Any]
    coef: float
    intercept: float
    objective: float

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the solver."""
        return self.solver.name

    def init(self, problem: Any, warm_start: Any) -> Any:
        """Start the solver."""
        return self.solver.init(problem, warm_start)

    def step(self, problem: Any, state: Any) -> Any:
        """Advance the solver."""
        return self.solver.step(problem, state)

    def measure(self, problem: Any, state: Any) -> dict[str, Any]:
        """Measures of the solver."""
        measures = self.solver.measure(problem, state)
        return measures | {"objective": measures["objective"] * self.objective}

    def finish(self, problem: Any, state: Any) -> dict[str, Any]:
        """Fields of the solver."""
        fields = self.solver.finish(problem, state)
        units = {
            "coef": self.coef,
            "coefs": self.coef,
            "intercept": self.intercept,
            "objective": self.objective,
        }
        known = fields.keys() & units.keys()
        return fields | {name: fields[name] * units[name] for name in known}

    def current(self, state: Any) -> Any:
        """Iterate of the solver."""
        x = self.solver.current(state)
        return None if x is None else x * self.coef

    def stop(self, problem: Any, state: Any) -> Stop | None:
        """Reason of the solver to stop."""
        return self.solver.stop(problem, state)
