# SPDX-License-Identifier: BSD-3-Clause
"""
How safe is each digit?
=======================

The membership matrix of the relaxation on images of the digits 0, 3 and 8: clear blocks
where the assignment is safe, grey where digits could change sides.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from numopt.cluster import kmeans_sdp
from numopt.plotting import MembershipDisplay

X, y = load_digits(return_X_y=True)
chosen = np.flatnonzero(np.isin(y, [0, 3, 8]))[:150]
result = kmeans_sdp(X[chosen], 3, gap_tol=1e-3, method="admm", random_state=0)
print(result)
MembershipDisplay.from_result(result)
plt.show()
