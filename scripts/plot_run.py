#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Draws a run file: layer fluctuation over epochs beside the accuracy, and node strengths, first against last epoch.

    plot_run.py RUN.h5 [-o FOLDER]      writes RUN-fluctuation.png and RUN-strength.png

Reads through the Python package (python/dynascope) and draws with matplotlib; works while training goes on and on what a killed process left behind.
"""

import argparse
import dataclasses
import pathlib
import sys

import matplotlib
import numpy

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.ticker import MaxNLocator  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))
import dynascope  # noqa: E402

# Okabe and Ito's colours, told apart by colour-blind readers; black last, yellow left out (too light for lines).
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
STYLES = ["-", "--", ":", "-."]
FIRST, LAST = "#E69F00", "#0072B2"


@dataclasses.dataclass
class Run:
    """What the plots need: one entry per epoch, and the strengths of every node layer in the first and last of them."""

    title: str
    layers: list
    epoch: numpy.ndarray  # (epochs,)
    fluctuation: numpy.ndarray  # (epochs, layers)
    scalars: dict  # key -> (epochs,)
    first: list  # per layer (stored units,)
    last: list  # per layer (stored units,)
    multiplicity: list  # per layer (stored units,)


def read_run(path):
    with dynascope.open(path) as run:
        rows = run.rows_of_epochs()
        if len(rows) == 0:
            raise dynascope.Error(f"{path}: no row yet")
        what = run.description
        strengths = [run.read(run.node_layer_path(i) + "/strength") for i in range(len(what.node_layers))]
        return Run(
            title=what.title or pathlib.Path(path).stem,
            layers=[layer.name for layer in what.node_layers],
            epoch=run.row_index().epoch[rows],
            fluctuation=run.read("/nodes/fluctuation")[rows],
            scalars={key: run.scalar(key)[rows] for key in what.scalars},
            first=[values[rows[0]] for values in strengths],
            last=[values[rows[-1]] for values in strengths],
            multiplicity=[layer.multiplicity for layer in what.node_layers],
        )


def tidy(axes):
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def plot_fluctuation(run):
    """Left: one line per node layer. Right: accuracy, where the run logged one, else the first scalar."""
    key = "accuracy" if "accuracy" in run.scalars else next(iter(sorted(run.scalars)), None)
    figure, axes = pyplot.subplots(1, 2 if key else 1, figsize=(9.6 if key else 6, 3.6), layout="constrained",
                                   squeeze=False)
    left = axes[0][0]
    for i, name in enumerate(run.layers):
        left.plot(run.epoch, run.fluctuation[:, i], label=name, color=COLOURS[i % len(COLOURS)],
                  linestyle=STYLES[i // len(COLOURS) % len(STYLES)], linewidth=1.8)
    left.set_ylabel("layer fluctuation (dimensionless)")
    left.set_ylim(bottom=0)
    left.legend(title="node layer", frameon=False, fontsize=8, title_fontsize=8, loc="upper left",
                bbox_to_anchor=(1.02, 1.0), borderaxespad=0, ncols=1 + (len(run.layers) - 1) // 16)
    if key:
        right = axes[0][1]
        right.plot(run.epoch, run.scalars[key], color="#000000", linewidth=1.8)
        right.set_ylabel(key)
        if key == "accuracy":
            right.set_ylabel("accuracy (fraction of test images)")
            right.set_ylim(0, 1)
    for panel in axes[0]:
        panel.set_xlabel("epoch (0: before training)")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_xlim(run.epoch[0], max(run.epoch[-1], run.epoch[0] + 1))
        tidy(panel)
    figure.suptitle(run.title)
    return figure


def densities(first, last, multiplicity):
    """Both distributions over one grid, each unit counted (multiplicity), non-finite strengths left out."""
    both = numpy.concatenate([first, last])
    finite = both[numpy.isfinite(both)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    edges = numpy.linspace(low, high, int(numpy.clip(2 * numpy.sqrt(len(first)), 12, 48)) + 1)
    counted = []
    for values in (first, last):
        kept = numpy.isfinite(values)
        counts, _ = numpy.histogram(values[kept], edges, weights=multiplicity[kept])
        counted.append(counts / max(counts.sum(), 1) / numpy.diff(edges))
    return edges, counted[0], counted[1]


def plot_strength(run):
    """A panel per node layer: the distribution of node strength over its units, first against last epoch."""
    columns = 2 if len(run.layers) == 4 else min(3, len(run.layers))
    lines = -(-len(run.layers) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(3.2 * columns, 2.5 * lines + 0.6), layout="constrained",
                                   squeeze=False)
    for panel in axes.flat[len(run.layers):]:
        panel.set_visible(False)
    for i, panel in enumerate(axes.flat[:len(run.layers)]):
        edges, first, last = densities(run.first[i], run.last[i], run.multiplicity[i])
        panel.stairs(first, edges, fill=True, color=FIRST, alpha=0.45, label=f"epoch {run.epoch[0]}")
        panel.stairs(last, edges, color=LAST, linewidth=1.6, label=f"epoch {run.epoch[-1]}")
        panel.set_title(f"{run.layers[i]} ({run.multiplicity[i].sum():,} units)", fontsize=9)
        panel.set_ylim(bottom=0)
        tidy(panel)
    for panel in axes[:, 0]:
        panel.set_ylabel("density (1 / strength)")
    figure.supxlabel("node strength (dimensionless)", fontsize=10)
    axes[0][0].legend(frameon=False, fontsize=8)
    figure.suptitle(run.title)
    return figure


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path, help="run file")
    parser.add_argument("-o", "--output", type=pathlib.Path, help="folder for the pictures (default: beside the run)")
    options = parser.parse_args(arguments)
    folder = options.output or options.run.parent
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run = read_run(options.run)
    except dynascope.Error as error:
        sys.exit(f"plot_run.py: {options.run} is no readable run file: {error}")
    for kind, draw in (("fluctuation", plot_fluctuation), ("strength", plot_strength)):
        picture = folder / f"{options.run.stem}-{kind}.png"
        figure = draw(run)
        figure.savefig(picture, dpi=120)
        pyplot.close(figure)
        print(picture)


if __name__ == "__main__":
    main()
