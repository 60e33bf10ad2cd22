# SPDX-License-Identifier: BSD-3-Clause
"""Checks that an estimator cannot pass, each with its reason, and how to make them.

``INSTANCES`` holds a factory where the default constructor is unsuited to the tiny
data of scikit-learn's checks.
"""

from collections.abc import Callable
from typing import Any

EXPECTED_FAILURES: dict[str, dict[str, str]] = {}

INSTANCES: dict[str, Callable[[], Any]] = {}


def _bcd_regressor() -> Any:
    # The checks weaken `alpha` where they find one; here it sits in the penalty.
    from numopt.coordinate import L1, BCDRegressor

    return BCDRegressor(penalty=L1(0.01))


def _bcd_classifier() -> Any:
    # Weighted and repeated samples are compared to 1e-7.
    from numopt.coordinate import BCDClassifier

    return BCDClassifier(tol=1e-12)


def _sparse_logistic() -> Any:
    from numopt.coordinate import SparseLogisticRegression

    return SparseLogisticRegression(tol=1e-12)


def _logistic_cv() -> Any:
    # Tiny data: a short grid without the nearly separable end.
    from numopt.coordinate import SparseLogisticRegressionCV

    return SparseLogisticRegressionCV([0.1, 1.0], cv=2, tol=1e-12)


def _short_grid(name: str) -> Callable[[], Any]:
    # The checks fit hundreds of times; the length of the grid is not their subject.
    def make() -> Any:
        import numopt.coordinate

        return getattr(numopt.coordinate, name)(n_alphas=5, cv=3)

    return make


INSTANCES |= {
    **{name: _short_grid(name) for name in ("LassoCV", "ElasticNetCV", "GroupLassoCV")},
    "BCDClassifier": _bcd_classifier,
    "BCDRegressor": _bcd_regressor,
    "SparseLogisticRegression": _sparse_logistic,
    "SparseLogisticRegressionCV": _logistic_cv,
}

# `test_pairs.py` asks the same of pairs, where all of them pass.
_PAIRS = "X has two columns, row and column numbers; the check feeds three or more"

EXPECTED_FAILURES["MatrixCompletionRegressor"] = dict.fromkeys(
    (
        "check_array_api_input",
        "check_dict_unchanged",
        "check_dont_overwrite_parameters",
        "check_dtype_object",
        "check_estimators_dtypes",
        "check_estimators_nan_inf",
        "check_estimators_pickle",
        "check_f_contiguous_array_estimator",
        "check_fit2d_predict1d",
        "check_fit_score_takes_y",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_n_features_in_after_fitting",
        "check_non_transformer_estimators_n_iter",
        "check_pipeline_consistency",
        "check_regressor_data_not_an_array",
        "check_regressors_int",
        "check_regressors_no_decision_function",
        "check_regressors_train",
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weights_list",
        "check_supervised_y_2d",
    ),
    _PAIRS,
)


def _sinkhorn_transport() -> Any:
    from numopt.ot import SinkhornTransport

    # Weights and repetition agree to ``tol`` times the condition of the potentials,
    # which small regularisation makes large; the check compares to 1e-7.
    return SinkhornTransport(reg=0.5, tol=1e-11)


INSTANCES["SinkhornTransport"] = _sinkhorn_transport


def _sdp_k_means() -> Any:
    # The checks fit dozens of tiny overlapping mixtures: a solved relaxation of each
    # would take seconds.
    from numopt.cluster import SDPKMeans

    return SDPKMeans(n_clusters=3, n_init=2, gap_tol=1e-2, max_iter=20)


def _likelihood_adjusted_sdp() -> Any:
    from numopt.cluster import LikelihoodAdjustedSDP

    return LikelihoodAdjustedSDP(n_clusters=2, n_init=1, max_outer=1, max_iter=20)


INSTANCES |= {
    "LikelihoodAdjustedSDP": _likelihood_adjusted_sdp,
    "SDPKMeans": _sdp_k_means,
}


def _bilevel(name: str) -> Callable[[], Any]:
    # Few rows in a class: few folds. Weights are compared to repetition to 1e-7.
    def make() -> Any:
        import numopt.bilevel

        return getattr(numopt.bilevel, name)(cv=2, shrinkage=0.0, tol=1e-12)

    return make


INSTANCES |= {
    name: _bilevel(name) for name in ("BilevelLogisticRegression", "BilevelRidge")
}

# `score` takes an image: its shape has nothing to do with the sinogram's.
EXPECTED_FAILURES["DiscreteTomography"] = dict.fromkeys(
    (
        "check_array_api_input",
        "check_fit_score_takes_y",
        "check_n_features_in_after_fitting",
        "check_pipeline_consistency",
    ),
    "score compares the reconstruction with an image, not with a sinogram",
)

#: Rounding decides whether these pass: the penalties are learned iteratively.
LEFT_TO_ROUNDING: dict[tuple[str, str], str] = {
    (
        "BilevelLogisticRegression",
        "check_sample_weight_equivalence_on_sparse_data",
    ): "weights and repetition agree to 2e-7, the check compares to 1e-7"
}

# The check validates on copies of the training rows: no penalty is the best penalty.
LEFT_TO_ROUNDING |= dict.fromkeys(
    (
        ("BilevelRidge", "check_sample_weight_equivalence_on_dense_data"),
        ("BilevelRidge", "check_sample_weight_equivalence_on_sparse_data"),
    ),
    "the best penalty of the check's data is zero, at minus infinity of its "
    "logarithm; where on the way the iteration stops is left to rounding",
)
