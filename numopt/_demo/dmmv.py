# SPDX-License-Identifier: BSD-3-Clause
"""Discrete min-max violation: an 8-bit filter, and a digits network in 3 bits."""

import warnings
from pathlib import Path

import numpy as np

from numopt._demo._report import Row, write
from numopt.dmmv import MinMaxQuantizer, design_fir
from numopt.plotting import FrequencyResponseDisplay


def section(out: Path) -> list[Row]:
    """Design one filter against rounded remez; quantise one hidden layer."""
    return [_filter(out), _network()]


def _filter(out: Path) -> Row:
    from scipy import signal

    from numopt.dmmv import fir_ripple

    bands, desired = [0, 0.24, 0.4, 0.68, 0.84, 1], [1, 0, 1]
    result = design_fir(35, bands, desired, word_length=8, time_limit=2.0)
    real = signal.remez(35, bands, desired, fs=2.0, maxiter=100)
    rounded = fir_ripple(np.rint(real * 128) / 128, bands, desired)
    display = FrequencyResponseDisplay.from_result(result, bands, desired)
    display.figure_.savefig(out / "dmmv_filter.png", bbox_inches="tight")
    write(f"ripple {result.ripple:.5f}, rounded remez {rounded:.5f}")
    return Row(
        "dmmv",
        "band-stop filter, 35 taps of 8 bits",
        f"ripple {result.ripple:.5f}",
        f"lower bound {result.lower_bound:.5f}",
        "rounded remez",
        f"{rounded / result.ripple:.1f}x smaller ripple",
    )


def _network() -> Row:
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    X, y = load_digits(return_X_y=True)
    X = X / 16.0
    network = MLPClassifier((32,), random_state=0, max_iter=40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(X[:1200], y[:1200])
    W, bias = network.coefs_[0], network.intercepts_[0]
    calibration, fresh = X[:300], X[1200:]
    worst = {}
    for name in ("beam", "babai", "round"):
        model = MinMaxQuantizer(bits=3, method=name).fit(W, X=calibration)
        error = fresh @ (W - model.weights_)
        worst[name] = float(np.abs(error).max(axis=0).mean())
        network.coefs_[0], network.intercepts_[0] = model.weights_, bias
        score = network.score(fresh, y[1200:])
        write(f"{name}: worst error on new digits {worst[name]:.3f}, score {score:.3f}")
    return Row(
        "dmmv",
        "digits network, hidden layer in 3 bits",
        f"worst error {worst['beam']:.3f} on new digits",
        "errors recomputed",
        f"GPTQ, own version ({worst['babai']:.3f})",
        f"{worst['round'] / worst['beam']:.1f}x below rounding",
    )
