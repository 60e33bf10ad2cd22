# SPDX-License-Identifier: BSD-3-Clause
"""Sparse Bayesian learning: diabetes with pairwise features, and a radio channel."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from numopt._demo._report import Row, write
from numopt.datasets import make_irs_mimo
from numopt.plotting import RelevanceDisplay
from numopt.sbl import SBLRegressor, kronecker_sbl


def section(out: Path) -> list[Row]:
    """Fit diabetes against ARDRegression; estimate one radio channel."""
    return [_diabetes(out), _channel()]


def _diabetes(out: Path) -> Row:
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import ARDRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.preprocessing import PolynomialFeatures, scale
    from threadpoolctl import threadpool_limits

    diabetes = load_diabetes()
    y = diabetes.target
    expand = PolynomialFeatures(2, include_bias=False)
    X = scale(expand.fit_transform(diabetes.data))
    names = expand.get_feature_names_out(diabetes.feature_names)
    # Threads slow the peer's small matrices down by a factor: one is fair.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer warns of its iteration limit
        scores = [
            cross_val_score(model, X, y).mean()
            for model in (SBLRegressor(), ARDRegression())
        ]
    model, peer = SBLRegressor().fit(X, y), ARDRegression()
    with threadpool_limits(1):
        ours = _seconds(lambda: SBLRegressor().fit(X, y), 20)
        ratio = _seconds(lambda: peer.fit(X, y), 1) / ours
    display = RelevanceDisplay.from_estimator(model, names=names)
    display.figure_.savefig(out / "sbl_relevance.png", bbox_inches="tight")
    write(f"{model.active_.size} of {X.shape[1]} features, cross-validated R2")
    write(f"{scores[0]:.3f} against {scores[1]:.3f} of ARDRegression")
    return Row(
        "sbl",
        "diabetes, 65 pairwise features",
        f"{model.active_.size} features, R2 {scores[0]:.3f}",
        f"gain left {model.result_.history['residual'][-1]:.0e} nats",
        f"ARDRegression (R2 {scores[1]:.3f})",
        f"{ratio:.0f}x faster",
    )


def _seconds(run: Callable[[], object], repeats: int) -> float:
    started = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - started) / repeats


def _channel() -> Row:
    data = make_irs_mimo(snr_db=12.0, random_state=0)
    result = kronecker_sbl(data.factors, data.y)
    svd = kronecker_sbl(data.factors, data.y, method="svd", warn=False)
    error, other = data.nmse(result.coef), data.nmse(svd.coef)
    write(f"channel error {error:.1e} against {other:.1e} of the published method")
    level = np.sqrt(result.noise_var / data.noise_var)
    return Row(
        "sbl",
        "radio channel over a surface, 12 dB, 5832 atoms",
        f"channel error {error:.1e}",
        f"noise level found {level:.2f} of true",
        "SVD-KroSBL (own version)",
        f"error {other / error:.1f}x smaller",
    )
