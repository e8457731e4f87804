# SPDX-License-Identifier: BSD-3-Clause
"""The command line as its users meet it: the real program on real files, its numbers compared with h5py's."""

import fcntl
import json
import math
import os
import pty
import re
import resource
import struct
import subprocess
import termios
import time

import h5py
import numpy
import pytest

CLI = os.environ["DYNASCOPE_CLI"]
SAMPLE = os.environ["SAMPLE_RUN"]
NODE_METRICS = ["fluctuation", "strength_mean", "strength_min", "strength_max", "nonfinite"]
LINK_METRICS = ["mean", "std", "min", "max", "abs_mean", "norm", "links/nonfinite"]
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def run(*arguments, **environment):
    clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
    return subprocess.run([CLI, *map(str, arguments)], capture_output=True, text=True, timeout=30,
                          env={**clean, **environment})


def run_on_terminal(*arguments, columns=200, **environment):
    """What a person sees: standard output is a pseudo-terminal."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    clean = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen([CLI, *map(str, arguments)], stdout=follower, stderr=subprocess.PIPE,
                               env={**clean, **environment})
    os.close(follower)
    text = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            break
        if not part:
            break
        text += part
    os.close(leader)
    assert process.wait(30) == 0, process.stderr.read()
    process.stderr.close()
    return text.decode().replace("\r\n", "\n")


def sample(folder, kind):
    path = folder / f"{kind}.h5"
    subprocess.run([SAMPLE, str(path), kind], check=True)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {kind: sample(folder, kind) for kind in ("finished", "killed", "sick", "empty")}


def closing_rows(path):
    with h5py.File(path, "r", swmr=True) as file:
        epoch = file["epoch"][: int(file["committed"][()])]
        last = {int(value): row for row, value in enumerate(epoch)}
        return last


def table(text):
    """A printed table as {title: column}."""
    lines = [line.split() for line in text.splitlines()]
    return {title: [line[i] for line in lines[1:]] for i, title in enumerate(lines[0])}


def dataset(metric):
    return metric if "/" in metric else ("nodes/" if metric in NODE_METRICS else "links/") + metric


@pytest.mark.parametrize("kind", ["finished", "killed", "sick"])
@pytest.mark.parametrize("metric", NODE_METRICS + LINK_METRICS)
def test_show_prints_the_numbers_of_the_file(runs, kind, metric):
    result = run("show", runs[kind], "--metric", metric, "--json")
    assert result.returncode == 0, result.stderr
    shown = json.loads(result.stdout)
    rows = closing_rows(runs[kind])
    assert shown["epoch"] == sorted(rows)
    assert shown["row"] == [rows[epoch] for epoch in sorted(rows)]
    with h5py.File(runs[kind], "r", swmr=True) as file:
        group = dataset(metric).split("/")[0]
        names = [name.decode() for name in file["nodes/layer" if group == "nodes" else "links/link"][:]]
        assert list(shown["layers"]) == names
        for i, name in enumerate(names):
            expected = file[dataset(metric)][shown["row"], i]
            got = numpy.array([math.nan if value is None else value for value in shown["layers"][name]])
            numpy.testing.assert_array_equal(got, expected)
        for key in ("loss", "accuracy"):
            got = numpy.array([math.nan if value is None else value for value in shown["scalars"][key]])
            numpy.testing.assert_array_equal(got, file["scalars"][key][shown["row"]])
        numpy.testing.assert_array_equal(shown["step"], file["step"][shown["row"]])
        numpy.testing.assert_array_equal(shown["time"], file["time"][shown["row"]])


def test_text_table_has_one_line_per_epoch_with_five_digits(runs):
    result = run("show", runs["finished"])
    assert result.returncode == 0 and result.stderr == ""
    columns = table(result.stdout)
    assert list(columns) == ["epoch", "step", "input", "conv/a", "fc", "loss", "accuracy"]
    assert columns["epoch"] == [str(epoch) for epoch in range(13)]
    rows = list(closing_rows(runs["finished"]).values())
    with h5py.File(runs["finished"], "r") as file:
        for i, name in enumerate(["input", "conv/a", "fc"]):
            numpy.testing.assert_allclose(numpy.array(columns[name], float), file["nodes/fluctuation"][rows, i],
                                          rtol=5.1e-5)
        numpy.testing.assert_allclose(numpy.array(columns["accuracy"], float), file["scalars/accuracy"][rows],
                                      rtol=5.1e-5)
    assert columns["loss"][0] == "nan"


@pytest.mark.parametrize("epochs, expected", [("3:5", [3, 4, 5]), ("11:", [11, 12]), (":1", [0, 1]), ("7", [7]),
                                              ("12:400", [12])])
def test_epoch_ranges_are_inclusive(runs, epochs, expected):
    assert table(run("show", runs["finished"], "--epochs", epochs).stdout)["epoch"] == [str(e) for e in expected]


@pytest.mark.parametrize("epochs", ["5:3", ":", "a:b", "1:2:3", "-1", "1.5", "3 ", "99999999999999999999"])
def test_wrong_epoch_range_says_what_it_must_be(runs, epochs):
    result = run("show", runs["finished"], f"--epochs={epochs}")
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("dynascope: --epochs") and epochs in result.stderr


def test_layers_are_chosen_by_name_in_the_order_asked_for(runs):
    columns = table(run("show", runs["finished"], "--layer", "fc", "--layer=conv/a").stdout)
    assert list(columns)[2:4] == ["fc", "conv/a"] and "input" not in columns
    links = table(run("show", runs["finished"], "--metric", "norm", "--layer", "fc.weight").stdout)
    assert "fc.weight" in links and "conv/a.weight" not in links


def test_unknown_layer_and_metric_name_those_that_exist(runs):
    layer = run("show", runs["finished"], "--layer", "fc9")
    assert layer.returncode == 2 and "'fc9'" in layer.stderr and "conv/a, fc" in layer.stderr
    metric = run("show", runs["finished"], "--metric", "flux")
    assert metric.returncode == 2 and "'flux'" in metric.stderr and "nodes/fluctuation" in metric.stderr


def test_open_epoch_is_shown_and_said_on_standard_error(runs):
    result = run("show", runs["killed"])
    assert result.returncode == 0
    assert table(result.stdout)["epoch"][-1] == "12" and "epoch 12 was not closed" in result.stderr


def test_run_that_is_still_written_is_shown(runs, tmp_path):
    path = tmp_path / "growing.h5"
    with subprocess.Popen([SAMPLE, str(path), "growing"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"ready\n"
        assert run("show", path).stdout == run("show", runs["killed"]).stdout
        assert json.loads(run("info", path, "--json").stdout)["provenance"]["in_progress"]
        writer.stdin.close()
        assert writer.wait(10) == 0
    assert not json.loads(run("info", path, "--json").stdout)["provenance"]["in_progress"]


def test_empty_run_and_empty_range_are_said(runs):
    for arguments in (("show", runs["empty"]), ("show", runs["finished"], "--epochs", "50:60")):
        result = run(*arguments)
        assert (result.returncode, result.stdout) == (0, "") and "no row" in result.stderr
    assert json.loads(run("show", runs["empty"], "--json").stdout)["layers"] == {"input": [], "conv/a": [], "fc": []}
    assert run("info", runs["empty"]).returncode == 0


@pytest.mark.parametrize("kind", ["finished", "killed", "sick"])
def test_info_json_agrees_with_the_file(runs, kind):
    result = run("info", runs[kind], "--json")
    assert result.returncode == 0, result.stderr
    info = json.loads(result.stdout)
    with h5py.File(runs[kind], "r", swmr=True) as file:
        rows = int(file["committed"][()])
        assert info["rows"]["count"] == rows == (24 if kind == "killed" else 25)
        assert info["rows"]["last_step"] == file["step"][rows - 1]
        assert info["rows"]["last_epoch"] == 12
        assert info["rows"]["epochs_closed"] == file["epoch_end"][1:rows].sum()
        assert info["rows"]["seconds"] == file["time"][rows - 1]
        assert info["rows"]["snapshot_seconds"] == pytest.approx(file["cost/snapshot"][:rows].sum())
        assert info["rows"]["snapshot_seconds_median"] == pytest.approx(numpy.median(file["cost/snapshot"][:rows]), rel=0.1)
        assert info["bytes"] == os.path.getsize(runs[kind])
        assert info["rows"]["dropped"] == file["cost/dropped"][:rows].sum() == 3
        assert info["last_scalars"]["accuracy"] == file["scalars/accuracy"][rows - 1]
        for key, attribute in (("run_id", "run_id"), ("created", "created"), ("schema_version", "schema_version"),
                               ("definitions_version", "definitions_version"), ("backend", "backend"),
                               ("torch_version", "torch_version"), ("title", "title")):
            assert info["provenance"][key] == file.attrs[attribute].decode()
        for key in ("bias", "boundary", "padding", "granularity"):
            assert info["options"][key] == file.attrs[key].decode()
        for layer, name in zip(info["node_layers"], sorted(n for n, g in file["nodes"].items()
                                                          if isinstance(g, h5py.Group))):
            group = file["nodes"][name]
            assert layer["name"] == group.attrs["name"].decode() and layer["role"] == group.attrs["role"].decode()
            assert layer["shape"] == group.attrs["shape"].tolist()
            assert layer["stored_shape"] == group.attrs["stored_shape"].tolist()
        assert [layer["count"] for layer in info["weight_layers"]] == file["links/count"][:].tolist()
        assert info["skipped"][0]["name"] == file["skipped/name"][0].decode()
        assert info["skipped"][0]["reason"] == file["skipped/reason"][0].decode()
    assert info["provenance"]["in_progress"] == (kind == "killed")
    assert [layer["from"] + layer["to"] for layer in info["weight_layers"]][0] == ["input", "conv/a"]


def test_info_finds_the_first_non_finite_value(runs):
    assert json.loads(run("info", runs["finished"], "--json").stdout)["rows"]["first_non_finite"] is None
    found = json.loads(run("info", runs["sick"], "--json").stdout)
    assert found["rows"]["first_non_finite"] == {"row": 3, "step": 15, "epoch": 2, "layer": "fc.weight", "count": 1}
    assert found["events"][0]["code"] == 3 and found["events"][0]["message"] == "first non-finite value in fc.weight"


def test_info_says_how_much_of_the_network_is_in_the_graph(runs):
    whole = json.loads(run("info", runs["finished"], "--json").stdout)["placement"]
    assert whole == {"share": 1.0, "parameters": [], "operators": [], "outputs": []}
    assert re.search(r"^in the graph +100 % of the weights$", run("info", runs["finished"]).stdout, re.MULTILINE)
    part = json.loads(run("info", runs["sick"], "--json").stdout)["placement"]
    assert part == {"share": 20 / 119, "parameters": ["idle.weight", "idle.bias"], "operators": ["aten::fft_rfft"],
                    "outputs": ["output1"]}
    assert ("16.8 % of the weights, 2 parameters in no layer (idle.weight, idle.bias), 1 operator not understood "
            "(aten::fft_rfft), 1 output not reached (output1)") in run("info", runs["sick"]).stdout


def test_info_says_how_many_parameters_are_measured(runs):
    assert json.loads(run("info", runs["sick"], "--json").stdout)["parameters"] == {"all": 160, "measured": 119}
    assert re.search(r"^measured +119 of 160 parameters \(74.3 %\)$", run("info", runs["sick"]).stdout, re.MULTILINE)
    assert json.loads(run("info", runs["finished"], "--json").stdout)["parameters"] == {"all": None, "measured": None}
    assert "parameters (" not in run("info", runs["finished"]).stdout


def test_info_text_says_it_all(runs):
    text = run("info", runs["sick"]).stdout
    for part in ("sample", "bias in, boundary one, padding true-edges, granularity unit", "conv/a", "2 x 3 x 4",
                 "hidden", "fft_rfft is not understood", "backend cpu", "25, up to step 120, epoch 12",
                 "3 rows dropped", "first in step 15 (epoch 2): 1 in fc.weight", "finished"):
        assert part in text, part
    assert "left behind: the process that wrote it was killed" in run("info", runs["killed"]).stdout


def test_names_from_a_file_cannot_drive_the_terminal(runs):
    for verb in ("info", "show"):
        assert "\x1b" not in run(verb, runs["sick"]).stdout
        assert "\x1b[31m" not in run_on_terminal(verb, runs["sick"])


def test_colour_follows_the_option_and_no_color(runs):
    path = runs["finished"]
    assert "\x1b[" not in run("show", path).stdout
    assert "\x1b[1m" in run("show", path, "--color=always").stdout
    assert "\x1b[1m" in run("--color=always", "show", path, NO_COLOR="1").stdout
    assert "\x1b[1m" in run_on_terminal("show", path)
    assert "\x1b[1m" in run_on_terminal("show", path, NO_COLOR="")
    assert "\x1b[" not in run_on_terminal("show", path, NO_COLOR="1")
    assert "\x1b[" not in run_on_terminal("show", path, "--color=never")
    assert ESCAPE.sub("", run("info", path, "--color=always").stdout) == run("info", path).stdout


def test_sparklines_only_on_a_terminal(runs):
    terminal = run_on_terminal("show", runs["finished"], "--color=never")
    assert terminal.startswith(run("show", runs["finished"]).stdout.splitlines()[0].split()[0].rjust(5))
    trend = terminal.splitlines()[-1].split()
    # Accuracy rises epoch by epoch: the line begins lowest and ends highest.
    assert trend[0] == "trend" and trend[-1][0] == "▁" and trend[-1][-1] == "█" and sorted(trend[-1]) == list(trend[-1])
    assert "trend" not in run("show", runs["finished"]).stdout


def test_wide_tables_fold_on_a_narrow_terminal_only(runs):
    lines = run_on_terminal("show", runs["finished"], "--color=never", columns=40).splitlines()
    assert max(map(len, lines)) <= 40 and sum(line.split()[:1] == ["epoch"] for line in lines) > 1
    assert sum("epoch" in line for line in run("show", runs["finished"], COLUMNS="40").stdout.splitlines()) == 1


def bad_files(folder, good):
    data = good.read_bytes()
    files = {
        "missing": folder / "missing.h5",
        "directory": folder,
        "empty": folder / "empty-file.h5",
        "text": folder / "text.h5",
        "truncated": folder / "truncated.h5",
        "header only": folder / "header.h5",
        "other hdf5": folder / "other.h5",
        "fifo": folder / "pipe.h5",
        "newer": folder / "newer.h5",
    }
    files["empty"].write_bytes(b"")
    files["text"].write_text("epoch,accuracy\n1,0.5\n" * 100)
    files["truncated"].write_bytes(data[: len(data) // 2])
    files["header only"].write_bytes(data[:512])
    with h5py.File(files["other hdf5"], "w") as file:
        file["x"] = 1
    os.mkfifo(files["fifo"])
    files["newer"].write_bytes(data)
    with h5py.File(files["newer"], "r+") as file:
        kind = h5py.h5a.open(file.id, b"schema_version").get_type()
        del file.attrs["schema_version"]
        attribute = h5py.h5a.create(file.id, b"schema_version", kind, h5py.h5s.create(h5py.h5s.SCALAR))
        attribute.write(numpy.array(b"2.0", dtype="S16"), mtype=kind)
    return files


@pytest.fixture(scope="module")
def bad(runs, tmp_path_factory):
    return bad_files(tmp_path_factory.mktemp("bad"), runs["finished"])


@pytest.mark.parametrize("kind", ["missing", "directory", "empty", "text", "truncated", "header only", "other hdf5",
                                  "fifo", "newer"])
@pytest.mark.parametrize("verb", ["info", "show"])
def test_bad_file_gives_one_clear_line_and_status_2(bad, verb, kind):
    result = run(verb, bad[kind], "--json")
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("dynascope: ")
    assert bad[kind].name in result.stderr
    assert "HDF5-DIAG" not in result.stderr
    if kind == "newer":
        assert "2.0" in result.stderr


def test_mutated_files_never_crash_hang_or_print_half_a_table(runs, tmp_path):
    """Bytes flipped and runs of bytes overwritten, seed fixed: fine, or one line and status 2."""
    seed = 20240607
    generator = numpy.random.default_rng(seed)
    data = numpy.frombuffer(runs["finished"].read_bytes(), numpy.uint8)
    path = tmp_path / "mutated.h5"
    statuses = []
    for number in range(80):
        changed = data.copy()
        for _ in range(generator.integers(1, 6)):
            at = generator.integers(0, min(len(data), 40000))
            length = generator.integers(1, 9)
            changed[at: at + length] = generator.integers(0, 256, len(changed[at: at + length]))
        path.write_bytes(changed.tobytes())
        for verb in ("info", "show"):
            begun = time.monotonic()
            result = subprocess.run([CLI, verb, str(path)], capture_output=True, timeout=20)
            hint = f"seed {seed}, mutation {number}, {verb}"
            assert time.monotonic() - begun < 10, hint
            assert result.returncode in (0, 2), (hint, result.stderr)
            if result.returncode == 2:
                assert result.stdout == b"" and result.stderr.count(b"\n") == 1, (hint, result.stderr)
            statuses.append(result.returncode)
    assert 0 < statuses.count(2) < len(statuses), "the mutations must hit something, and miss sometimes"


def test_usage_errors_are_status_2_and_help_is_0():
    assert run("--help").returncode == 0 and "Exit status" in run("--help").stdout
    assert "--epochs" in run("show", "--help").stdout and "links: " in run("show", "--help").stdout
    assert run("--version").stdout.startswith("dynascope ")
    for arguments in ([], ["info"], ["nonsense"], ["show", "a", "b"], ["info", "a", "--no-such"],
                      ["info", "a", "--color=sometimes"]):
        result = run(*arguments)
        assert result.returncode == 2 and result.stdout == "" and result.stderr != "", arguments


def test_report_without_its_python_is_one_line_that_says_what_to_install(runs, bad, tmp_path):
    """The page itself: tests/python/report_test.py."""
    result = run("report", runs["finished"], "-o", tmp_path / "page.html", DYNASCOPE_PYTHON="/nowhere/python")
    assert result.returncode == 2 and result.stdout == "" and result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in ("/nowhere/python", "pip install", "DYNASCOPE_PYTHON"))
    result = run("report", bad["text"], "-o", tmp_path / "page.html", DYNASCOPE_PYTHON="/nowhere/python")
    assert result.returncode == 2 and "text.h5 is no HDF5 file" in result.stderr, "the file is looked at first"
    assert not list(tmp_path.iterdir())


def test_full_device_is_trouble(runs):
    with open("/dev/full", "w") as full:
        result = subprocess.run([CLI, "show", str(runs["finished"])], stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 2 and "No space left" in result.stderr


@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="a sanitizer takes longer to start")
def test_starts_in_milliseconds_without_libtorch(runs):
    linked = subprocess.run(["ldd", CLI], capture_output=True, text=True, check=True).stdout
    assert "torch" not in linked
    spent = []
    for _ in range(15):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run("info", runs["finished"])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert sorted(spent)[len(spent) // 2] < 0.05, spent
