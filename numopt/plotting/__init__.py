# SPDX-License-Identifier: BSD-3-Clause
"""Display classes that draw results, as in scikit-learn (needs matplotlib)."""

from typing import TYPE_CHECKING

from numopt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    attributes={
        "_barycenter": ("BarycenterDisplay",),
        "_bilevel": ("BilevelResultDisplay", "FiltersDisplay"),
        "_cluster": ("CertifiedInertiaDisplay", "GapDisplay", "MembershipDisplay"),
        "_completion": (
            "PhaseTransitionDisplay",
            "ResidualMapDisplay",
            "SingularValueDisplay",
        ),
        "_convergence": ("ConvergenceDisplay",),
        "_coordinate": ("BlockRulesDisplay", "PathDisplay"),
        "_dmmv": (
            "FrequencyResponseDisplay",
            "ReconstructionDisplay",
            "ResidualProfileDisplay",
        ),
        "_sbl": ("EvidenceDisplay", "RelevanceDisplay"),
        "_transport": ("TransportPlanDisplay",),
    },
)

if TYPE_CHECKING:
    from numopt.plotting._barycenter import BarycenterDisplay
    from numopt.plotting._bilevel import BilevelResultDisplay, FiltersDisplay
    from numopt.plotting._cluster import (
        CertifiedInertiaDisplay,
        GapDisplay,
        MembershipDisplay,
    )
    from numopt.plotting._completion import (
        PhaseTransitionDisplay,
        ResidualMapDisplay,
        SingularValueDisplay,
    )
    from numopt.plotting._convergence import ConvergenceDisplay
    from numopt.plotting._coordinate import BlockRulesDisplay, PathDisplay
    from numopt.plotting._dmmv import (
        FrequencyResponseDisplay,
        ReconstructionDisplay,
        ResidualProfileDisplay,
    )
    from numopt.plotting._sbl import EvidenceDisplay, RelevanceDisplay
    from numopt.plotting._transport import TransportPlanDisplay
