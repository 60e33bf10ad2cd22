# SPDX-License-Identifier: BSD-3-Clause
"""Seeded generators and loaders of data that ships in pip packages; no downloads."""

from typing import TYPE_CHECKING

from numopt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    attributes={
        "_cluster": (
            "load_ruspini",
            "make_spherical_mixture",
            "make_unequal_mixture",
        ),
        "_completion": (
            "load_gene_expression",
            "load_movielens",
            "make_low_rank",
        ),
        "_photographs": ("load_photograph", "load_photographs"),
        "_sbl": ("make_irs_mimo", "make_kronecker_sparse"),
        "_transport": ("make_transport_problem",),
    },
)

if TYPE_CHECKING:
    from numopt.datasets._cluster import (
        load_ruspini,
        make_spherical_mixture,
        make_unequal_mixture,
    )
    from numopt.datasets._completion import (
        load_gene_expression,
        load_movielens,
        make_low_rank,
    )
    from numopt.datasets._photographs import load_photograph, load_photographs
    from numopt.datasets._sbl import make_irs_mimo, make_kronecker_sparse
    from numopt.datasets._transport import make_transport_problem
