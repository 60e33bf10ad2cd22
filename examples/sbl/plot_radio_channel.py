# SPDX-License-Identifier: BSD-3-Clause
"""
A radio channel over a reflecting surface
=========================================

A cascaded channel is sparse in the angles of three antenna arrays: 5832 atoms, 288
pilot symbols. The published expectation-maximisation method (``"svd"``), the default,
and the default with neighbouring angles coupled are compared over noise levels, with
the mean errors that He and Joseph (2024) published for their best method.
"""

import matplotlib.pyplot as plt
import numpy as np

from numopt.datasets import make_irs_mimo
from numopt.sbl import kronecker_sbl

levels = [4, 12, 20]
methods = {
    "svd": {"method": "svd"},
    "auto": {},
    "auto, coupled": {"coupling": [0.8, None, 0.8]},
}


def mean_error(snr_db, options, trials=4):
    errors = []
    for seed in range(trials):
        data = make_irs_mimo(snr_db=snr_db, random_state=seed)
        result = kronecker_sbl(data.factors, data.y, warn=False, **options)
        errors.append(data.nmse(result.coef))
    return np.mean(errors)


curves = {
    name: [mean_error(level, options) for level in levels]
    for name, options in methods.items()
}
for name, errors in curves.items():
    print(name, " ".join(f"{error:.2g}" for error in errors))

# %%
figure, ax = plt.subplots()
for name, errors in curves.items():
    ax.semilogy(levels, errors, "o-", label=name)
ax.semilogy(levels, [0.312, 0.049, 0.0029], "k:", label="best published")
ax.set_xlabel("signal to noise in dB")
ax.set_ylabel("error of the cascaded channel")
ax.legend()
plt.show()
