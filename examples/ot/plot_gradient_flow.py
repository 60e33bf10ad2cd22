# SPDX-License-Identifier: BSD-3-Clause
"""
Gradient flow of a cloud
========================

Points that follow the gradient of a loss end where the loss is smallest. The Sinkhorn
divergence is smallest where the clouds are equal; the transport value alone is smallest
for a shrunk copy of the target.
"""

# %%
# The target is the ink of a digit that ships in scikit-learn, the start is a disc.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from numopt.ot import sinkhorn_divergence

rng = np.random.default_rng(0)
ink = load_digits().images[2]
pixels = np.argwhere(ink > 0)[:, ::-1] / 8.0
chosen = rng.choice(len(pixels), 400, p=ink[ink > 0] / ink.sum())
target = pixels[chosen] + rng.uniform(-1, 1, (400, 2)) / 16.0
angle, radius = 2 * np.pi * rng.random(400), 0.15 * np.sqrt(rng.random(400))
start = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None]
start += target.mean(axis=0)

# %%
# Each point carries the mass 1/n, so n times the gradient is a velocity. Every solve
# starts from the potentials of the last.
reg, n = 2e-3, len(start)


def flow(gradient, steps=25, rate=0.3):
    X, result, values = start, None, []
    for _ in range(steps):
        result = sinkhorn_divergence(X, target, reg, tol=1e-4, warmstart=result)
        values.append(result.value)
        X = X - rate * n * gradient(result)
    return X, values


moved, values = flow(lambda result: result.grad_X)
shrunk, _ = flow(lambda result: result.xy.grad_X)
print(f"divergence: {values[0]:.1e} at the start, {values[-1]:.1e} at the end")

# %%
fig, axes = plt.subplots(1, 4, figsize=(13, 3), layout="constrained")
clouds = (start, shrunk, moved)
titles = ("start", "flow of the transport value", "flow of the divergence")
for ax, cloud, title in zip(axes[:3], clouds, titles, strict=True):
    ax.scatter(*target.T, s=3, color="0.8")
    ax.scatter(*cloud.T, s=3, color="C0")
    ax.set_title(title)
    ax.set_aspect("equal")
    ax.invert_yaxis()
    ax.set_axis_off()
axes[3].semilogy(values)
axes[3].set(title="divergence", xlabel="step")
