# SPDX-License-Identifier: BSD-3-Clause
"""Labels and values spread over a graph: harmonic functions."""

import dataclasses
import warnings
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._docstring import fill_docstring
from numopt._iterate.loop import iterate
from numopt._iterate.result import SolverResult
from numopt.coordinate._problem.graph import HarmonicProblem, as_graph
from numopt.coordinate._solvers.block_sweeps import (
    GREEDY,
    PARTITIONS,
    SELECTIONS,
    BlockSweeps,
)
from numopt.coordinate._solvers.graph_systems import (
    ConjugateGradients,
    Direct,
    Eliminate,
)
from numopt.coordinate._solvers.results import RUN
from numopt.typing import Array, Callback

__all__ = ["LabelPropagationResult", "label_propagation"]

METHODS = ("auto", "direct", "cg", "bcd")


@fill_docstring(run=RUN)
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LabelPropagationResult(SolverResult):
    """What `label_propagation` returns.

    The residual is ``norm(Ax - c) / norm(c)`` of the worst column.

    Parameters
    ----------
    {run}
    scores : ndarray of shape (n, K) or (n,)
        Harmonic scores, one column a class (labelled rows are one-hot), or values.
    labels : ndarray of shape (n,) or None
        Class with the largest score, -1 where no label reaches; None for values.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import label_propagation
    >>> W = np.diag([1.0, 1.0], 1) + np.diag([1.0, 1.0], -1)
    >>> label_propagation(W, [0, -1, 1]).scores[1]
    array([0.5, 0.5])
    """

    scores: np.ndarray
    labels: np.ndarray | None


