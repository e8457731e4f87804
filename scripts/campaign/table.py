# SPDX-License-Identifier: BSD-3-Clause
"""campaign.md: what a campaign showed, for a person to read."""
import collections
import os

from . import targets

CONTENDERS = ["row", "graph", "histogram", "eager", "item", "eager_graph", "compiled", "gemv", "host", "read"]


def write(path, text):
    """Whole or not at all: a campaign may be ended at any moment."""
    beside = path.with_suffix(path.suffix + ".new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def cell(text):
    return str(text).replace("|", "/").replace("\n", " ")


def rows(header, lines):
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for line in lines:
        yield "| " + " | ".join(cell(value) for value in line) + " |"


def summary(state):
    planned = state.get("planned", {})
    counts = collections.Counter(state["parts"].get(name, {}).get("status", "not reached") for name in planned)
    order = ["passed", "failed", "skipped", "missing", "unfinished", "not reached"]
    return ", ".join(f"{counts[status]} {status}" for status in order if counts[status]) or "nothing to run"


def verdict(reached):
    return "" if reached is None else "reached" if reached else "MISSED"


def machine(state):
    facts = state["machine"]
    text = f"{facts['gpu']}, driver {facts['driver']}"
    if "max_sm_mhz" in facts:
        text += (f", {facts['memory_mib']} MiB, at most {facts['max_sm_mhz']} MHz (memory "
                 f"{facts['max_memory_mhz']} MHz), {facts['power_limit_w']} W")
    return f"{text}; {facts['processor']}; LibTorch {facts['torch']}"


def parts(state):
    for name, title in state.get("planned", {}).items():
        part = state["parts"].get(name, {"status": "not reached"})
        results = part.get("results", {})
        said = part.get("reason", "")
        if not said and "passed" in results:
            said = f"{results['passed']} cases" + (f", {results['reports']} reports" if "reports" in results else "")
        clocks = "{} to {}".format(*part["sm_mhz"]) if "sm_mhz" in part else ""
        yield name, title, part["status"], said, f"{part['seconds']:.0f}" if "seconds" in part else "", clocks


def engine(state):
    for workload, caches in targets.workloads(state).items():
        for cache in ("warm", "cold"):
            found = caches.get(cache)
            if not found:
                continue
            times = [f"{found[name]['us']:.1f}" if name in found else "" for name in CONTENDERS]
            host = f"{found['row']['host_us']:.1f}" if "host_us" in found.get("row", {}) else ""
            speed = f"{caches['bytes'] / found['row']['us'] * 1e-6:.2f}" if "row" in found else ""
            yield workload, cache, *times, host, speed


def overhead(state):
    for name, part in state["parts"].items():
        if name.startswith("overhead-"):
            for line, found in part.get("results", {}).items():
                yield (line, found["turns"], f"{found['step_ms']:.3f}",
                       f"{found['ratio']:.4f} ({found['low']:.4f} to {found['high']:.4f})", f"{found['by_hand']:.4f}",
                       f"{found['snapshot_us']:.1f}")


def profile(state):
    return state["parts"].get("profile", {}).get("results", {}).items()


def campaign(state):
    lines = ["<!-- SPDX-License-Identifier: BSD-3-Clause -->", "# GPU campaign", ""]
    if state["device"] == "host":
        lines += ["**Without a GPU**: the kernels' sources ran on the host stand-in. This shows that the campaign "
                  "works, and nothing about a GPU.", ""]
    lines += [f"{machine(state)}. Commit {state['commit']}, executables {state['executables']}, {state['date']}.", "",
              f"{summary(state)}.", "", "## Parts", ""]
    lines += rows(["part", "what", "result", "", "s", "SM MHz"], parts(state))
    lines += ["", "## Targets", ""]
    lines += rows(["what", "target", "measured", ""],
                  [(target.what, target.goal, text, verdict(reached))
                   for target in targets.TARGETS for text, reached in [targets.judge(target, state)]])
    for title, header, found in [
            ("Engine: medians in microseconds, what each contender is: benchmarks/engine",
             ["weights", "cache", *CONTENDERS, "row, host", "row, TB/s"], list(engine(state))),
            ("Training steps: ratio to a disabled monitor, 95 % confidence interval",
             ["model, rows", "turns", "ms a step", "monitored", "by hand", "snapshot, us"], list(overhead(state))),
            ("Profile of the first pass", ["what", "value"], list(profile(state)))]:
        if found:
            lines += ["", f"## {title}", "", *rows(header, found)]
    return "\n".join(lines) + "\n"
