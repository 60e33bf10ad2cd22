# SPDX-License-Identifier: BSD-3-Clause
"""The scikit-learn face of the family: layers of few bits, images of few levels."""

from numopt.dmmv._estimators.quantizer import MinMaxQuantizer
from numopt.dmmv._estimators.tomography import DiscreteTomography

__all__ = ["DiscreteTomography", "MinMaxQuantizer"]
