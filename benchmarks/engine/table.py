#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes a table of what bench_engine says: medians, and the ratios of runs of one turn with their middle half.

With --floors, fails when a ratio lies below its floor in floors.json: for a check on machines that are never quiet, where
absolute times mean nothing.
"""
import argparse
import json
import re
import statistics
import sys


def read(path):
    """Times in microseconds by workload and contender, in the order of the repetitions."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    times = {}
    for run in report["benchmarks"]:
        found = re.match(r"(.*)/(row|histogram|eager|read)/", run["run_name"])
        if found and run["run_type"] == "iteration":
            workload, contender = found.groups()
            turns = times.setdefault(workload, {}).setdefault(contender, {})
            turns[run["repetition_index"]] = run["real_time"]
    return report["context"], times


def ratio(times, over, under):
    """Median and quartiles of one contender's time over another's, turn by turn."""
    shared = sorted(set(times[over]) & set(times[under]))
    ratios = [times[over][turn] / times[under][turn] for turn in shared]
    if len(ratios) < 2:
        return ratios[0], ratios[0], ratios[0]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, low, high


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", help="what bench_engine wrote with --benchmark_out")
    parser.add_argument("--floors", help="JSON: workload -> least eager / row")
    arguments = parser.parse_args()
    context, times = read(arguments.report)
    print(f"{context['threads']} threads, {context['num_cpus']} processors\n")
    print("| weights | row, us | eager, us | read, us | eager / row | read / row | eager / row with histogram |")
    print("|---|---|---|---|---|---|---|")
    found = {}
    for workload, contenders in times.items():
        middles = {name: statistics.median(turns.values()) for name, turns in contenders.items()}
        eager = ratio(contenders, "eager", "row")
        reading = ratio(contenders, "read", "row")
        counted = ratio(contenders, "eager", "histogram")
        found[workload] = eager[0]
        print(f"| {workload} | {middles['row']:.1f} | {middles['eager']:.1f} | {middles['read']:.1f} "
              f"| {eager[0]:.2f} ({eager[1]:.2f} to {eager[2]:.2f}) "
              f"| {reading[0]:.2f} ({reading[1]:.2f} to {reading[2]:.2f}) | {counted[0]:.2f} |")
    if not arguments.floors:
        return 0
    with open(arguments.floors, encoding="utf-8") as file:
        floors = json.load(file)
    below = [f"{workload}: eager / row is {found.get(workload, 0):.2f}, must be at least {floor}"
             for workload, floor in floors.items() if found.get(workload, 0) < floor]
    print("\n".join(below))
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
