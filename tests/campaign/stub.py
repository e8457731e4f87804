#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Stands for every executable and tool of a campaign: says what the real one would say on a GPU. None of its numbers
was measured. Which one it is, its name tells; STUB_LOG takes a line per call.

    STUB_HANG=NAME     NAME starts a child and waits until it is ended; STUB_PID takes the child's number
    STUB_FAIL=NAME     NAME has a failed case, or reports
    STUB_SAY=NAME:TEXT NAME prints TEXT and nothing else
"""
import json
import os
import pathlib
import subprocess
import sys
import time

NAME = pathlib.Path(sys.argv[0]).name
FAILS = os.environ.get("STUB_FAIL") == NAME


def option(name, default=""):
    return next((word.partition("=")[2] for word in sys.argv if word.startswith(name + "=")), default)


def cases():
    print("[ RUN      ] Suite.One/cuda\n[       OK ] Suite.One/cuda (3 ms)")
    if FAILS:
        print("[ RUN      ] Suite.Two/cuda\nfile.cpp:3: Failure\n"
              "[  FAILED  ] Suite.Two/cuda, where GetParam() = 8-byte object <00> (1 ms)\n\n 1 FAILED TEST")
    return 1 if FAILS else 0


def engine():
    if option("--device") != "cuda":
        sys.exit("not the GPU's")
    names = {"^sweep": ["sweep 1x131072", "sweep 4096x4096"], "^(VGG": ["VGG-16"], "^10,000": ["10,000 tensors of 8x8"],
             "^(MLP": ["MLP 784-200-100-10", "LeNet-5", "ResNet-50, 54 weights"],
             "^(16384": ["16384x16384 (1 GB)", "32768x16384 bfloat16 (1 GB)"]}
    found = next(workloads for start, workloads in names.items() if option("--benchmark_filter").startswith(start))
    runs = []
    for workload in found:
        for cache in ("", ", cold"):
            for contender, us in (("row", 400.0), ("graph", 5.0), ("read", 390.0)):
                for repetition in range(30):
                    runs.append({"run_name": f"{workload}{cache}/{contender}/iterations:1/manual_time",
                                 "run_type": "iteration", "repetition_index": repetition, "host_us": 4.0,
                                 "real_time": us + repetition % 3, "bytes": 1073741824.0})
    runs.append({"run_name": f"{found[0]}, cold/host/iterations:1/manual_time", "run_type": "iteration",
                 "real_time": 0.0, "error_occurred": True,
                 "error_message": "not copied to the host: larger than 2 GiB"})
    pathlib.Path(option("--benchmark_out")).write_text(json.dumps({"context": {"device": "cuda"}, "benchmarks": runs}))


def overhead():
    model = sys.argv[sys.argv.index("--models") + 1]
    print("2 threads, cuda, at least 15 s and 5 turns per line")
    for interval in ("1", "epoch"):
        print(f"{model}\t{interval}\t300\t12\t0.851\t1.0020 (0.9990 to 1.0050)\t1.2649 (1.2355 to 1.2950)\t4.5\t300")


def sanitizer():
    if FAILS:
        print("========= Invalid __global__ read of size 4 bytes\n"
              "=========     at void dynascope::cuda::<unnamed>::reduce<false>(...)+0x10\n"
              "=========         Host Frame: dynascope::cuda::launch_reduce(...) [0x1] in cuda_backend")
    status = cases()
    summary = "RACECHECK SUMMARY: {} hazards displayed" if "racecheck" in sys.argv else "ERROR SUMMARY: {} errors"
    print("========= " + summary.format(status))
    return 9 * status


def ncu():
    for name, value in (("DRAM Throughput", "% 91.20"), ("Registers Per Thread", "register/thread 128"),
                        ("smsp__inst_executed_op_local_ld.sum", "inst 0"),
                        ("smsp__inst_executed_op_local_st.sum", "inst 0")):
        print(f"    {name}    {value}")


def main():
    if NAME == "nvidia-smi":
        gpu = os.environ.get("STUB_GPU", "NVIDIA H200")
        print("1980" if "--query-gpu=clocks.sm" in sys.argv else f"{gpu}, 580.1, 143771, 1980, 3201, 700.00")
        return 0
    with open(os.environ["STUB_LOG"], "a", encoding="utf-8") as log:
        log.write(NAME + "\n")
    name, _, text = os.environ.get("STUB_SAY", "").partition(":")
    if name == NAME:
        print(text)
        return 0
    if os.environ.get("STUB_HANG") == NAME:
        child = subprocess.Popen(["sleep", "600"])
        pathlib.Path(os.environ["STUB_PID"]).write_text(str(child.pid))
        time.sleep(600)
    if NAME == "cuda_remeasure":
        print("12 rows, 34567 values of cuda:0 (NVIDIA H200) measured again by cpu, "
              + ("not equal" if FAILS else "equal in every bit"))
        return 1 if FAILS else 0
    known = {"bench_engine": engine, "bench_overhead": overhead, "compute-sanitizer": sanitizer, "ncu": ncu,
             "dynascope": int, "dynascope-train": int}
    return known.get(NAME, cases)() or 0


sys.exit(main())