def label_propagation(
    W: Any,
    y: Array,
    *,
    method: str = "auto",
    ridge: float = 0.0,
    partition: str = "trees",
    selection: str = "cyclic",
    max_iter: int = 10_000,
    tol: float = 1e-8,
    random_state: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> LabelPropagationResult:
    r"""Spread labels or values over a graph (harmonic functions).

    .. math::
        \min_x \tfrac12 \sum_{i<j} W_{ij} (x_i - x_j)^2 + \tfrac{ridge}{2} \sum_u x_u^2

    with x fixed at the labelled nodes, once for each class.

    Parameters
    ----------
    W : sparse or dense matrix of shape (n, n)
        Symmetric, non-negative weights; the diagonal is ignored.
    y : array of shape (n,)
        Integers: classes, -1 where unlabelled. Floats: values, NaN where unlabelled.
    method : {"auto", "direct", "cg", "bcd"}, default="auto"
        "auto" eliminates nodes of degree at most two and solves the rest by
        preconditioned conjugate gradients, or directly when they are slow. "bcd" runs
        block coordinate descent, for study.
    ridge : float, default=0.0
        Pull of unlabelled nodes towards 0.
    partition : str, default="trees"
        One of "trees", "red_black", "order", "sorted", "average", "variable".
        Blocks of "bcd"; "variable" grows a forest by score at each step.
    selection : str, default="cyclic"
        One of "cyclic", "shuffle", "random", "lipschitz", "GS", "GSL", "GSD", "GSQ".
        How "bcd" picks the next block.
    max_iter : int, default=10000
        Iterations of "cg", or sweeps over the blocks of "bcd".
    tol : float, default=1e-8
        Relative residual of every column.
    random_state : int, Generator or None, default=None
        For the random selections.
    callback : callable, default=None
        Called as ``callback(info)``; a true value stops.
    verbose : int, default=0
        1 shows a progress bar, 2 logs each check.
    warn : bool, default=True
        Whether to warn when ``tol`` is not reached or nodes are unreachable.

    Returns
    -------
    LabelPropagationResult
        With fields ``scores``, ``labels``, ``n_iter``, ``converged``, ``status``,
        ``message`` and ``history``.

    Raises
    ------
    ValueError
        When ``W`` is not square, symmetric, finite and non-negative; when no node is
        labelled, or none is joined to some others but by weights that vanish beside
        theirs; when shapes or options do not fit.

    Warns
    -----
    UserWarning
        When no label reaches some nodes and ``ridge`` is 0: their scores are 0 and
        their labels -1.

    See Also
    --------
    forest_solve : Exact solves on forests.
    numopt.coordinate.LabelPropagation : The estimator.

    Notes
    -----
    The classes share every pass over the graph, and without a ridge the scores add up
    to one, so one class less is solved. Conjugate gradients are preconditioned by an
    incomplete factor that keeps the row sums, whose product with the matrix costs one
    sweep up and one down, or by the diagonal where a random walk soon meets a label.
    Where neighbours of a node are neighbours of each other and few nodes are labelled,
    nodes of few neighbours are eliminated exactly before.

    References
    ----------
    Zhu, Ghahramani and Lafferty (2003), "Semi-supervised learning using Gaussian
    fields and harmonic functions". Gustafsson (1978), "A class of first order
    factorization methods". Nutini, Laradji and Schmidt (2022), JMLR 23(131).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import label_propagation
    >>> W = np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)
    >>> label_propagation(W, [0.0, np.nan, np.nan, np.nan, 1.0]).scores
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    >>> label_propagation(W, [3, -1, -1, -1, 7]).labels
    array([3, 3, 3, 7, 7])
    """
    graph = as_graph("W", W, nonnegative=True)
    method = v.check_choice("method", method, METHODS)
    ridge = v.check_real("ridge", ridge, low=0.0)
    tol = v.check_real("tol", tol, low=0.0, include_low=False)
    max_iter = v.check_int("max_iter", max_iter, low=0)
    v.check_choice("partition", partition, PARTITIONS)
    v.check_choice("selection", selection, SELECTIONS)
    if partition == "variable" and selection not in GREEDY:
        raise ValueError(
            v.message(
                "selection",
                "one of 'GS', 'GSL', 'GSD' for variable blocks",
                repr(selection),
            )
        )
    classes, labelled, known = _targets(y, graph.shape[0])
    dropped = classes is not None and ridge == 0.0 and known.shape[1] > 1
    sides = known[:, :-1] if dropped else known
    problem, reached = HarmonicProblem.from_graph(graph, labelled, sides, ridge)
    solver = _solver(method, partition, selection, random_state, tol, max_iter)
    fields = iterate(
        solver,
        problem,
        tol=tol,
        max_iter=max_iter,
        callback=v.check_callback(callback),
        verbose=verbose,
        warn=warn,
    )
    solution = fields.pop("x")
    if dropped:
        solution = np.column_stack([solution, 1.0 - solution.sum(axis=1)])
    scores = np.zeros((graph.shape[0], known.shape[1]))
    scores[problem.nodes] = solution
    scores[labelled] = known
    if warn and ridge == 0.0 and not np.all(reached):
        _warn_unreached(reached, classes is None)
    if classes is None:
        if ridge == 0.0:
            scores[~reached] = np.nan
        return LabelPropagationResult(scores=scores[:, 0], labels=None, **fields)
    labels = np.where(reached, classes[np.argmax(scores, axis=1)], -1)
    return LabelPropagationResult(scores=scores, labels=labels, **fields)


def _targets(y: Any, n: int) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Classes (None for values), labelled nodes and their rows of targets."""
    targets = np.asarray(y)
    if targets.shape != (n,):
        raise ValueError(
            v.message("y", f"of shape ({n},) to match `W`", f"shape {targets.shape}")
        )
    if targets.dtype.kind in "iu":
        if targets.dtype.kind == "i" and np.min(targets) < -1:
            raise ValueError(
                v.message("y", "classes >= 0, or -1 for no label", np.min(targets))
            )
        labelled = np.flatnonzero(targets != -1)
        _check_labelled(labelled)
        classes, codes = np.unique(targets[labelled], return_inverse=True)
        return classes, labelled, np.eye(classes.size)[codes]
    if targets.dtype.kind != "f":
        raise ValueError(
            v.message("y", "integer classes or float values", f"dtype {targets.dtype}")
        )
    labelled = np.flatnonzero(~np.isnan(targets))
    _check_labelled(labelled)
    known = targets[labelled].astype(np.float64)
    v.check_values("y", known)
    return None, labelled, known[:, None]


def _check_labelled(labelled: np.ndarray) -> None:
    """Refuse targets without any label."""
    if labelled.size == 0:
        raise ValueError(v.message("y", "labelled at one node at least", "no label"))


def _solver(
    method: str,
    partition: str,
    selection: str,
    random_state: Any,
    tol: float,
    max_iter: int,
) -> Any:
    """Solver of a method."""
    if method == "bcd":
        return BlockSweeps(
            partition=partition, selection=selection, random_state=random_state
        )
    if method == "direct":
        return Direct()
    if method == "cg":
        return ConjugateGradients(tol=tol, max_iter=max_iter)
    return Eliminate(tol=tol, max_iter=max_iter)


def _warn_unreached(reached: np.ndarray, values: bool) -> None:
    """Warn of the nodes that no label reaches."""
    count = int(np.count_nonzero(~reached))
    first = int(np.argmin(reached))
    fate = "their values are NaN" if values else "their labels are -1"
    warnings.warn(
        f"no label reaches {count} nodes (the first is {first}); {fate}. Connect the "
        "graph, or use `ridge` > 0 for a unique answer",
        UserWarning,
        stacklevel=3,
    )
