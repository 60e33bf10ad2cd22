# SPDX-License-Identifier: BSD-3-Clause
"""Block coordinate descent for sparse, constrained and graph-structured problems.

``min F(w) = (1/S) sum_i s_i loss(y_i, x_i^T w + b) + penalty(w)``: any datafit with any
penalty, solved to a relative duality gap.

_problem     datafits, penalties, validated data, duality gaps
_solvers     working sets, paths, bounds, literal block rules, graphs
_estimators  scikit-learn estimators
_kernels     compiled loops by name, with their CPU bodies in _kernels_cpu
"""

from typing import TYPE_CHECKING

from numopt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    attributes={
        # `ElasticNet` is an estimator that is also the penalty of that name.
        "_estimators.classifiers": ("SparseLogisticRegression",),
        "_estimators.labels": ("LabelPropagation",),
        "_estimators.logistic_cv": ("SparseLogisticRegressionCV",),
        "_estimators.regressors": (
            "ElasticNet",
            "GroupLasso",
            "Lasso",
            "NonNegativeRegression",
        ),
        "_estimators.rules": ("BCDClassifier", "BCDRegressor"),
        "_estimators.regressors_cv": ("ElasticNetCV", "GroupLassoCV", "LassoCV"),
        "_estimators.svm": ("LinearSVC",),
        "_kernels.warm": ("warmup",),
        "_problem.datafits": (
            "Datafit",
            "Huber",
            "Logistic",
            "Multinomial",
            "Poisson",
            "Quadratic",
            "SquaredHinge",
        ),
        "_problem.group_penalties": ("GroupL2", "SparseGroup"),
        "_problem.penalties": (
            "Box",
            "L1",
            "MCP",
            "NonNegative",
            "Null",
            "Penalty",
            "Ridge",
            "SCAD",
        ),
        "_solvers.audit": ("alpha_max", "dual_gap"),
        "_solvers.bcd": ("bcd_solve",),
        "_solvers.box": ("nnls", "solve_quadratic"),
        "_solvers.forest": ("forest_solve", "is_forest"),
        "_solvers.label_propagation": (
            "LabelPropagationResult",
            "label_propagation",
        ),
        "_solvers.partitions": (
            "color_partition",
            "greedy_forest",
            "tree_partition",
        ),
        "_solvers.paths": (
            "enet_path",
            "group_lasso_path",
            "lasso_path",
            "logistic_path",
        ),
        "_solvers.results": ("CoordinateResult", "PathResult"),
    },
)

if TYPE_CHECKING:
    from numopt.coordinate._estimators.classifiers import SparseLogisticRegression
    from numopt.coordinate._estimators.labels import LabelPropagation
    from numopt.coordinate._estimators.logistic_cv import SparseLogisticRegressionCV
    from numopt.coordinate._estimators.regressors import (
        ElasticNet,
        GroupLasso,
        Lasso,
        NonNegativeRegression,
    )
    from numopt.coordinate._estimators.regressors_cv import (
        ElasticNetCV,
        GroupLassoCV,
        LassoCV,
    )
    from numopt.coordinate._estimators.rules import BCDClassifier, BCDRegressor
    from numopt.coordinate._estimators.svm import LinearSVC
    from numopt.coordinate._kernels.warm import warmup
    from numopt.coordinate._problem.datafits import (
        Datafit,
        Huber,
        Logistic,
        Multinomial,
        Poisson,
        Quadratic,
        SquaredHinge,
    )
    from numopt.coordinate._problem.group_penalties import GroupL2, SparseGroup
    from numopt.coordinate._problem.penalties import (
        L1,
        MCP,
        SCAD,
        Box,
        NonNegative,
        Null,
        Penalty,
        Ridge,
    )
    from numopt.coordinate._solvers.audit import alpha_max, dual_gap
    from numopt.coordinate._solvers.bcd import bcd_solve
    from numopt.coordinate._solvers.box import nnls, solve_quadratic
    from numopt.coordinate._solvers.forest import forest_solve, is_forest
    from numopt.coordinate._solvers.label_propagation import (
        LabelPropagationResult,
        label_propagation,
    )
    from numopt.coordinate._solvers.partitions import (
        color_partition,
        greedy_forest,
        tree_partition,
    )
    from numopt.coordinate._solvers.paths import (
        enet_path,
        group_lasso_path,
        lasso_path,
        logistic_path,
    )
    from numopt.coordinate._solvers.results import CoordinateResult, PathResult
