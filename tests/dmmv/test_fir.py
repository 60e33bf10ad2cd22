# SPDX-License-Identifier: BSD-3-Clause
"""Integer filters: published specifications, exact ripple, types, bad input.

The specifications are those of the fquantizer test suite (Filip; Brisebarre, Filip and
Hanrot 2018). The optima were proved by HiGHS on a grid.
"""

import numpy as np
import pytest
from scipy import signal

from numopt.dmmv import design_fir, fir_ripple

LOW = [0, 0.4, 0.5, 1], [1, 0]
STOP = [0, 0.24, 0.4, 0.68, 0.84, 1], [1, 0, 1]
SPECS = {
    "A": (*LOW, [1, 1]),
    "B": (*LOW, [1, 10]),
    "C": (*STOP, [1, 1, 1]),
    "D": (*STOP, [1, 10, 1]),
    "E": ([0.02, 0.42, 0.52, 0.98], [1, 0], [1, 1]),
}
#: name: (real minimax, nearest rounding, best), the best proved optimal.
OPTIMA = {
    "A35/8": (0.01598, 0.03267, 0.03001),
    "A45/8": (0.007140, 0.03706, 0.02963),
    "B35/9": (0.05280, 0.1590, 0.07717),
    "C35/8": (0.002635, 0.04688, 0.01787),
    "D35/9": (0.01049, 0.1221, 0.03254),
    "E35/8": (0.01764, 0.04696, 0.03300),
    "E45/8": (0.00653, 0.03574, 0.02888),
}
BEST_KNOWN = {
    "B45/9": (0.0211, 0.1172, 0.05681),
    "C45/8": (0.00067, 0.03046, 0.0161),
    "D45/9": (0.00224, 0.1090, 0.02612),
}
#: name: a ripple within 2% of the best that was known of filters of 125 taps.
LONG = {
    "A125/21": 1.02 * 1.080e-5,
    "B125/22": 1.02 * 3.05e-5,
    "C125/21": 1.02 * 1.566e-6,
    "D125/22": 1.02 * 1.778e-6,
    "E125/21": 1.02 * 1.049e-5,
}


def design(name, **options):
    bands, desired, weight = SPECS[name[0]]
    numtaps, bits = name[1:].split("/")
    return design_fir(
        int(numtaps), bands, desired, weight=weight, word_length=int(bits), **options
    )


@pytest.mark.parametrize("name", ["A35/8", "C35/8"])
def test_optima(name):
    _check(name, *OPTIMA[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OPTIMA.keys() - {"A35/8", "C35/8"}))
