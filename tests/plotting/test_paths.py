# SPDX-License-Identifier: BSD-3-Clause
import numpy as np

from numopt.coordinate import Null, Quadratic, bcd_solve, lasso_path, logistic_path
from numopt.plotting import BlockRulesDisplay, PathDisplay


def test_path_display_draws_what_is_ever_nonzero(rng):
    X = rng.standard_normal((40, 6))
    y = X[:, 0] - X[:, 1]
    path = lasso_path(X, y, n_alphas=6, eps=0.1)
    display = PathDisplay.from_result(
        path, chosen=path.alphas[2], feature_names=list("abcdef")
    )
    assert len(display.lines_) == np.count_nonzero(np.any(path.coefs != 0, axis=1))
    assert display.ax_.get_xscale() == "log"
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert set(labels) <= set("abcdef")
    assert {"a", "b"} <= set(labels)


def test_path_display_of_one_class(rng):
    X = rng.standard_normal((40, 3))
    path = logistic_path(X, np.arange(40) % 3, n_alphas=4, eps=0.2)
    display = PathDisplay.from_result(path, output=2)
    np.testing.assert_array_equal(display.coefs, path.coefs[2])


def test_rules_are_compared_on_one_scale(rng):
    X = rng.standard_normal((30, 8)) * np.arange(1, 9)
    y = rng.standard_normal(30)
    options = {"partition": "order", "update": "gradient", "max_iter": 25}
    results = {
        rule: bcd_solve(
            X, y, Quadratic(), Null(), selection=rule, warn=False, tol=1e-14, **options
        )
        for rule in ("cyclic", "GSL")
    }
    best = 0.5 * np.mean((y - X @ np.linalg.lstsq(X, y)[0]) ** 2)
    display = BlockRulesDisplay.from_results(results, optimum=best)
    assert [line.get_label() for line in display.lines_] == ["cyclic", "GSL"]
    for name, result in results.items():
        curve = display.excess[name]
        assert curve.size == result.history["objective"].size
        assert curve[0] == 1.0
        assert np.all(np.diff(curve) <= 1e-12)
        assert curve[-1] >= 0
    assert display.ax_.get_yscale() == "log"
    assert display.excess["GSL"][-1] < display.excess["cyclic"][-1]
