# SPDX-License-Identifier: BSD-3-Clause
"""scripts/gpu_campaign without a GPU: in a bundle's folder whose executables say what the real ones would (stub.py),
and with the real ones on the host stand-in. Nothing here was measured on a GPU."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import h5py
import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from campaign import parts, place, readings, runner, table, targets  # noqa: E402

LONG = os.environ.get("DYNASCOPE_LONG_TESTS") == "1"  # scripts/test --full
BUILD = pathlib.Path(os.environ["DYNASCOPE_BUILD"])
TOOLS = ("nvidia-smi", "compute-sanitizer", "ncu")
ALL = [part.name for part in parts.on_cuda()]


class Machine:
    """A bundle's folder, a PATH with the tools of a machine with a GPU, and a Python with torch."""

    def __init__(self, folder):
        self.folder = folder
        self.bundle = folder / "bundle"
        self.tools = folder / "tools"
        self.out = folder / "out"
        (self.bundle / "bin").mkdir(parents=True)
        self.tools.mkdir()
        shutil.copy(ROOT / "scripts" / "gpu_campaign", self.bundle)
        shutil.copytree(ROOT / "scripts" / "campaign", self.bundle / "campaign",
                        ignore=shutil.ignore_patterns("__pycache__"))
        (self.bundle / "revision").write_text("0123456789abcdef\n")
        for name in place.FOLDERS:
            self.install(self.bundle / "bin" / name)
        for name in TOOLS:
            self.install(self.tools / name)
        self.set_torch("2.11.0+cu130")

    @staticmethod
    def install(path):
        path.write_text(f"#!{sys.executable}\n" + (HERE / "stub.py").read_text())
        path.chmod(0o755)

    def set_torch(self, version):
        site = self.folder / "site"
        shutil.rmtree(site, ignore_errors=True)
        (site / "torch" / "lib").mkdir(parents=True)
        (site / "torch" / "version.py").write_text(f"__version__ = '{version}'\n")
        (site / "torch" / "__init__.py").write_text("raise ImportError('must be found, not imported')\n")
        info = site / f"torch-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")

    def environment(self, **more):
        return {**os.environ, "PATH": f"{self.tools}:/usr/bin:/bin", "PYTHONPATH": str(self.folder / "site"),
                "STUB_LOG": str(self.folder / "calls"), "STUB_PID": str(self.folder / "pid"), **more}

    def command(self, *arguments):
        return [sys.executable, str(self.bundle / "gpu_campaign"), "--out", str(self.out), *map(str, arguments)]

    def run(self, *arguments, **environment):
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60, check=False,
                              env=self.environment(**environment))

    def calls(self):
        log = self.folder / "calls"
        return log.read_text().split() if log.exists() else []

    def state(self):
        return json.loads((self.out / "campaign.json").read_text())

    def page(self):
        return (self.out / "campaign.md").read_text()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def alive(number):
    try:
        return pathlib.Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_arguments_are_checked(machine):
    for arguments in (["--minutes", "0"], ["--minutes", "soon"], ["--device", "tpu"], ["--nonsense"]):
        result = machine.run(*arguments)
        assert result.returncode == 2 and result.stderr, arguments
    help_text = machine.run("--help").stdout
    assert "Exit status" in help_text and "--minutes" in help_text
    listed = [line.split()[0] for line in machine.run("--list").stdout.splitlines()]
    assert listed == ALL and listed[0] == "kernels"
    assert [line.split()[0] for line in machine.run("--list", "--only", "check$").stdout.splitlines()] == [
        "memcheck", "racecheck", "initcheck", "synccheck"]
    assert machine.calls() == [] and not machine.out.exists()


def test_a_machine_that_cannot_is_told_what_to_do(machine, tmp_path):
    (machine.tools / "nvidia-smi").unlink()
    result = machine.run()
    assert result.returncode == 2 and "nvidia-smi" in result.stderr and "--device host" in result.stderr
    machine.set_torch("2.9.1")
    result = machine.run()
    assert result.returncode == 2 and "2.11" in result.stderr and "2.9.1" in result.stderr
    result = machine.run("--build", tmp_path / "nowhere")
    assert result.returncode == 2 and "nowhere" in result.stderr and "scripts/build ci" in result.stderr


