# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest

from numopt.datasets import load_photograph, make_transport_problem


def test_photograph_names():
    with pytest.raises(ValueError, match="one of 'china', 'flower'"):
        load_photograph("dog")
    image = load_photograph("china")
    assert image.shape == (427, 640, 3)
    assert 0 <= image.min() < image.max() <= 1


@pytest.mark.parametrize(
    "name", ["pts2d", "pts10d", "grid1d", "img32_L1", "dig32_L2", "assignment"]
)
def test_transport_problems_are_normalised_and_repeatable(name):
    problem = make_transport_problem(name, 40)
    assert problem.M.shape == (problem.a.size, problem.b.size)
    assert problem.a.sum() == pytest.approx(1)
    assert problem.b.sum() == pytest.approx(1)
    assert np.min(problem.a) > 0
    assert np.max(problem.M) == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(problem.M, make_transport_problem(name, 40).M)


def test_unknown_transport_problem():
    with pytest.raises(ValueError, match="'pts2d'"):
        make_transport_problem("nothing")
