# SPDX-License-Identifier: BSD-3-Clause
"""Displays of clustering: what is drawn is what the results say."""

import numpy as np
import pytest

from numopt.cluster import kmeans_sdp, kmeans_sdp_path
from numopt.plotting import CertifiedInertiaDisplay, GapDisplay, MembershipDisplay

X = np.array([[0.0], [0.1], [5.0], [5.1], [5.2]])


def test_gap_display_marks_what_is_proved():
    path = kmeans_sdp_path(X, [1, 2, 3])
    display = GapDisplay.from_path(path)
    curve, proved = display.lines_
    assert curve.get_xdata().tolist() == [1, 2, 3]
    assert np.all(curve.get_ydata() >= display.floor)
    expected = [K for K, result in path.items() if result.gap <= display.floor]
    assert proved.get_xdata().tolist() == expected
    assert 2 in expected


@pytest.mark.parametrize(
    ("gap", "names"), [([0.1, 0.0], ["gap", "proved"]), ([0.1, 0.2], ["gap"])]
)
def test_gap_display_names_only_what_it_draws(gap, names):
    legend = GapDisplay([2, 3], gap).plot().ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == names


def test_certified_inertia_display_reaches_from_bound_to_inertia():
    result = kmeans_sdp(X, 2, random_state=0)
    bar = CertifiedInertiaDisplay.from_results({"two": result}).bars_[0]
    assert bar.get_y() == pytest.approx(result.lower_bound)
    assert bar.get_y() + bar.get_height() == pytest.approx(result.inertia)


def test_membership_display_sorts_rows_by_label():
    result = kmeans_sdp(X[[0, 2, 1, 3, 4]], 2, random_state=0)
    drawn = MembershipDisplay.from_result(result).image_.get_array()
    np.testing.assert_allclose(drawn[:2, :2], 0.5)
    np.testing.assert_allclose(drawn[:2, 2:], 0.0, atol=1e-12)
    without = kmeans_sdp(X, 2, return_membership=False, random_state=0)
    with pytest.raises(ValueError, match="return_membership"):
        MembershipDisplay.from_result(without)
