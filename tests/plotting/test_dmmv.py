# SPDX-License-Identifier: BSD-3-Clause
"""Displays of min-max violation: responses, profiles and images as the results say."""

import numpy as np
import pytest

from numopt.dmmv import (
    DiscreteTomography,
    design_fir,
    minimize_max_violation,
    parallel_beam_matrix,
)
from numopt.plotting import (
    FrequencyResponseDisplay,
    ReconstructionDisplay,
    ResidualProfileDisplay,
)


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


def test_profile_starts_at_the_violation():
    rng = np.random.default_rng(0)
    result = minimize_max_violation(rng.random((12, 6)), rng.random(12), (0, 1))
    display = ResidualProfileDisplay.from_result(result, color="red")
    drawn = display.lines_[0].get_ydata()
    assert drawn[0] == result.violation
    assert np.all(np.diff(drawn) <= 0)
    assert display.lines_[0].get_color() == "red"
    bound = display.ax_.lines[1].get_ydata()
    np.testing.assert_array_equal(bound, result.lower_bound)


def test_wrong_pixels_are_marked():
    image = np.zeros((12, 12))
    image[3:8, 4:9] = 1.0
    theta = [0.0, 45.0, 90.0, 135.0]
    sinogram = parallel_beam_matrix((12, 12), theta) @ image.ravel()
    model = DiscreteTomography(theta=theta, image_shape=(12, 12), noise=0.1)
    model.fit(sinogram.reshape(-1, 4))
    claimed = model.image_.copy()
    claimed[5, 2] = 1 - claimed[5, 2]
    display = ReconstructionDisplay.from_estimator(model, truth=claimed)
    np.testing.assert_array_equal(display.image_.get_array(), model.image_)
    np.testing.assert_array_equal(display.wrong_.get_offsets(), [[2, 5]])
    assert ReconstructionDisplay.from_estimator(model).wrong_ is None
