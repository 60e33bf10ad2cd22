# SPDX-License-Identifier: BSD-3-Clause
"""The display of relevances."""

import numpy as np
import pytest

from numopt.sbl import SBLRegressor, sbl
from tests.sbl.data import sparse_model


def test_display_names_the_active_features():
    pytest.importorskip("matplotlib")
    from numopt.plotting import RelevanceDisplay

    A, y, *_ = sparse_model(40, 12, 3)
    model = SBLRegressor().fit(A, y)
    display = RelevanceDisplay.from_estimator(model, names=[f"f{j}" for j in range(12)])
    assert display.labels == [f"f{j}" for j in model.active_]
    np.testing.assert_allclose(display.coef, model.coef_[model.active_])
    assert len(RelevanceDisplay.from_result(sbl(A, y)).ax_.get_yticks()) > 0