def test_more_optima(name):
    _check(name, *OPTIMA[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", BEST_KNOWN)
def test_best_known(name):
    _check(name, *BEST_KNOWN[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_long_filters(name):
    result = design(name)
    assert result.lower_bound <= result.ripple <= LONG[name]


def _check(name, minimax, rounding, best):
    result = design(name)
    assert result.ripple == pytest.approx(best, rel=2e-3)
    assert result.ripple_infinite == pytest.approx(minimax, rel=2e-2)
    assert result.ripple_rounding == pytest.approx(rounding, rel=2e-2)
    assert 0.9 * minimax < result.lower_bound <= result.ripple
    assert result.ripple == pytest.approx(result.ripple_bands.max())
    bands, desired, weight = SPECS[name[0]]
    again = fir_ripple(result.coefficients, bands, desired, weight=weight)
    assert again == pytest.approx(result.ripple, rel=1e-9)
    np.testing.assert_array_equal(result.taps, result.taps[::-1])
    bits = int(name.split("/")[1])
    assert np.abs(result.taps).max() <= 2 ** (bits - 1)


def test_rounded_remez_is_no_better():
    numtaps, (bands, desired) = 31, LOW
    taps = signal.remez(numtaps, bands, desired, fs=2.0)
    ripple = fir_ripple(taps, bands, desired)
    dense = np.linspace(0, 1, 200_001)
    inside = (dense <= 0.4) | (dense >= 0.5)
    _, H = signal.freqz(taps, worN=np.pi * dense[inside])
    assert ripple == pytest.approx(
        np.max(np.abs(np.abs(H) - (dense[inside] <= 0.4))), rel=1e-4
    )
    result = design_fir(numtaps, bands, desired, word_length=10, time_limit=0.5)
    rounded = np.rint(taps * 512) / 512
    assert result.ripple <= fir_ripple(rounded, bands, desired) * (1 + 1e-9)
    assert result.ripple_infinite == pytest.approx(ripple, rel=1e-2)
    assert result.ripple_infinite >= result.lower_bound


def test_ripple_is_exact_off_the_grid():
    # H(w) = 2 a cos(w) + b: extrema of |H - 1| are at the ends, in closed form
    a, b = 0.3, 0.3
    ripple = fir_ripple([a, b, a], [0.1, 0.37], [1.0])
    ends = 2 * a * np.cos(np.pi * np.array([0.1, 0.37])) + b
    assert ripple == pytest.approx(np.max(np.abs(ends - 1)), rel=1e-12)
    # an inner extremum: Chebyshev polynomial T_4(cos w) = cos 4w of ripple 1
    inner = fir_ripple([0.5, 0, 0, 0, 0, 0, 0, 0, 0.5], [0.3, 0.6], [0.0], weight=[3])
    assert inner == pytest.approx(3.0, rel=1e-12)


@pytest.mark.parametrize(
    ("numtaps", "symmetry", "bands", "desired"),
    [
        (15, "even", [0, 0.4, 0.6, 1], [1, 0]),
        (16, "even", [0, 0.4, 0.6, 0.95], [1, 0]),
        (15, "odd", [0.1, 0.9], [1]),
        (16, "odd", [0.1, 1.0], [1]),
    ],
)
def test_types(numtaps, symmetry, bands, desired):
    result = design_fir(
        numtaps, bands, desired, word_length=10, symmetry=symmetry, time_limit=0.3
    )
    sign = 1 if symmetry == "even" else -1
    np.testing.assert_array_equal(result.taps, sign * result.taps[::-1])
    assert result.taps.shape == (numtaps,)
    grid = np.linspace(bands[0], bands[1], 500)
    _, H = signal.freqz(result.coefficients, worN=np.pi * grid)
    assert np.max(np.abs(np.abs(H) - 1)) <= result.ripple * (1 + 1e-9)
    assert result.lower_bound <= result.ripple_infinite * (1 + 1e-6)
    assert result.ripple <= result.ripple_rounding * (1 + 1e-9)


def test_sampling_frequency_fraction_and_bound():
    # a fixed number of rounds and not a time: both runs do the same work
    one = design_fir(11, [0, 0.3, 0.6, 1], [1, 0], word_length=8)
    other = design_fir(11, [0, 3, 6, 10], [1, 0], word_length=8, fs=20.0, type="I")
    assert other.ripple == pytest.approx(one.ripple, rel=1e-9)
    fine = design_fir(
        11, [0, 0.3, 0.6, 1], [1, 0], word_length=12, n_frac=7, time_limit=0.2
    )
    assert fine.scale == 2.0**-7
    bounded = design_fir(
        11, [0, 0.3, 0.6, 1], [1, 0], word_length=8, taps_bound=40, time_limit=0.2
    )
    assert np.abs(bounded.taps).max() <= 40


@pytest.mark.slow
def test_free_gain_is_no_worse():
    fixed = design_fir(15, *LOW, word_length=6)
    free = design_fir(15, *LOW, word_length=6, gain="free", time_limit=5)
    assert 0.7 <= free.gain <= 1.4
    assert free.ripple <= fixed.ripple * 1.02
    ripple = fir_ripple(free.coefficients / free.gain, *LOW)
    assert ripple == pytest.approx(free.ripple, rel=1e-9)
    assert free.lower_bound <= free.ripple


BAD = [
    ({"bands": [0, 0.4, 0.3, 1]}, "`bands` must be monotonically increasing"),
    ({"bands": [0, 0.4, 0.5]}, "`bands` must be an even number"),
    ({"bands": [0, 0.4, 0.5, 1.1]}, "`bands` must be between 0 and fs/2"),
    ({"desired": [1, 0, 1]}, "`desired` must be 2 or 4 values"),
    ({"weight": [1]}, "`weight` must be 2 values"),
    ({"weight": [1, -1]}, "`weight` must be positive"),
    ({"word_length": 1}, "`word_length` must be"),
    ({"word_length": 33}, "`word_length` must be"),
    ({"numtaps": 10, "desired": [0, 1]}, "0 at the Nyquist frequency"),
    ({"symmetry": "odd"}, "0 at frequency 0"),
    ({"symmetry": "none"}, "`symmetry` must be one of"),
    ({"type": 2}, "`numtaps` must be even"),
    ({"type": 5}, "`type` must be"),
    ({"gain": "any"}, "`gain` must be one of"),
    ({"method": "best"}, "`method` must be one of"),
    ({"time_limit": 0}, "`time_limit` must be"),
    ({"taps_bound": 0}, "`taps_bound` must be"),
]


@pytest.mark.parametrize(("change", "match"), BAD)
def test_bad_input(change, match):
    args = {"numtaps": 11, "bands": [0, 0.4, 0.5, 1], "desired": [1, 0], **change}
    with pytest.raises(ValueError, match=match):
        design_fir(args.pop("numtaps"), args.pop("bands"), args.pop("desired"), **args)


def test_ripple_needs_symmetry():
    with pytest.raises(ValueError, match="`taps` must be symmetric"):
        fir_ripple([1.0, 2.0, 3.0], [0, 0.5], [1])
