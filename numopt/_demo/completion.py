# SPDX-License-Identifier: BSD-3-Clause
"""A photograph with half of its pixels lost, and a table with holes."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from numopt._demo._report import Row
from numopt.completion import LowRankImputer, complete
from numopt.datasets import load_photograph

__all__ = ["section"]


def section(out: Path) -> list[Row]:
    """Restore an image and impute a table; write the image before and after."""
    return [_inpainting(out), _imputation()]


def _inpainting(out: Path) -> Row:
    truth = load_photograph("china").mean(axis=2)[::3, ::3]
    lost = np.random.default_rng(0).random(truth.shape) < 0.5
    X = np.where(lost, np.nan, truth)
    result = complete(
        X, 25, alpha=1.0, bias="both", max_iter=40, tol=1e-3, random_state=0
    )
    restored = np.where(lost, np.clip(result.to_dense(), 0, 1), truth)
    error = _rmse(restored, truth, lost)
    columns = np.where(lost, np.nanmean(X, axis=0), truth)
    plain = _rmse(columns, truth, lost)
    _write_images(out, {"lost": X, "restored": restored, "truth": truth})
    return Row(
        family="completion",
        data=f"photograph {truth.shape[0]} x {truth.shape[1]}, 50 % of pixels lost",
        result=f"rank {result.rank}, RMSE {error:.4f}",
        certificate=f"relative decrease {result.history['residual'][-1]:.1e}",
        peer=f"column means, RMSE {plain:.4f}",
        ratio=f"error {plain / error:.1f}x smaller",
    )


def _imputation() -> Row:
    # The enabling import must come before the class it enables.
    from sklearn.datasets import load_breast_cancer
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    truth = load_breast_cancer().data
    truth = (truth - truth.mean(axis=0)) / truth.std(axis=0)
    lost = np.random.default_rng(0).random(truth.shape) < 0.2
    X = np.where(lost, np.nan, truth)
    LowRankImputer(rank=15).fit(X)  # compiles
    times, errors = [], []
    for imputer in (LowRankImputer(rank=15), IterativeImputer(tol=1e-2)):
        started = time.process_time()
        filled = imputer.fit_transform(X)
        times.append(time.process_time() - started)
        errors.append(_rmse(filled, truth, lost))
    return Row(
        family="completion",
        data="breast cancer table 569 x 30, 20 % of entries lost",
        result=f"rank 15, RMSE {errors[0]:.4f}",
        certificate="the likelihood never falls",
        peer=f"IterativeImputer, RMSE {errors[1]:.4f}",
        ratio=f"{times[1] / times[0]:.1f}x faster",
    )


def _rmse(filled: np.ndarray, truth: np.ndarray, lost: np.ndarray) -> float:
    return float(np.sqrt(np.mean((filled - truth)[lost] ** 2)))


def _write_images(out: Path, images: dict[str, Any]) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(images), figsize=(12, 3), layout="constrained")
    for ax, (title, image) in zip(axes, images.items(), strict=True):
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.set_title(title)
        ax.axis("off")
    figure.savefig(out / "completion_inpainting.png", dpi=100)
    plt.close(figure)
