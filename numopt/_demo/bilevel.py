# SPDX-License-Identifier: BSD-3-Clause
"""Bilevel learning: a denoiser learned on a photograph, penalties per block."""

import time
import warnings
from pathlib import Path

import numpy as np

from numopt._demo._report import Row, write
from numopt.bilevel import BilevelLogisticRegression, TVDenoiser
from numopt.datasets import load_photograph


def section(out: Path) -> list[Row]:
    """Denoise a photograph; fit breast cancer with a block of noise."""
    return [_denoise(out), _penalties()]


def _denoise(out: Path) -> Row:
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(0)
    clean = [load_photograph(name).mean(axis=2) for name in ("china", "flower")]
    train, test = clean[0][120:216, 200:296], clean[1][100:228, 220:348]
    noisy = [one + 0.1 * rng.standard_normal(one.shape) for one in (train, test)]
    model = TVDenoiser().fit(noisy[0], train)
    denoised = model.predict(noisy[1])
    before = -10 * np.log10(np.mean((noisy[1] - test) ** 2))
    after = model.score(noisy[1], test)
    figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
    pictures = {"noisy": noisy[1], "denoised": denoised, "truth": test}
    for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
        ax.set_title(title)
        ax.axis("off")
    figure.savefig(out / "bilevel_denoised.png", bbox_inches="tight")
    plt.close(figure)
    result = model.result_
    write(f"weight {model.weight_:.3f} learned on one photograph, tried on another")
    return Row(
        "bilevel",
        "two photographs, noise 0.1",
        f"{before:.1f} -> {after:.1f} dB",
        f"training error to about {result.value_bound / result.value:.0e}",
        "none",
        "-",
    )


def _penalties() -> Row:
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.metrics import log_loss
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    X, y = load_breast_cancer(return_X_y=True)
    noise = np.random.default_rng(0).standard_normal((len(X), 100))
    X = StandardScaler().fit_transform(np.hstack([X, noise]))
    X, Xt, y, yt = train_test_split(X, y, test_size=0.4, random_state=0, stratify=y)
    ours = BilevelLogisticRegression(np.repeat([0, 1], [30, 100]))
    peer = LogisticRegressionCV(
        Cs=10,
        cv=5,
        scoring="neg_log_loss",
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    )
    seconds = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model in (ours, peer):
            model.fit(X, y)  # imports and caches
            started = time.process_time()
            model.fit(X, y)
            seconds.append(time.process_time() - started)
    losses = [log_loss(yt, model.predict_proba(Xt)) for model in (ours, peer)]
    write(f"test loss {losses[0]:.3f} with two penalties, {losses[1]:.3f} with one")
    return Row(
        "bilevel",
        "breast cancer and 100 columns of noise",
        f"log-loss {losses[0]:.3f}",
        f"cross-validated {ours.cv_loss_:.3f} (common {ours.cv_loss_common_:.3f})",
        f"LogisticRegressionCV ({losses[1]:.3f})",
        f"{seconds[1] / seconds[0]:.1f}x faster",
    )
