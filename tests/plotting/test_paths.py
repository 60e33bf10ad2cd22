# SPDX-License-Identifier: BSD-3-Clause
import numpy as np

from numopt.coordinate import lasso_path, logistic_path
from numopt.plotting import PathDisplay


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
