# SPDX-License-Identifier: BSD-3-Clause
"""Frequency responses: ripple and bound around constant and sloping bands."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from numopt.dmmv import design_fir
from numopt.plotting import FrequencyResponseDisplay


@pytest.mark.parametrize("desired", [[1, 0], [1, 0.8, 0, 0]])
def test_bound_lies_within_the_ripple(desired):
    bands = [0, 0.3, 0.7, 1]
    result = design_fir(9, bands, desired, weight=[1, 2], word_length=6)
    display = FrequencyResponseDisplay.from_result(
        result, bands, desired, weight=[1, 2]
    )
    assert len(display.bound_lines_) == 4
    ends = np.reshape(desired, (2, -1)) * np.ones(2)
    for i, line in enumerate(display.bound_lines_):
        reach = np.abs(line.get_ydata() - ends[i // 2])
        weighted = reach * [1, 2][i // 2]
        np.testing.assert_allclose(weighted, result.lower_bound)
        assert np.all(weighted <= result.ripple * (1 + 1e-9))
