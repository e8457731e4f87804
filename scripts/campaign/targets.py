# SPDX-License-Identifier: BSD-3-Clause
"""What the numbers should be: set before anything was measured. A target that is missed is reported as missed."""
import dataclasses
import typing

# Of memory, terabytes per second, by the vendors' data sheets.
PEAKS = {"H200": 4.8, "B200": 8.0, "H100 PCIe": 2.0, "H100 NVL": 3.9, "H100": 3.35, "GH200": 4.0, "A100": 2.0,
         "L40S": 0.864, "RTX 4090": 1.008}


@dataclasses.dataclass
class Target:
    what: str
    goal: str
    judge: typing.Callable  # state -> (text, reached or None) or None where nothing was measured


def peak(state):
    for name, value in PEAKS.items():
        if name in state["machine"]["gpu"]:
            return value
    return None


def workloads(state):
    """Workload -> "bytes", and cache -> contender -> times, of all parts together."""
    merged = {}
    for part in state["parts"].values():
        for workload, found in part.get("results", {}).get("workloads", {}).items():
            together = merged.setdefault(workload, {"bytes": found["bytes"]})
            for cache in ("warm", "cold"):
                if cache in found:
                    together.setdefault(cache, {}).update(found[cache])
    return merged


def short(workload):
    return workload.split(" ")[0].rstrip(",")


def entry(state, workload, cache, contender):
    return workloads(state).get(workload, {}).get(cache, {}).get(contender)


def rate(state, workload):
    """Terabytes per second of a row, cold."""
    row = entry(state, workload, "cold", "row")
    return workloads(state)[workload]["bytes"] / row["us"] * 1e-6 if row else None


def bandwidth(workload, share):
    def judge(state):
        found = rate(state, workload)
        if found is None:
            return None
        read = entry(state, workload, "cold", "read")
        beside = f"; CUB's sum alone {workloads(state)[workload]['bytes'] / read['us'] * 1e-6:.2f}" if read else ""
        most = peak(state)
        if most is None:
            return f"{found:.2f} TB/s{beside}; the peak of this GPU is not known here", None
        return f"{found:.2f} TB/s, {100 * found / most:.0f} % of {most:g}{beside}", found >= share * most
    return judge


def shapes(state):
    whole = rate(state, "16384x16384 (1 GB)")
    rates = {name: rate(state, name) for name in workloads(state) if name.startswith("sweep ")}
    rates = {name: value for name, value in rates.items() if value}
    if whole is None or not rates:
        return None
    worst = min(rates, key=rates.get)
    return f"{100 * rates[worst] / whole:.0f} % at {worst[6:]}, the worst of {len(rates)}", rates[worst] >= 0.6 * whole


def device_time(most, cache, *names):
    def judge(state):
        found = {name: entry(state, name, cache, "row") for name in names}
        if not all(found.values()):
            return None
        graphs = {name: entry(state, name, cache, "graph") for name in names}
        beside = {name: f" ({graph['us']:.1f} in a CUDA graph)" if graph else "" for name, graph in graphs.items()}
        text = ", ".join(f"{short(name)} {value['us']:.1f} us{beside[name]}" for name, value in found.items())
        return text, all(value["us"] <= most for value in found.values())
    return judge


def host_time(limits):
    def judge(state):
        found = {name: entry(state, name, "warm", "row") for name in limits}
        if not all(found.values()):
            return None
        text = ", ".join(f"{short(name)} {value['host_us']:.1f} us" for name, value in found.items())
        return text, all(found[name]["host_us"] <= limit for name, limit in limits.items())
    return judge


def reports(state):
    tools = ("memcheck", "racecheck", "initcheck", "synccheck")
    found = {tool: state["parts"].get(tool, {}) for tool in tools}
    found = {tool: part for tool, part in found.items() if part.get("status") in ("passed", "failed")}
    if not found:
        return None
    text = ", ".join(f"{tool} {part.get('results', {}).get('reports', '?')}" for tool, part in found.items())
    good = all(part["status"] == "passed" for part in found.values())
    return text, good if len(found) == len(tools) or not good else None


def overhead(interval, limit, *models):
    def judge(state):
        found = {}
        for model in models:
            line = state["parts"].get(f"overhead-{model}", {}).get("results", {}).get(f"{model} {interval}")
            if line:
                found[model] = line
        if not found:
            return None
        text = ", ".join(f"{model} {line['ratio']:.4f} ({line['low']:.4f} to {line['high']:.4f})"
                         for model, line in found.items())
        reached = all(line["ratio"] <= limit if limit > 1 else line["low"] <= 1 for line in found.values())
        return text, reached if len(found) == len(models) or not reached else None
    return judge


MODELS = ("mlp", "lenet5", "resnet18", "resnet50", "lstm", "transformer")
TARGETS = [
    Target("Rows, columns and moments in one read, 1 GB of float32", "at least 85 % of the memory's peak",
           bandwidth("16384x16384 (1 GB)", 0.85)),
    Target("The same, 1 GB of bfloat16", "at least 80 %", bandwidth("32768x16384 bfloat16 (1 GB)", 0.80)),
    Target("Any shape with 64 MB and more in all", "at least 60 % of the rate at 1 GB", shapes),
    Target("A whole snapshot of the MLP and of LeNet-5, time on the device", "at most 6 us",
           device_time(6, "warm", "MLP 784-200-100-10", "LeNet-5")),
    Target("A snapshot of ResNet-50, second-level cache cold", "at most 40 us",
           device_time(40, "cold", "ResNet-50, 54 weights")),
    Target("Time of a steady measurement on the host", "at most 20 us for ResNet-50, 5 us for the MLP",
           host_time({"ResNet-50, 54 weights": 20, "MLP 784-200-100-10": 5})),
    Target("Reports of compute-sanitizer", "0", reports),
    Target("A monitored step, every step recorded: MLP, LeNet-5", "at most 1.03", overhead("1", 1.03, "mlp", "lenet5")),
    Target("the same: ResNet-18 and ResNet-50", "at most 1.005", overhead("1", 1.005, "resnet18", "resnet50")),
    Target("the same: LSTM, transformer", "at most 1.02", overhead("1", 1.02, "lstm", "transformer")),
    Target("A monitored step, epoch ends only", "1 within the confidence interval", overhead("epoch", 1.0, *MODELS)),
]


def judge(target, state):
    """(text, reached); "not yet" where nothing was measured, and on anything but a GPU."""
    found = target.judge(state) if state["device"] == "cuda" else None
    return found or ("not yet", None)