def test_everything_passes_and_is_written_down(machine):
    """All but the part that would import torch, which this Python only says it has."""
    result = machine.run()
    assert result.returncode == 3, result.stdout + result.stderr
    state, page = machine.state(), machine.page()
    assert list(state["parts"]) == ALL
    assert {name: part["status"] for name, part in state["parts"].items() if part["status"] != "passed"} == {
        "engine-compiled": "missing"}
    assert "torch.compile cannot be used here: ImportError: must be found, not imported" in page
    for expected in ("NVIDIA H200", "driver 580.1", "1980 MHz", "LibTorch 2.11.0+cu130", "0123456789abcdef",
                     state["date"], f"{len(ALL) - 1} passed"):
        assert expected in page
    for name in ALL:
        assert (machine.out / "logs" / f"{name}.log").read_text().startswith("$ ")
    assert state["parts"]["memcheck"]["results"]["reports"] == 0
    assert "--gtest_filter=*/cuda" in (machine.out / "logs" / "rows.log").read_text()
    assert not (machine.out / "data").exists(), "60,000 images are not left behind"


def test_a_failing_part_is_a_failing_campaign_and_the_others_run(machine):
    result = machine.run("--only", "^(rows|engine|oracle)$", STUB_FAIL="engine")
    assert result.returncode == 1 and "failed     engine" in result.stdout
    parts_ = machine.state()["parts"]
    assert parts_["engine"]["status"] == "failed" and "Suite.Two/cuda" in parts_["engine"]["reason"]
    assert [part["status"] for part in parts_.values()] == ["passed", "failed", "passed"]
    assert "| failed |" in machine.page()


@pytest.mark.parametrize("executable, text, part, status, reason", [
    ("oracle", "[==========] 0 tests ran.", "oracle", "failed", "no case ran"),
    ("oracle", "Segmentation fault", "oracle", "failed", "no case ran"),
    ("cuda_endurance", "file.cpp:1: Skipped\nneeds 10 GiB\n[  SKIPPED ] Backends/Large.Few/cuda (0 ms)", "endurance",
     "skipped", "needs 10 GiB"),
    ("bench_overhead", "nothing", "overhead-mlp", "failed", "no line"),
    ("bench_engine", "cannot open", "engine-large", "failed", "cannot open"),
    ("cuda_remeasure", "5 rows, 7 values of cpu measured again by cpu, not equal", "training", "failed", "0 of 2"),
    ("compute-sanitizer", "========= Error: Device not supported", "memcheck", "missing", "Device not supported"),
    ("ncu", "==ERROR== ERR_NVGPUCTRPERM", "profile", "missing", "ERR_NVGPUCTRPERM"),
])
def test_what_a_log_does_not_say_is_not_believed(machine, campaign, monkeypatch, capsys, executable, text, part, status,
                                                 reason):
    monkeypatch.setenv("STUB_SAY", f"{executable}:{text}")
    exit_status = campaign(300).run(parts.of_device("cuda", f"^{part}$"))
    found = machine.state()["parts"][part]
    assert (found["status"], exit_status) == (status, 1 if status == "failed" else 3), found
    assert reason in found["reason"] and reason in capsys.readouterr().out


def test_reports_of_the_sanitizer_fail(machine):
    assert machine.run("--only", "memcheck|racecheck", STUB_FAIL="compute-sanitizer").returncode == 1
    for tool in ("memcheck", "racecheck"):
        found = machine.state()["parts"][tool]
        assert found["status"] == "failed" and found["results"]["reports"] == 1
        assert found["reason"] == "1 reports; 1 of their lines name our kernels"
    assert "memcheck 1, racecheck 1 | MISSED" in machine.page()


def test_a_missing_tool_is_said_and_tried_again(machine):
    (machine.tools / "compute-sanitizer").unlink()
    (machine.bundle / "bin" / "oracle").unlink()
    result = machine.run("--only", "memcheck|oracle|kernels")
    assert result.returncode == 3
    assert "missing    memcheck: compute-sanitizer is not on this machine" in result.stdout
    assert "missing    oracle: no executable oracle" in result.stdout
    assert "compute-sanitizer is not on this machine" in machine.page()
    machine.install(machine.tools / "compute-sanitizer")
    result = machine.run("--only", "memcheck|kernels")
    assert result.returncode == 0 and "before     kernels: passed" in result.stdout
    assert "passed     memcheck" in result.stdout


