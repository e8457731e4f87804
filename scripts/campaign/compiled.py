#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The contender that needs Python: what a user would write, through torch.compile. Timed as benchmarks/engine/cuda.hpp
says, in a process of its own; writes what bench_engine writes with --benchmark_out, as contender "compiled".

Usage: python3 compiled.py REPORT.json [--device cuda|cpu] [--samples N] [--only NAME]
"""
import argparse
import json
import sys
import time

# Of benchmarks/engine/workloads.cpp; few, because a compilation takes many seconds.
SHAPES = {"MLP 784-200-100-10": [(200, 784), (100, 200), (10, 100)], "1536x1536 (9 MB)": [(1536, 1536)],
          "4096x25088 (411 MB)": [(4096, 25088)], "16384x16384 (1 GB)": [(16384, 16384)]}
FLUSHED = 512 << 20
HOLD = 400000  # cycles: some 200 microseconds


def measure_all(weights):
    return [(w.sum(1), w.sum(0), w.std(), w.min(), w.max()) for w in weights]


def on_gpu(torch, body, cold, other):
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    if cold:
        other.zero_()
    torch.cuda._sleep(HOLD)
    begin.record()
    body()
    end.record()
    end.synchronize()
    return 1e3 * begin.elapsed_time(end)


def on_cpu(body):
    begin = time.perf_counter()
    body()
    return 1e6 * (time.perf_counter() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--only", choices=list(SHAPES))
    given = parser.parse_args()
    try:
        import torch
        compiled = torch.compile(measure_all, dynamic=False)
        compiled([torch.randn(8, 8, device=given.device)])
    except Exception as error:  # whatever a Python environment lacks: a package, a compiler, a GPU
        print(f"torch.compile cannot be used here: {type(error).__name__}: {str(error).strip().splitlines()[0]}")
        return 3
    runs = []
    gpu = given.device == "cuda"
    other = torch.empty(FLUSHED, dtype=torch.uint8, device="cuda") if gpu else None
    for workload, shapes in SHAPES.items():
        if given.only not in (None, workload):
            continue
        weights = [torch.randn(*shape, device=given.device) * 0.02 for shape in shapes]

        def body():
            compiled(weights)

        for _ in range(3):
            body()
        for cold in ([False, True] if gpu else [False]):
            for sample in range(given.samples):
                runs.append({"run_name": f"{workload}{', cold' if cold else ''}/compiled", "run_type": "iteration",
                             "repetition_index": sample, "bytes": float(sum(4 * w.numel() for w in weights)),
                             "real_time": on_gpu(torch, body, cold, other) if gpu else on_cpu(body)})
    with open(given.report, "w", encoding="utf-8") as file:
        json.dump({"context": {"device": given.device, "torch": torch.__version__}, "benchmarks": runs}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
