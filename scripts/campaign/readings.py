# SPDX-License-Identifier: BSD-3-Clause
"""Numbers out of logs. A log that does not say what it must makes its part a failure: silence proves nothing."""
import dataclasses
import json
import re
import statistics


@dataclasses.dataclass
class Reading:
    results: dict
    status: str = "passed"  # failed, skipped, missing
    reason: str = ""


def tests(log, _context):
    """Cases of GoogleTest, with the reasons of the skipped ones."""
    passed = len(re.findall(r"^\[       OK \] .*\(\d+ ms\)$", log, re.MULTILINE))
    failed = re.findall(r"^\[  FAILED  \] (\S+?),? .*\(\d+ ms\)$", log, re.MULTILINE)
    skips = re.findall(r"Skipped\n((?:.*\n)*?)\[  SKIPPED \] (\S+) \(\d+ ms\)$", log, re.MULTILINE)
    results = {"passed": passed, "failed": len(failed), "skipped": len(skips)}
    if failed:
        return Reading(results, "failed", f"{len(failed)} cases failed, the first {failed[0]}")
    if skips:
        return Reading(results, "skipped", f"{len(skips)} cases skipped: {skips[0][0].strip().splitlines()[-1]}")
    if not passed:
        return Reading(results, "failed", "no case ran")
    return Reading(results)


def sanitizer(log, context):
    summaries = [int(count) for count in re.findall(r"ERROR SUMMARY: (\d+) error", log)]
    hazards = [int(count) for count in re.findall(r"RACECHECK SUMMARY: (\d+) hazard", log)]
    reports = summaries + hazards
    cases = tests(log, context)
    results = {"reports": sum(reports), **cases.results}
    if sum(reports):
        # No filter by name keeps LibTorch's kernels out: one that matched nothing would pass for a clean run.
        ours = [line for line in log.splitlines() if re.match(r"=========(?!.*Host Frame).*dynascope", line)]
        return Reading(results, "failed", f"{sum(reports)} reports; {len(ours)} of their lines name our kernels")
    if len(reports) < 2:
        lines = [line for line in log.splitlines() if "Error" in line or "not supported" in line]
        said = lines[0].strip() if lines else "no summary"
        return Reading(results, "missing", f"compute-sanitizer could not run: {said}")
    return Reading(results, cases.status, cases.reason)


def training(log, _context):
    equal = re.findall(r"^(\d+) rows, (\d+) values of (.+) measured again by (\w+), equal in every bit$", log,
                       re.MULTILINE)
    results = {"runs": [{"rows": int(rows), "values": int(values), "device": device, "again_by": backend}
                        for rows, values, device, backend in equal]}
    if len(equal) < 2:
        return Reading(results, "failed", f"{len(equal)} of 2 runs are equal")
    return Reading(results)


def engine(path):
    """Workload -> contender -> median, quartiles (microseconds), host time and bytes; and why some could not run."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    samples, facts, errors = {}, {}, {}
    for run in report["benchmarks"]:
        if run.get("run_type") != "iteration":
            continue
        found = re.match(r"(.*?)(, cold)?/([a-z_]+)(/|$)", run["run_name"])
        if not found:
            continue
        key = (found[1], "cold" if found[2] else "warm", found[3])
        if run.get("error_occurred"):
            errors["{} {} {}".format(*key)] = run.get("error_message", "")
            continue
        samples.setdefault(key, []).append(run["real_time"])
        facts.setdefault(key, []).append((run.get("bytes", 0), run.get("host_us", 0)))
    results = {}
    for (workload, cache, contender), times in samples.items():
        low, middle, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
        entry = {"us": round(middle, 3), "low": round(low, 3), "high": round(high, 3), "samples": len(times)}
        host = statistics.median(host for _, host in facts[workload, cache, contender])
        if host:
            entry["host_us"] = round(host, 3)
        results.setdefault(workload, {}).setdefault(cache, {})[contender] = entry
        results[workload]["bytes"] = facts[workload, cache, contender][0][0]
    found = {"device": report["context"].get("device", "cpu"), "workloads": results, "not_run": errors}
    if not results:
        return Reading(found, "failed", "no workload was measured")
    lost = [name for name in errors if name.endswith((" row", " graph"))]
    if lost:
        return Reading(found, "skipped", f"{lost[0]} could not run: {errors[lost[0]]}")
    return Reading(found)


def compiled(log, path):
    found = re.search(r"^torch.compile cannot be used here: .*$", log, re.MULTILINE)
    return Reading({}, "missing", found[0]) if found else engine(path)


def overhead(log, _context):
    results = {}
    number = r"([\d.]+) \(([\d.]+) to ([\d.]+)\)"
    pattern = rf"^(\w+)\t(\w+)\t\d+\t(\d+)\t([\d.]+)\t{number}\t{number}\t([\d.]+)\t\d+$"
    for line in re.findall(pattern, log, re.MULTILINE):
        model, interval, turns, step, ratio, low, high, eager, _, _, snapshot = line
        results[f"{model} {interval}"] = {"turns": int(turns), "step_ms": float(step), "ratio": float(ratio),
                                          "low": float(low), "high": float(high), "by_hand": float(eager),
                                          "snapshot_us": float(snapshot)}
    if not results:
        return Reading(results, "failed", "no line of results")
    return Reading(results)


PROFILE = {"DRAM Throughput": "dram_percent", "Memory Throughput": "memory", "Duration": "duration",
           "Registers Per Thread": "registers", "Achieved Occupancy": "occupancy_percent",
           "dram__bytes_read.sum.per_second": "dram_read", "smsp__inst_executed_op_local_ld.sum": "local_loads",
           "smsp__inst_executed_op_local_st.sum": "local_stores"}


def profile(log, _context):
    """The last profiled launch: the earlier ones warm up."""
    results = {}
    for name, key in PROFILE.items():
        lines = re.findall(rf"^ +{re.escape(name)} +(\S+) +([\d.,]+)$", log, re.MULTILINE)
        plain = re.findall(rf"^ +{re.escape(name)} +([\d.,]+)$", log, re.MULTILINE)
        if lines:
            results[key] = f"{lines[-1][1]} {lines[-1][0]}"
        elif plain:
            results[key] = plain[-1]
    if "registers" not in results:
        lines = log.strip().splitlines() or ["no output"]
        return Reading(results, "missing", f"ncu could not read the kernel: {lines[-1]}")
    if any(results.get(key, "0").split()[0] not in ("0", "0.0") for key in ("local_loads", "local_stores")):
        return Reading(results, "failed", "registers are spilled to local memory")
    return Reading(results)