def test_too_little_time_begins_nothing(machine):
    result = machine.run("--minutes", "0.1")
    assert result.returncode == 3 and machine.calls() == []
    found = machine.state()["parts"].values()
    assert all(part["status"] == "unfinished" and "not begun" in part["reason"] for part in found)
    assert machine.run("--only", "kernels").returncode == 0, "and the next call does it"


def part_of(name, executable, least=0, most=600):
    return parts.Part(name, name, [lambda context: [context.executable(executable)]], readings.tests, least, most)


@pytest.fixture
def campaign(machine, monkeypatch):
    """Makes a campaign in this process, whose parts may be shorter than the real ones."""
    for name, value in machine.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(runner, "RESERVE", 0.2)
    here = place.Place(machine.bundle, True, "0123456789abcdef", machine.folder / "site" / "torch")
    return lambda seconds: runner.Campaign(here, machine.out, "cuda", seconds)


def test_a_part_is_ended_with_its_children_at_the_time_limit_and_gone_on_with(machine, campaign, monkeypatch):
    # Shells: a busy machine takes its time to start Python.
    hang = '[ "$STUB_PASS" ] || { sleep 600 & echo $! > "$STUB_PID"; wait; }'
    for name, then in (("cuda_kernels", ""), ("cuda_backend", hang)):
        (machine.bundle / "bin" / name).write_text(
            f"#!/bin/sh\necho {name} >> $STUB_LOG\n{then}\necho '[       OK ] Suite.One/cuda (3 ms)'\n")
    wanted = [part_of("one", "cuda_kernels"), part_of("two", "cuda_backend"), part_of("three", "engine", least=5)]
    begin = time.monotonic()
    assert campaign(1.2).run(wanted) == 3
    assert time.monotonic() - begin < 5
    state = machine.state()["parts"]
    assert [state[name]["status"] for name in ("one", "two", "three")] == ["passed", "unfinished", "unfinished"]
    assert "at the time limit" in state["two"]["reason"] and "not begun: needs 5 s" in state["three"]["reason"]
    assert not alive((machine.folder / "pid").read_text()), "the child of an ended part must be gone"

    # With less time than it had it is not begun again, and what it had is not forgotten.
    assert campaign(0.5).run(wanted[:2]) == 3
    assert "not begun" in machine.state()["parts"]["two"]["reason"]
    assert machine.state()["parts"]["two"]["seconds"] == state["two"]["seconds"]
    monkeypatch.setenv("STUB_PASS", "1")
    assert campaign(60).run(wanted) == 0
    assert machine.calls() == ["cuda_kernels", "cuda_backend", "cuda_backend", "engine"], "what passed is not repeated"


def test_a_part_over_its_own_limit_has_failed(machine, campaign, monkeypatch):
    monkeypatch.setenv("STUB_HANG", "engine")
    assert campaign(60).run([part_of("slow", "engine", most=0.4), part_of("next", "oracle")]) == 1
    state = machine.state()["parts"]
    assert "its limit" in state["slow"]["reason"] and state["next"]["status"] == "passed"
    assert not alive((machine.folder / "pid").read_text())


def test_an_interrupted_campaign_goes_on(machine):
    process = subprocess.Popen(machine.command("--only", "kernels|rows"), stdout=subprocess.PIPE, text=True,
                               env=machine.environment(STUB_HANG="cuda_backend"))
    until = time.monotonic() + 20
    while not (machine.folder / "pid").exists() or not (machine.folder / "pid").read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 3 and "unfinished rows: interrupted" in output
    assert not alive((machine.folder / "pid").read_text())
    assert machine.run("--only", "kernels|rows").returncode == 0
    assert machine.calls() == ["cuda_kernels_device", "cuda_backend", "cuda_backend"]


