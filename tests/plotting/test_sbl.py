# SPDX-License-Identifier: BSD-3-Clause
"""Displays of relevances and of the evidence."""

import numpy as np
import pytest

from numopt.plotting import EvidenceDisplay, RelevanceDisplay
from numopt.sbl import SBLRegressor, sbl
from tests.sbl.data import sparse_model


def test_display_names_the_active_features():
    A, y, *_ = sparse_model(40, 12, 3)
    model = SBLRegressor().fit(A, y)
    display = RelevanceDisplay.from_estimator(model, names=[f"f{j}" for j in range(12)])
    assert display.labels == [f"f{j}" for j in model.active_]
    np.testing.assert_allclose(display.coef, model.coef_[model.active_])
    assert len(RelevanceDisplay.from_result(sbl(A, y)).ax_.get_yticks()) > 0


def test_display_of_several_targets_shows_their_size():
    A, y, *_ = sparse_model(40, 12, 3)
    result = sbl(A, np.stack([3 * y, 4 * y], axis=1))
    coef = result.coef[result.active]
    size = np.sqrt((coef**2).mean(axis=1))
    np.testing.assert_allclose(RelevanceDisplay.from_result(result).coef, size)


def test_display_of_the_evidence():
    A, y, *_ = sparse_model(40, 12, 3)
    results = {name: sbl(A, y, method=name, warn=False) for name in ("fast", "mm")}
    display = EvidenceDisplay.from_results(results)
    for line, result in zip(display.lines_, results.values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), result.history["log_evidence"])
    model = SBLRegressor().fit(A, y)
    assert len(EvidenceDisplay.from_estimator(model).lines_) == 1
    products_only = sbl(A, y, method="cofem", random_state=0)
    with pytest.raises(ValueError, match="no log evidence"):
        EvidenceDisplay.from_results({"cofem": products_only})
