# SPDX-License-Identifier: BSD-3-Clause
"""Block coordinate descent: an audited path, and a segmented photograph."""

import time
from pathlib import Path

import numpy as np

from numopt._demo._report import Row, write
from numopt.coordinate import (
    ElasticNet,
    PathResult,
    Quadratic,
    dual_gap,
    enet_path,
    label_propagation,
)
from numopt.datasets import load_photograph
from numopt.plotting import PathDisplay
from numopt.plotting._axes import figure_and_axes

#: Ratio of the penalties, and the gap asked of the path.
L1_RATIO, TOL = 0.9, 1e-6
#: Marks on the photograph, as rows and columns from and to.
STROKES = (
    ((9, 12, 10, 310), (75, 78, 190, 310), (30, 33, 10, 60)),
    ((142, 145, 185, 270), (140, 142, 10, 35), (115, 118, 190, 240)),
    (
        *((22, 65, 100, 103), (85, 88, 55, 155), (100, 103, 52, 155)),
        *((112, 115, 55, 155), (131, 134, 50, 165), (155, 158, 45, 165)),
        *((167, 169, 90, 160), (186, 188, 115, 145)),
    ),
    (
        *((202, 205, 5, 125), (200, 203, 180, 310), (85, 195, 298, 301)),
        *((95, 125, 5, 10), (150, 165, 2, 6)),
    ),
)


def section(out: Path) -> list[Row]:
    """An elastic-net path on the diabetes interactions; labels spread over pixels."""
    return [_path(out), _segmentation(out)]


def _path(out: Path) -> Row:
    """Our path and scikit-learn's on the same grid, both audited by the same gap."""
    from sklearn.linear_model import enet_path as peer_path

    X, y = _interactions()

    def solve() -> PathResult:
        return enet_path(X, y, l1_ratio=L1_RATIO, n_alphas=50, eps=1e-2, tol=TOL)

    solve()  # compiles
    started = time.process_time()
    path = solve()
    ours = time.process_time() - started
    # The peer at its loosest tolerance whose answer passes the same audit.
    for peer_tol in (1e-3, 1e-4, 1e-5, 1e-6):
        started = time.process_time()
        _, coefs, _ = peer_path(
            X, y, l1_ratio=L1_RATIO, alphas=path.alphas, tol=peer_tol
        )
        theirs = time.process_time() - started
        gaps = [
            dual_gap(X, y, coefs[:, k], Quadratic(), ElasticNet(alpha, L1_RATIO))
            for k, alpha in enumerate(path.alphas)
        ]
        if max(gaps) <= TOL:
            break
    write(f"path of {path.alphas.size} strengths, {X.shape[1]} columns:")
    write(f"largest relative gap {path.dual_gaps.max():.1e},")
    write(f"of scikit-learn at tol={peer_tol:.0e}: {max(gaps):.1e}")
    display = PathDisplay.from_result(path)
    display.figure_.savefig(out / "coordinate_path.png", dpi=110)
    return Row(
        "coordinate",
        f"diabetes interactions {X.shape}",
        f"elastic-net path, {path.alphas.size} strengths",
        f"relative gap {path.dual_gaps.max():.0e}",
        f"scikit-learn (gap {max(gaps):.0e})",
        f"{theirs / ours:.1f}x faster",
    )


def _interactions() -> tuple[np.ndarray, np.ndarray]:
    """Standardised products of the ten measurements, and the centred target."""
    from sklearn.datasets import load_diabetes
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    X, y = load_diabetes(return_X_y=True)
    X = PolynomialFeatures(2, include_bias=False).fit_transform(X)
    X = np.asfortranarray(StandardScaler().fit_transform(X))
    return X, y - y.mean()


def _segmentation(out: Path) -> Row:
    """A few strokes on a photograph become regions."""
    image = load_photograph("china")[::2, ::2]
    shape = image.shape[:2]
    seeds = np.full(shape, -1)
    for label, strokes in enumerate(STROKES):
        for top, bottom, left, right in strokes:
            seeds[top:bottom, left:right] = label
    started = time.perf_counter()
    result = label_propagation(_pixel_graph(image), seeds.ravel())
    seconds = time.perf_counter() - started
    assert result.labels is not None
    residual = result.history["residual"][-1]
    write(f"{seeds.size} pixels, 4 labels: {seconds:.1f} s, {result.message}")
    figure, ax = figure_and_axes()
    ax.imshow(image)
    ax.contour(result.labels.reshape(shape), levels=[0.5, 1.5, 2.5], colors="red")
    ax.set_axis_off()
    figure.savefig(out / "coordinate_segmentation.png", dpi=110)
    return Row(
        "coordinate",
        f"photograph, {seeds.size} pixels",
        "sky, water, building, trees from strokes",
        f"relative residual {residual:.0e}",
        "none",
        "-",
    )


def _pixel_graph(image: np.ndarray) -> object:
    """Neighbouring pixels, weakly joined where colours differ."""
    from scipy.sparse import coo_array

    rows, columns = image.shape[:2]
    number = np.arange(rows * columns).reshape(rows, columns)
    i = np.concatenate([number[:, :-1].ravel(), number[:-1].ravel()])
    j = np.concatenate([number[:, 1:].ravel(), number[1:].ravel()])
    colours = image.reshape(-1, 3)
    distance = ((colours[i] - colours[j]) ** 2).sum(axis=1)
    weights = np.exp(-distance / (2 * 0.1**2)) + 1e-4
    W = coo_array((weights, (i, j)), shape=(number.size, number.size)).tocsr()
    return W + W.T
