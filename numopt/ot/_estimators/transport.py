# SPDX-License-Identifier: BSD-3-Clause
"""The scikit-learn face: transport as a transformer with out-of-sample maps."""

from numbers import Real
from typing import Any, Self, cast

from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from numopt._array.namespace import array_namespace
from numopt._estimator.base import ArrayEstimator
from numopt._estimator.sklearn_compat import (
    Interval,
    StrOptions,
    check_same_namespace,
    fit_context,
    get_namespace_and_device,
    move_to,
    supported_float_dtypes,
    validate_data,
)
from numopt._numerics.distances import METRICS, pairwise_distances
from numopt.ot._estimators.base import check_weights, median_cost
from numopt.ot._kernels.dense import soft_average
from numopt.ot._solvers.result import SinkhornResult
from numopt.ot._solvers.sinkhorn import METHODS, sinkhorn
from numopt.typing import Array

__all__ = ["SinkhornTransport"]

#: Regularisation of the score, in units of the median cost.
SCORE_REG = 0.05
#: Cost entries held at a time when new points are mapped.
CHUNK = 4_000_000


class SinkhornTransport(OneToOneFeatureMixin, TransformerMixin, ArrayEstimator):
    r"""Map one cloud of points onto another by entropic optimal transport.

    A new point goes to the mean of the target under its conditional distribution,

    .. math:: T(x) = \sum_j w_j(x)\, y_j, \qquad
              w_j(x) \propto b_j \exp((g_j - c(x, y_j)) / \varepsilon),

    which at the training points is the barycentric projection of the plan.

    Parameters
    ----------
    reg : float, default=0.05
        Regularisation, in units of the median cost when ``normalize_cost`` is set, so
        that the default suits unscaled data.
    metric : str, default="sqeuclidean"
        Cost: "sqeuclidean", "euclidean", "cosine" or "cityblock".
    normalize_cost : bool, default=True
        Divide the cost by its median over the training pairs.
    method : str, default="auto"
        Algorithm of ``numopt.ot.sinkhorn``.
    tol : float, default=1e-6
        L1 marginal error, relative to the mass, at which the solver stops.
    max_iter : int, default=1000
        Bound on full passes plus Newton steps.
    warn : bool, default=True
        Issue a ConvergenceWarning when ``tol`` was not reached.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.

    Attributes
    ----------
    potentials_ : tuple of array
        Dual potentials (f, g) of source and target, in units of the scaled cost.
    result_ : SinkhornResult
        The full result.
    X_source_, X_target_ : array of shape (n, d) and (m, d)
        Training points.
    cost_scale_ : float
        What the cost was divided by.
    score_scale_ : float
        Median cost, the unit of the regularisation of ``score``.
    n_features_in_ : int
        Number of features d.
    n_iter_ : int
        Full passes plus Newton steps.

    See Also
    --------
    sinkhorn : The plain function.

    Notes
    -----
    Without ``X_target`` in ``fit``, X is transported to itself: an entropic smoother,
    which is what scikit-learn's own tools exercise. Array-API input needs
    ``sklearn.config_context(array_api_dispatch=True)``.

    References
    ----------
    Pooladian & Niles-Weed (2021), Entropic estimation of optimal transport maps,
    definition 3. Ferradans, Papadakis, Peyré & Aujol (2014), Regularized discrete
    optimal transport, SIAM J. Imaging Sci. 7(3), for colour transfer.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import SinkhornTransport
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(50, 2)), rng.normal(3.0, 1.0, size=(60, 2))
    >>> moved = SinkhornTransport(reg=0.02).fit(X, X_target=Y).transform(X)
    >>> bool(np.allclose(moved.mean(axis=0), Y.mean(axis=0)))
    True
    """

    _parameter_constraints = {
        "reg": [Interval(Real, 0, None, closed="neither")],
        "metric": [StrOptions(set(METRICS))],
        "normalize_cost": ["boolean"],
        "method": [StrOptions(set(METHODS))],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Real, 1, None, closed="left")],
        "warn": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        reg: float = 0.05,
        *,
        metric: str = "sqeuclidean",
        normalize_cost: bool = True,
        method: str = "auto",
        tol: float = 1e-6,
        max_iter: int = 1000,
        warn: bool = True,
        verbose: int = 0,
    ) -> None:
        self.reg = reg
        self.metric = metric
        self.normalize_cost = normalize_cost
        self.method = method
        self.tol = tol
        self.max_iter = max_iter
        self.warn = warn
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Array,
        y: Any = None,
        *,
        X_target: Array | None = None,
        sample_weight: Array | None = None,
        target_weight: Array | None = None,
    ) -> Self:
        """Solve the transport from X to X_target.

        Parameters
        ----------
        X : array of shape (n, d)
            Source points.
        y : None
            Ignored, for scikit-learn's conventions.
        X_target : array of shape (m, d), default=None
            Target points; None means X itself.
        sample_weight : array of shape (n,), default=None
            Non-negative source weights, scaled to total 1; None means uniform.
        target_weight : array of shape (m,), default=None
            Non-negative target weights, scaled to total 1; None means uniform, or
            ``sample_weight`` when there is no ``X_target``.

        Returns
        -------
        SinkhornTransport
            The fitted estimator.
        """
        X = self._validate(X, reset=True)
        if X_target is None:
            target = X
            target_weight = sample_weight if target_weight is None else target_weight
        else:
            xp, _, where = get_namespace_and_device(X)
            target = self._validate(move_to(X_target, xp=xp, device=where), reset=False)
        a = check_weights("sample_weight", sample_weight, X)
        b = check_weights("target_weight", target_weight, target)
        M = pairwise_distances(X, target, self.metric)
        self.score_scale_ = median_cost(M, a, b)
        self.cost_scale_ = self.score_scale_ if self.normalize_cost else 1.0
        result = sinkhorn(
            a,
            b,
            M / self.cost_scale_,
            self.reg,
            method=self.method,
            tol=self.tol,
            max_iter=int(self.max_iter),
            warn=self.warn,
            verbose=int(self.verbose),
        )
        self.X_source_, self.X_target_ = X, target
        self.result_ = cast(SinkhornResult, result)
        self.potentials_ = result.f, result.g
        self.n_iter_ = max(1, result.n_iter)
        return self

    def transform(self, X: Array) -> Array:
        """Map points of the source space to the target.

        Parameters
        ----------
        X : array of shape (k, d)
            Points, old or new.

        Returns
        -------
        array of shape (k, d)
            Their images.
        """
        check_is_fitted(self)
        p = self.result_.problem
        return self._map(X, self.X_target_, p.b, self.potentials_[1], "transform")

    def inverse_transform(self, X: Array) -> Array:
        """Map points of the target space to the source.

        Parameters
        ----------
        X : array of shape (k, d)
            Points, old or new.

        Returns
        -------
        array of shape (k, d)
            Their images.
        """
        check_is_fitted(self)
        p = self.result_.problem
        f = self.potentials_[0]
        return self._map(X, self.X_source_, p.a, f, "inverse_transform")

    def score(self, X: Array, y: Any = None) -> float:
        """Return minus the Sinkhorn divergence between the images of X and the target.

        It is taken at a fixed regularisation, 5% of the median cost, so that scores of
        models with different ``reg`` compare.

        Parameters
        ----------
        X : array of shape (k, d)
            Points of the source space.
        y : None
            Ignored.

        Returns
        -------
        float
            At most 0 up to the tolerance; higher is better.
        """
        moved, target = self.transform(X), self.X_target_
        b = self.result_.problem.b
        cross = self._value(moved, target, None, b)
        return (
            0.5
            * (
                self._value(moved, moved, None, None)
                + self._value(target, target, b, b)
            )
            - cross
        )

    def _value(self, X: Array, Y: Array, a: Array | None, b: Array | None) -> float:
        """Transport value at the regularisation of the score."""
        M = pairwise_distances(X, Y, self.metric) / self.score_scale_
        result = sinkhorn(
            a, b, M, SCORE_REG, method=self.method, tol=self.tol, warn=self.warn
        )
        return result.value

    def _map(
        self, X: Array, points: Array, weights: Array, potential: Array, method: str
    ) -> Array:
        """Softmax-weighted means of the other cloud, a chunk of rows at a time."""
        check_same_namespace(X, self, attribute="X_target_", method=method)
        X = self._validate(X, reset=False)
        xp = array_namespace(X)
        points = xp.astype(points, X.dtype, copy=False)
        tiny = xp.finfo(X.dtype).smallest_normal
        log_weights = xp.log(
            xp.where(weights > 0, weights, xp.full_like(weights, tiny))
        )
        gamma = xp.astype(potential / self.reg + log_weights, X.dtype, copy=False)
        average = soft_average.for_namespace(xp)
        scale = 1.0 / (self.reg * self.cost_scale_)
        rows = max(1, CHUNK // points.shape[0])
        return xp.concat(
            [
                average(
                    pairwise_distances(
                        X[i : min(i + rows, X.shape[0]), :], points, self.metric
                    ),
                    gamma,
                    points,
                    scale,
                )
                for i in range(0, X.shape[0], rows)
            ],
            axis=0,
        )

    def _validate(self, X: Array, *, reset: bool) -> Array:
        """Validate points; ``reset`` records their features."""
        xp, _, where = get_namespace_and_device(X)
        dtypes = supported_float_dtypes(xp, where)
        return validate_data(self, X, dtype=dtypes, reset=reset)