def test_another_commit_gpu_or_build_is_refused(machine):
    assert machine.run("--only", "kernels").returncode == 0
    before = (machine.out / "campaign.json").read_bytes()

    def expect_refusal(*texts, **environment):
        result = machine.run("--only", "kernels", **environment)
        assert result.returncode == 2 and all(text in result.stderr for text in (*texts, "--out")), result.stderr
        assert (machine.out / "campaign.json").read_bytes() == before

    expect_refusal("NVIDIA H200", "NVIDIA A100", STUB_GPU="NVIDIA A100")
    machine.set_torch("2.11.1")
    expect_refusal("2.11.0+cu130", "2.11.1")
    machine.set_torch("2.11.0+cu130")
    (machine.bundle / "revision").write_text("fedcba\n")
    expect_refusal("0123456789abcdef", "fedcba")
    (machine.bundle / "revision").write_text("0123456789abcdef\n")
    with open(machine.bundle / "bin" / "engine", "a", encoding="utf-8") as file:
        file.write("# another build\n")
    expect_refusal("executables")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_broken_state_is_refused(machine, text):
    machine.out.mkdir()
    (machine.out / "campaign.json").write_text(text)
    result = machine.run()
    assert result.returncode == 2 and "campaign.json" in result.stderr and result.stderr.count("\n") == 1
    assert (machine.out / "campaign.json").read_text() == text


def hand_made():
    """A campaign made by hand for these tests: no number in it was measured."""
    def contender(us, host=1.0):
        return {"us": us, "low": us, "high": us, "samples": 30, "host_us": host}

    def workload(size, **rows):
        caches = {cache: {name: contender(us) for name, us in found.items()} for cache, found in rows.items()}
        return {"bytes": size, **caches}

    gigabyte = 2.0**30
    engine = {"device": "cuda", "not_run": {}, "workloads": {
        "16384x16384 (1 GB)": workload(gigabyte, cold={"row": 250.0, "read": 240.0}),
        "sweep 8x8": workload(gigabyte / 16, cold={"row": 40.0}),
        "MLP 784-200-100-10": workload(711240.0, warm={"row": 6.5, "graph": 5.5, "eager": 90.0}),
        "LeNet-5": workload(246824.0, warm={"row": 5.8})}}
    return {"format": 1, "date": "2001-01-01T00:00Z", "commit": "hand-made" + "0" * 31, "executables": "hand-made",
            "device": "cuda", "machine": {"gpu": "NVIDIA H200 (hand-made)", "driver": "0", "processor": "none",
                                          "torch": "none"},
            "planned": {"engine": "the engine", "rows": "rows | with a bar"},
            "parts": {"engine-large": {"title": "engine", "status": "passed", "seconds": 3.0, "results": engine},
                      "rows": {"title": "rows", "status": "failed", "reason": "2 cases failed", "seconds": 1.0},
                      "overhead-mlp": {"title": "mlp", "status": "passed", "results": {"mlp 1": {
                          "turns": 9, "step_ms": 1.0, "ratio": 1.2, "low": 1.1, "high": 1.3, "by_hand": 2.0,
                          "snapshot_us": 4.0}}}}}


def test_targets_are_judged_by_the_numbers():
    verdicts = {target.what: targets.judge(target, hand_made()) for target in targets.TARGETS}
    rate = 2.0**30 / 250.0 * 1e-6
    assert verdicts["Rows, columns and moments in one read, 1 GB of float32"] == (
        f"{rate:.2f} TB/s, 89 % of 4.8; CUB's sum alone 4.47", True)
    assert verdicts["Any shape with 64 MB and more in all"] == ("39 % at 8x8, the worst of 1", False)
    assert verdicts["A whole snapshot of the MLP and of LeNet-5, time on the device"] == (
        "MLP 6.5 us (5.5 in a CUDA graph), LeNet-5 5.8 us", False)
    assert verdicts["A monitored step, every step recorded: MLP, LeNet-5"] == ("mlp 1.2000 (1.1000 to 1.3000)", False)
    assert verdicts["The same, 1 GB of bfloat16"] == verdicts["Reports of compute-sanitizer"] == ("not yet", None)
    unknown = hand_made()
    unknown["machine"]["gpu"] = "a GPU of next year"
    assert targets.judge(targets.TARGETS[0], unknown)[1] is None
    host = {**hand_made(), "device": "host"}
    assert all(targets.judge(target, host) == ("not yet", None) for target in targets.TARGETS)


