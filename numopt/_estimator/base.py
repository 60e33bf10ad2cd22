# SPDX-License-Identifier: BSD-3-Clause
"""What every estimator of numopt shares."""

from typing import Any

from sklearn.base import BaseEstimator

from numopt._estimator.sklearn_compat import (
    check_same_namespace,
    supported_float_dtypes,
    validate_data,
)
from numopt.typing import Array

__all__ = ["ArrayEstimator"]


class ArrayEstimator(BaseEstimator):
    """A scikit-learn estimator that also takes array-API input.

    Array-API input is accepted inside ``sklearn.config_context(
    array_api_dispatch=True)``, as for scikit-learn's own estimators.
    """

    def __sklearn_tags__(self) -> Any:
        """Declare array-API support."""
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    def _validate_fit(self, X: Array, *, xp: Any, device: Any, **options: Any) -> Array:
        """Validate training data and record its features."""
        return validate_data(
            self, X, dtype=supported_float_dtypes(xp, device), **options
        )

    def _validate_new(
        self,
        X: Array,
        *,
        xp: Any,
        device: Any,
        attribute: str,
        method: str,
        **options: Any,
    ) -> Array:
        """Validate data given after fit: same namespace, same features."""
        check_same_namespace(X, self, attribute=attribute, method=method)
        return validate_data(
            self, X, dtype=supported_float_dtypes(xp, device), reset=False, **options
        )
