# SPDX-License-Identifier: BSD-3-Clause
"""The only user of scikit-learn helpers that are private or differ between versions."""

from sklearn.base import _fit_context as fit_context
from sklearn.utils import _array_api
from sklearn.utils._array_api import get_namespace_and_device, move_to
from sklearn.utils._param_validation import (
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import (
    _check_sample_weight as check_sample_weight,
)
from sklearn.utils.validation import (
    validate_data,
)

__all__ = [
    "Interval",
    "Options",
    "StrOptions",
    "check_same_namespace",
    "check_sample_weight",
    "fit_context",
    "get_namespace_and_device",
    "move_to",
    "supported_float_dtypes",
    "validate_data",
    "validate_parameter_constraints",
]


def supported_float_dtypes(xp, device=None):
    """The floats of a device that numopt computes in; others are converted."""
    known = _array_api.supported_float_dtypes(xp, device)
    return [dtype for dtype in known if dtype in (xp.float64, xp.float32)]


try:
    from sklearn.utils._array_api import check_same_namespace
except ImportError:  # scikit-learn 1.8

    def check_same_namespace(X, estimator, *, attribute, method):
        """Check that X lives where the fitted attribute lives."""
        fitted = getattr(estimator, attribute)
        xp_fit, _, device_fit = get_namespace_and_device(fitted)
        xp, _, device = get_namespace_and_device(X)
        if xp is not xp_fit or device != device_fit:
            raise ValueError(
                f"{type(estimator).__name__}.{method} expects arrays of the library "
                f"and device used in fit ({xp_fit.__name__}, {device_fit}), got "
                f"{xp.__name__}, {device}"
            )
