# SPDX-License-Identifier: BSD-3-Clause
"""The two photographs that ship in scikit-learn."""

import numpy as np

from numopt._validation import check_choice

__all__ = ["load_photograph", "load_photographs"]

_NAMES = ("china", "flower")


def load_photograph(name: str) -> np.ndarray:
    """Load one photograph that ships in scikit-learn.

    Parameters
    ----------
    name : str
        "china" or "flower".

    Returns
    -------
    ndarray of shape (427, 640, 3)
        Colours in [0, 1], float64.

    Raises
    ------
    ValueError
        When the name is unknown.

    Examples
    --------
    >>> from numopt.datasets import load_photograph
    >>> load_photograph("flower").shape
    (427, 640, 3)
    """
    # scikit-learn is imported on use: the data are its own.
    from sklearn.datasets import load_sample_image

    image = load_sample_image(f"{check_choice('name', name, _NAMES)}.jpg")
    return image.astype(np.float64) / 255.0


def load_photographs() -> tuple[np.ndarray, np.ndarray]:
    """Load both photographs that ship in scikit-learn.

    Returns
    -------
    china, flower : ndarray of shape (427, 640, 3)
        Colours in [0, 1], float64.

    Examples
    --------
    >>> from numopt.datasets import load_photographs
    >>> china, flower = load_photographs()
    >>> china.shape == flower.shape
    True
    """
    return load_photograph("china"), load_photograph("flower")
