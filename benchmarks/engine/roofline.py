#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Draws a roofline (Williams, Waterman, Patterson 2009) from what bench_engine wrote with one thread.

The roofs are measured in the same run: bytes per second of a sum over the largest weights and over weights that the caches
hold, and additions of float32 vectors in registers. A contender's operations per byte are counted from what it does to one
float32 weight; its height is what it did per second.
"""
import argparse
import json
import re
import statistics

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.fonttype"] = "none"  # letters, not their outlines
from matplotlib import pyplot  # noqa: E402

# Per weight of a row: a square, a magnitude, two bounds; of eight rows, the additions of three sums (seven eighths each) and
# of three float64 sums with their conversions (an eighth each); of a row's sum, an addition.
ROW = 1 + 1 + 2 + 3 * 7 / 8 + 3 * 2 / 8 + 1
# sum(1), sum(0), min and max take one operation, std four (an addition for the mean; a difference, a square, an addition);
# each of the five reads the weight again.
EAGER = 1 + 1 + 1 + 1 + 4
READS = 5
SHOWN = {"MLP 784-200-100-10": "MLP", "1536x1536 (9 MB)": "9 MB, in cache", "512x512x3x3 (9 MB)": "3x3 kernels, 9 MB",
         "1536x1536 (9 MB), cold": "9 MB, cold", "4096x4096 (67 MB)": "67 MB", "4096x25088 (411 MB)": "411 MB",
         "ResNet-50, 54 weights": "ResNet-50"}
MARKS = ["o", "s", "^", "v", "D", "P", "X"]
WARM, LARGEST = "1536x1536 (9 MB)", "4096x25088 (411 MB)"


def read(path):
    """(workload, contender) -> seconds and bytes, medians over the repetitions; and additions per second."""
    with open(path, encoding="utf-8") as file:
        runs = [run for run in json.load(file)["benchmarks"] if run["run_type"] == "iteration"]
    times, sizes, peaks = {}, {}, []
    for run in runs:
        found = re.match(r"(.*)/(row|eager|read)/", run["run_name"])
        if found:
            times.setdefault(found.groups(), []).append(run["real_time"] * 1e-6)
            sizes[found.groups()] = run["bytes"]
        elif run["run_name"] == "additions":
            peaks.append(run["operations"] / (run["real_time"] * 1e-6))
    return {key: (statistics.median(values), sizes[key]) for key, values in times.items()}, statistics.median(peaks)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", help="what bench_engine wrote with --benchmark_out, of one thread")
    parser.add_argument("-o", "--output", default="roofline.svg")
    arguments = parser.parse_args()
    measured, peak = read(arguments.report)

    def bandwidth(workload):
        seconds, size = measured[workload, "read"]
        return size / seconds

    figure, axes = pyplot.subplots(figsize=(7.2, 4.4), layout="constrained")
    for workload, name, style in [(LARGEST, "memory", "-"), (WARM, "caches", "--")]:
        knee = peak / bandwidth(workload)
        axes.plot([0.1, knee, 10], [0.1 * bandwidth(workload) / 1e9, peak / 1e9, peak / 1e9], style, color="#000000",
                  linewidth=1)
        axes.annotate(f"{name}, {bandwidth(workload) / 1e9:.0f} GB/s", (0.13, 0.13 * bandwidth(workload) / 1e9), rotation=38,
                      rotation_mode="anchor", textcoords="offset points", xytext=(0, 4), fontsize=8)
    axes.annotate(f"additions, {peak / 1e9:.0f} billion/s", (9.5, peak / 1e9), ha="right", textcoords="offset points",
                  xytext=(0, 4), fontsize=8)
    for mark, (workload, name) in zip(MARKS, SHOWN.items()):
        for contender, operations, reads, colour in [("row", ROW, 1, "#0072B2"), ("eager", EAGER, READS, "#D55E00")]:
            seconds, size = measured[workload, contender]
            axes.plot(operations / (4 * reads), operations * size / 4 / seconds / 1e9, mark, color=colour, markersize=5,
                      label=name if contender == "row" else None)
    axes.set(xscale="log", yscale="log", xlim=(0.1, 10), xlabel="operations per byte read",
             ylabel="billion operations per second", title="One row (blue) and what a user would write (orange), one thread")
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(arguments.output, metadata={"Date": None})


if __name__ == "__main__":
    main()
