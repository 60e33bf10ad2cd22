# SPDX-License-Identifier: BSD-3-Clause
"""Quantise a layer: fit grids and codes to its weights and calibration inputs."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from numopt import _validation as v
from numopt._estimator.sklearn_compat import (
    Interval,
    StrOptions,
    fit_context,
    validate_data,
)
from numopt.dmmv._solvers.minimize import thread_context
from numopt.dmmv._solvers.quantize import Factor, Quantization, check_calibration
from numopt.typing import Array

__all__ = ["MinMaxQuantizer"]


class MinMaxQuantizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Round the weights of a linear layer to few bits, guided by calibration inputs.

    The rows of the training array are the inputs of the layer and its columns the
    outputs, as in the ``coefs_`` of scikit-learn's networks.

    Parameters
    ----------
    bits : int, default=4
        Bits of a code, 1 to 8.
    group_size : int, default=None
        Inputs that share a grid; None means one grid for each output.
    symmetric : bool, default=False
        Whether grids are symmetric about 0.
    objective : {"mix", "max", "mse"}, default="mix"
        Worst calibration error among codes whose mean square is within 5% of the best
        found; worst error alone; mean square alone.
    method : {"beam", "babai", "round"}, default="beam"
        K-best search; nearest plane, which is GPTQ; nearest rounding.
    beam_width : int, default=64
        Partial codes kept.
    damping : float, default=0.01
        Added to the second moments of the inputs, relative to their mean.
    clip_search : bool, default=True
        Whether grids that clip the largest weights are tried.
    random_state : int, RandomState or None, default=None
        Unused: the search is deterministic. Kept for interchangeable pipelines.
    n_jobs : int, default=None
        Number of threads; None leaves numopt's setting.

    Attributes
    ----------
    codes_ : ndarray of shape (n_in, n_out), uint8
        Codes of the training weights.
    scales_ : ndarray of shape (n_groups, n_out)
        Step of each grid.
    zeros_ : ndarray of shape (n_groups, n_out)
        Code of the value 0.
    weights_ : ndarray of shape (n_in, n_out)
        Dequantised weights.
    violation_ : ndarray of shape (n_out,)
        Largest absolute output error over the calibration rows.
    lower_bound_ : ndarray of shape (n_out,)
        Lower bounds on it for the same grid, often 0.
    result_ : QuantResult
        All of it, with mean-square errors.
    n_features_in_ : int
        Number of outputs (columns).

    See Also
    --------
    quantize_layer : The same as a function.

    Notes
    -----
    Without calibration inputs the weights are rounded to the nearest code of a grid
    whose clipping is chosen by squared error.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.dmmv import MinMaxQuantizer
    >>> rng = np.random.default_rng(0)
    >>> W, X = rng.standard_normal((16, 4)), rng.standard_normal((80, 16))
    >>> quantizer = MinMaxQuantizer(bits=3).fit(W, X=X)
    >>> quantizer.codes_.dtype, quantizer.weights_.shape
    (dtype('uint8'), (16, 4))
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "bits": [Interval(Integral, 1, 8, closed="both")],
        "group_size": [Interval(Integral, 1, None, closed="left"), None],
        "symmetric": ["boolean"],
        "objective": [StrOptions({"mix", "max", "mse"})],
        "method": [StrOptions({"beam", "babai", "round"})],
        "beam_width": [Interval(Integral, 1, None, closed="left")],
        "damping": [Interval(Real, 0, None, closed="left")],
        "clip_search": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        bits: int = 4,
        *,
        group_size: int | None = None,
        symmetric: bool = False,
        objective: str = "mix",
        method: str = "beam",
        beam_width: int = 64,
        damping: float = 0.01,
        clip_search: bool = True,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.bits = bits
        self.group_size = group_size
        self.symmetric = symmetric
        self.objective = objective
        self.method = method
        self.beam_width = beam_width
        self.damping = damping
        self.clip_search = clip_search
        self.random_state = random_state
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        """Declare that codes are integers whatever the dtype of the weights."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, W: Array, y: Any = None, *, X: Any = None) -> Self:
        """Choose grids and codes.

        Parameters
        ----------
        W : array-like of shape (n_in, n_out)
            Weights.
        y : None
            Ignored.
        X : array-like of shape (samples, n_in), default=None
            Calibration inputs of the layer.

        Returns
        -------
        MinMaxQuantizer
            The estimator itself.
        """
        weights = validate_data(self, W, dtype=np.float64)
        rows = check_calibration(X, weights.shape[0])
        options = self._options()
        with thread_context(self.n_jobs):
            self._grid, self.result_ = options.fit(weights, rows)
        self._calibration = rows
        self.codes_ = self.result_.codes
        self.scales_ = self.result_.scales
        self.zeros_ = self.result_.zeros
        self.weights_ = self.result_.weights
        self.violation_ = self.result_.violation
        self.lower_bound_ = self.result_.lower_bound
        return self

    def _options(self) -> Quantization:
        return Quantization(
            bits=self.bits,
            group_size=self.group_size,
            symmetric=self.symmetric,
            objective=self.objective,
            method=self.method,
            beam_width=self.beam_width,
            damping=self.damping,
            clip_search=self.clip_search,
        )

    def transform(self, W: Array) -> np.ndarray:
        """Return codes of weights on the fitted grids.

        Parameters
        ----------
        W : array-like of shape (n_in, n_out)
            Weights. The number of inputs must be that of ``fit`` when there were
            calibration inputs or groups.

        Returns
        -------
        ndarray of shape (n_in, n_out), uint8
            Codes; those of ``codes_`` for the training weights.
        """
        check_is_fitted(self)
        weights = validate_data(self, W, dtype=np.float64, reset=False)
        grid, rows = self._grid, self._calibration
        if rows is None and self.scales_.shape[0] == 1:
            # one grid an output: any number of inputs, each rounded by itself
            raw = np.rint(weights / grid.scales) + grid.zeros
            return np.clip(raw, 0, grid.top).astype(np.uint8)
        v.check_shape("W", weights, self.weights_.shape, why="as in `fit`")
        with thread_context(self.n_jobs):
            factor = None if rows is None else Factor.of(rows, self.damping)
            return self._options().encode(weights, rows, grid, factor).codes

    def inverse_transform(self, codes: Array) -> np.ndarray:
        """Return the weights that codes stand for.

        Parameters
        ----------
        codes : array-like of shape (n_in, n_out)
            Codes.

        Returns
        -------
        ndarray of shape (n_in, n_out)
            Dequantised weights.
        """
        check_is_fitted(self)
        values = np.asarray(codes, dtype=np.float64)
        if self.scales_.shape[0] == 1:
            return self.scales_ * (values - self.zeros_)
        v.check_shape("codes", values, self.weights_.shape, why="as in `fit`")
        return self._grid.decode(values)

    def score(self, W: Array, y: Any = None, *, X: Any = None) -> float:
        """Return minus the worst output error of the quantised weights.

        Parameters
        ----------
        W : array-like of shape (n_in, n_out)
            Weights.
        y : array-like of shape (samples, n_in), default=None
            Inputs, when given by position.
        X : array-like of shape (samples, n_in), default=None
            Inputs; None and no ``y`` means unit vectors.

        Returns
        -------
        float
            ``-max |X (W - quantised W)|``.
        """
        weights = np.asarray(W, dtype=np.float64)
        change = weights - self.inverse_transform(self.transform(W))
        rows = y if X is None and np.ndim(y) == 2 else X
        rows = check_calibration(rows, weights.shape[0])
        error = change if rows is None else rows @ change
        return -float(np.max(np.abs(error)))
