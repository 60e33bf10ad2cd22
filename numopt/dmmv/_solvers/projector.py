# SPDX-License-Identifier: BSD-3-Clause
"""Parallel-beam projection as a sparse matrix, in scikit-image's geometry."""

from typing import TYPE_CHECKING, Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import to_numpy

if TYPE_CHECKING:
    from scipy.sparse import csc_array

__all__ = ["detector_count", "parallel_beam_matrix"]


def detector_count(shape: tuple[int, int], circle: bool) -> int:
    """Detectors of ``skimage.transform.radon``: the diagonal, or the side."""
    if circle:
        return min(shape)
    return int(np.ceil(np.sqrt(2) * max(shape)))


def parallel_beam_matrix(
    image_shape: tuple[int, int],
    theta: Any,
    *,
    n_detectors: int | None = None,
    circle: bool = False,
) -> "csc_array":
    r"""Return the matrix that projects an image along parallel rays.

    The centre of a pixel in row r and column c falls on the detector coordinate

    .. math:: (c - c_0) \cos\theta - (r - r_0) \sin\theta

    and its value is shared between the two nearest detectors in proportion.

    Parameters
    ----------
    image_shape : tuple of int
        Rows and columns of the image.
    theta : array-like of shape (n_angles,)
        Angles in degrees, as in ``skimage.transform.radon``.
    n_detectors : int, default=None
        Detectors; None means those of scikit-image, ``ceil(sqrt(2) max(image_shape))``
        or the shorter side when ``circle``.
    circle : bool, default=False
        Whether pixels outside the inscribed circle are left out.

    Returns
    -------
    scipy.sparse.csc_array of shape (n_detectors * n_angles, rows * columns)
        ``A @ image.ravel()`` reshaped to (n_detectors, n_angles) is the sinogram. Each
        column sums to the number of angles, unless a pixel falls off the detectors.

    Raises
    ------
    ValueError
        When a size is not positive or an angle is not finite.

    Notes
    -----
    scikit-image rotates about the centre ``n // 2`` of the padded square image. The
    centre of the detectors is ``n_detectors // 2``, as there.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.dmmv import parallel_beam_matrix
    >>> A = parallel_beam_matrix((4, 4), [0.0])
    >>> image = np.zeros((4, 4))
    >>> image[:, 1] = 1.0
    >>> (A @ image.ravel()).tolist()
    [0.0, 0.0, 4.0, 0.0, 0.0, 0.0]
    """
    from scipy.sparse import csc_array

    if len(image_shape) != 2:
        raise ValueError(v.message("image_shape", "a pair of sizes", image_shape))
    rows, columns = (v.check_int("image_shape", size, low=1) for size in image_shape)
    _, (angles,) = v.float_arrays(theta=theta)
    angles = np.deg2rad(to_numpy(angles).astype(np.float64))
    v.check_ndim("theta", angles, 1)
    v.check_values("theta", angles)
    circle = v.check_flag("circle", circle)
    if n_detectors is None:
        n_detectors = detector_count((rows, columns), circle)
    count = v.check_int("n_detectors", n_detectors, low=1)
    y = np.arange(rows)[:, None] - rows // 2
    x = np.arange(columns)[None, :] - columns // 2
    inside = np.ones((rows, columns), bool)
    if circle:
        radius = min(rows, columns) // 2
        inside = x**2 + y**2 <= radius**2
    pixels = np.flatnonzero(inside)
    coordinates = np.cos(angles)[:, None] * np.broadcast_to(x, inside.shape)[inside]
    coordinates -= np.sin(angles)[:, None] * np.broadcast_to(y, inside.shape)[inside]
    coordinates += count // 2
    left = np.floor(coordinates + 1e-9).astype(np.int64)
    share = np.clip(coordinates - left, 0.0, 1.0)
    detector = np.stack([left, left + 1])
    value = np.stack([1.0 - share, share])
    angle = np.broadcast_to(np.arange(angles.size)[None, :, None], detector.shape)
    pixel = np.broadcast_to(pixels, detector.shape)
    kept = (detector >= 0) & (detector < count) & (value > 1e-9)
    shape = (count * angles.size, rows * columns)
    entries = (value[kept], (detector[kept] * angles.size + angle[kept], pixel[kept]))
    return csc_array(entries, shape=shape)