def test_the_table_holds_what_was_recorded():
    page = table.campaign(hand_made())
    for line in ("| rows | rows / with a bar | failed | 2 cases failed | 1 |  |",
                 "| MLP 784-200-100-10 | warm | 6.5 | 5.5 |  | 90.0 |  |  |  |  |  |  | 1.0 | 0.11 |",
                 "| mlp 1 | 9 | 1.000 | 1.2000 (1.1000 to 1.3000) | 2.0000 | 4.0 |", "1 failed, 1 not reached"):
        assert line in page
    assert "Without a GPU" not in page and "Without a GPU" in table.campaign({**hand_made(), "device": "host"})


def docs(root, *arguments):
    command = [sys.executable, str(ROOT / "scripts" / "campaign" / "docs.py"), "--root", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_the_page_says_what_the_results_say():
    result = docs(ROOT, "--check")
    assert result.returncode == 0, result.stderr


def test_a_stale_page_is_found_and_made_anew(tmp_path):
    (tmp_path / "docs").mkdir()
    results = tmp_path / "benchmarks" / "results" / "gpu"
    results.mkdir(parents=True)
    page = tmp_path / "docs" / "gpu.md"
    shutil.copy(ROOT / "docs" / "gpu.md", page)
    assert docs(tmp_path).returncode == 0
    nothing = page.read_text()
    assert nothing.count("| not yet |") == len(ALL) + len(targets.TARGETS)
    (results / "hand-made.json").write_text(json.dumps(hand_made()))
    assert docs(tmp_path, "--check").returncode == 1 and page.read_text() == nothing
    assert docs(tmp_path).returncode == 0 and docs(tmp_path, "--check").returncode == 0
    assert "failed (2 cases failed): NVIDIA H200 (hand-made), 2001-01-01, commit hand-made000" in page.read_text()
    assert "89 % of 4.8" in page.read_text() and "MISSED" in page.read_text()
    page.write_text(page.read_text().replace("MISSED", "reached"))
    assert docs(tmp_path, "--check").returncode == 1
    (results / "stand-in.json").write_text(json.dumps({**hand_made(), "device": "host"}))
    result = docs(tmp_path)
    assert result.returncode == 2 and "--device cuda" in result.stderr


def test_the_whole_flow_on_the_host_stand_in(tmp_path):
    """The real executables: all of them with scripts/test --full, otherwise those that take a second or two."""
    if LONG:
        wanted = ""
    else:
        wanted = "^(rows|training|engine-networks)$"
    command = [sys.executable, str(ROOT / "scripts" / "gpu_campaign"), "--build", str(BUILD), "--device", "host",
               "--only", wanted, "--out", str(tmp_path / "out"), "--minutes", "3"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    state = json.loads((tmp_path / "out" / "campaign.json").read_text())
    assert state["device"] == "host" and "host stand-in" in state["machine"]["gpu"]
    assert state["machine"]["torch"].startswith("2.11.")
    assert state["parts"]["rows"]["results"]["passed"] > 5
    assert state["parts"]["training"]["results"]["runs"][0]["rows"] > 2
    assert "nothing about a GPU" in (tmp_path / "out" / "campaign.md").read_text()

    # The comparison of the training part is one: a value of the file that is not what was measured is found.
    with h5py.File(tmp_path / "out" / "mlp.h5", "r+") as file:
        file["nodes/fluctuation"][1, 0] += 1e-12
    result = subprocess.run([str(BUILD / "tests" / "cuda" / "cuda_remeasure"), str(tmp_path / "out" / "mlp.h5")],
                            capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1 and "/nodes/fluctuation: 1 values differ" in result.stdout


@pytest.mark.skipif(not LONG, reason="long: DYNASCOPE_LONG_TESTS=1, which scripts/test --full sets")
def test_a_bundle_runs_the_campaign_too(tmp_path):
    command = [str(ROOT / "scripts" / "bundle"), str(BUILD), str(tmp_path / "bundle")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    shutil.rmtree(tmp_path / "bundle")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(["tar", "-xzf", str(tmp_path / "bundle.tar.gz"), "-C", str(elsewhere)], check=True, timeout=60)
    command = [sys.executable, str(elsewhere / "bundle" / "gpu_campaign"), "--device", "host", "--only",
               "rows|training", "--out", str(tmp_path / "out")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    state = json.loads((tmp_path / "out" / "campaign.json").read_text())
    assert state["commit"] == (elsewhere / "bundle" / "revision").read_text().strip()
