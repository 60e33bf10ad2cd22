# SPDX-License-Identifier: BSD-3-Clause
"""Picture of a family's stored ratios: a line per peer, a dot per workload."""

from matplotlib.figure import Figure

WIDTH = 7.5
MARGIN, LINE = 0.75, 0.24  # inches


def draw_speedups(rows, path):
    """Draw how many times faster than each peer; what is slower stands out."""
    speedups = {}
    for row in rows:
        if row["ratio"] is not None:
            name = row["peer"].partition(",")[0]
            speedups.setdefault(name, []).append(1 / row["ratio"])
    figure = Figure(
        figsize=(WIDTH, MARGIN + LINE * len(speedups)), layout="constrained"
    )
    axes = figure.subplots()
    for level, values in enumerate(speedups.values()):
        colors = ["C0" if value >= 1 else "C3" for value in values]
        axes.scatter(values, [level] * len(values), c=colors, s=28, alpha=0.55, lw=0)
    axes.axvline(1, color="0.4", lw=1, ls="--")
    axes.set(
        xscale="log",
        xlabel="times faster than the peer",
        ylim=(len(speedups) - 0.5, -0.5),
        yticks=range(len(speedups)),
        yticklabels=list(speedups),
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.savefig(path)
