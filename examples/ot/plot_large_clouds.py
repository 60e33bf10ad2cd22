# SPDX-License-Identifier: BSD-3-Clause
"""
Clouds without a cost matrix
============================

Match the pixels of two photographs, as points in the colour cube, at sizes where the
matrix of all costs is a burden, and look at what the solver does instead.
"""

# %%
# A pixel is a point in the colour cube. Four thousand of each image would need a matrix
# of 16 million costs.
import matplotlib.pyplot as plt
import numpy as np

from numopt.datasets import load_photographs
from numopt.ot import sinkhorn_points

china, flower = load_photographs()
rng = np.random.default_rng(0)
n = 4000
X, Y = (
    image.reshape(-1, 3)[rng.choice(image.size // 3, n, replace=False)]
    for image in (china, flower)
)

# %%
# ``reg`` is in squared units of colour. The certificate covers all pairs, although
# most of them are never looked at.
result = sinkhorn_points(X, Y, reg=3e-4)
print(f"marginal error   {result.marginal_error:.1e}")
print(f"passes           {result.n_passes}")
print(f"Newton steps     {result.n_newton}")
print(f"stored entries   {result.nnz / n**2:.2%} of all pairs")

# %%
# The map extends to all pixels, and the large entries of the plan are a sparse matrix.
recoloured = result.transport(china.reshape(-1, 3)).reshape(china.shape)
plan = result.plan_sparse(1e-7)
print(f"entries above 1e-7 of the mass: {plan.nnz}")

fig, axes = plt.subplots(1, 3, figsize=(12, 3), layout="constrained")
titles = ("source", "target", "source with the colours of the target")
for ax, image, title in zip(axes, (china, flower, recoloured), titles, strict=True):
    ax.imshow(np.clip(image, 0.0, 1.0))
    ax.set_title(title)
    ax.set_axis_off()

# %%
# The gradient of the cost in the points says where each colour would go: a step of
# half of it, per unit of mass, is the barycentric projection.
step = -0.5 * n * result.grad_X
np.testing.assert_allclose(X + step, result.barycentric(Y), atol=1e-4)
some = rng.choice(n, 400, replace=False)
fig, ax = plt.subplots(figsize=(5, 5), layout="constrained")
ax.quiver(
    *X[some][:, [0, 2]].T,
    *step[some][:, [0, 2]].T,
    color=np.clip(X[some], 0, 1),
    angles="xy",
    scale_units="xy",
    scale=1.0,
    width=0.003,
)
ax.set(xlabel="red", ylabel="blue", title="where colours go")
