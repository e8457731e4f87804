# SPDX-License-Identifier: BSD-3-Clause
"""export and diff: values that come out as they are in the file, and runs that differ in one thing at a time."""

import csv
import io
import json
import os
import shutil
import subprocess

import h5py
import numpy as np
import pytest

from verbs_test import LINK_METRICS, NODE_METRICS, dataset, run, sample

WRITER = os.environ["SAMPLE_WRITER"]
FORMATS = ["csv", "npy", "json"]
KEYS = ["row", "epoch", "step", "epoch_end", "time"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for kind in ["mlp", "conv"]:
        subprocess.run([WRITER, kind, folder / f"{kind}.h5", "5"], check=True, timeout=60)
    for kind in ["finished", "killed", "sick"]:
        sample(folder, kind)
    return folder


def read_csv(text):
    lines = list(csv.reader(io.StringIO(text)))
    keys = {name: np.array([float(line[i]) for line in lines[1:]]) for i, name in enumerate(KEYS)}
    assert lines[0][:5] == KEYS
    return lines[0][5:], keys, np.array([[float(cell) for cell in line[5:]] for line in lines[1:]])


def export(path, form, out, *arguments):
    """The exported values as numpy reads them, and what says which rows they are of (None for npy)."""
    result = run("export", path, "--format", form, *arguments, *(["-o", out] if out else []))
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert result.stdout == "" or not out
    if form == "npy":
        return np.load(out), None
    text = out.read_text() if out else result.stdout
    if form == "json":
        read = json.loads(text)
        values = np.array(read["values"], dtype=float)
        assert list(values.shape) == read["shape"] or 0 in read["shape"]
        return values.reshape(read["shape"]), read
    names, keys, values = read_csv(text)
    return values, {**keys, "names": names}


def stored(path, name):
    with h5py.File(path, "r", swmr=True) as file:
        return file[name][: int(file["committed"][()])]


def same(got, expected, form):
    """JSON cannot spell infinities; CSV knows no axes beyond two, and no types."""
    expected = np.asarray(expected)
    if form == "json":
        expected = np.where(np.isfinite(expected), expected, np.nan)
    if form == "npy":
        assert got.dtype == expected.dtype and got.shape == expected.shape
    np.testing.assert_array_equal(got.reshape(expected.shape), expected)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ["finished", "killed", "sick"])
def test_values_per_layer_are_those_of_the_file(runs, tmp_path, kind, form):
    path = runs / f"{kind}.h5"
    for metric in [*NODE_METRICS, *LINK_METRICS, "histogram"]:
        got, keys = export(path, form, tmp_path / "out", "--metric", metric)
        same(got, stored(path, "links/histogram" if metric == "histogram" else dataset(metric)), form)
        for name in KEYS[1:] if keys else []:
            np.testing.assert_array_equal(keys[name], stored(path, name))


def test_columns_have_the_names_of_their_layers(runs):
    path = runs / "finished.h5"
    _, keys = export(path, "csv", None, "--metric", "fluctuation")
    assert keys["names"] == ["input", "conv/a", "fc"]
    _, keys = export(path, "json", None, "--metric", "fluctuation", "--layer", "fc", "--layer", "input")
    assert keys["layers"] == ["fc", "input"]
    values, keys = export(path, "csv", None, "--metric", "histogram", "--layer", "fc.weight")
    assert keys["names"] == [f"fc.weight:{bin}" for bin in ["under", 0, 1, 2, 3, "over"]]
    np.testing.assert_array_equal(values, stored(path, "links/histogram")[:, 1])


def test_a_single_layer_has_no_axis_of_its_own(runs, tmp_path):
    got, _ = export(runs / "finished.h5", "npy", tmp_path / "a.npy", "--metric", "fluctuation", "--layer", "conv/a")
    same(got, stored(runs / "finished.h5", "nodes/fluctuation")[:, 1], "npy")
    got, _ = export(runs / "finished.h5", "npy", tmp_path / "b.npy", "--metric", "mean", "--layer", "fc.weight",
                    "--layer", "conv/a.weight")
    same(got, stored(runs / "finished.h5", "links/mean")[:, ::-1], "npy")


@pytest.mark.parametrize("form", FORMATS)
def test_unit_metrics_come_stored_and_as_full_maps(runs, tmp_path, form):
    for kind, layer, group, metrics in [("finished", "conv/a", "001_conv%2Fa", ["strength"]),
                                        ("mlp", "block/fc1", "001_block%2Ffc1", ["strength", "in_strength"]),
                                        ("conv", "conv1", "000_conv1", ["strength"])]:
        path = runs / f"{kind}.h5"
        for metric in metrics:
            values = stored(path, f"nodes/{group}/{metric}")
            got, _ = export(path, form, tmp_path / "out", "--metric", metric, "--layer", layer)
            same(got, values, form)
            with h5py.File(path, "r") as file:
                node = file[f"nodes/{group}"]
                full = values.reshape(len(values), *node.attrs["stored_shape"])
                for axis in range(len(node.attrs["shape"])):
                    if f"class_{axis}" in node:
                        full = np.take(full, node[f"class_{axis}"][:], axis=axis + 1)
                assert list(full.shape[1:]) == list(node.attrs["shape"])
            got, keys = export(path, form, tmp_path / "out", "--metric", metric, "--layer", layer, "--expand")
            same(got, full, form)
            if form == "csv" and kind == "finished":
                assert keys["names"][:5] == ["0:0:0", "0:0:1", "0:0:2", "0:0:3", "0:1:0"]
                assert keys["names"][-1] == "1:3:3"


@pytest.mark.parametrize("form", FORMATS)
def test_sums_scalars_and_parameters(runs, tmp_path, form):
    path = runs / "mlp.h5"
    for name, where, layer in [("row_sum", "links/002_alone.weight/row_sum", "alone.weight"),
                               ("scalars/loss", "scalars/loss", None),
                               ("scalars/reward/mean", "scalars/reward%2Fmean", None),
                               ("parameters/block/fc1.weight", "parameters/block%2Ffc1.weight", None),
                               ("parameters/temperature", "parameters/temperature", None)]:
        got, _ = export(path, form, tmp_path / "out", "--metric", name, *(["--layer", layer] if layer else []))
        same(got, stored(path, where), form)


def test_the_format_follows_the_name_of_the_file_and_an_old_file_is_replaced(runs, tmp_path):
    out = tmp_path / "out.npy"
    out.write_text("old")
    assert run("export", runs / "mlp.h5", "--metric", "fluctuation", "-o", out).returncode == 0
    assert np.load(out).shape == (5, 3)
    assert os.listdir(tmp_path) == ["out.npy"]


def test_epochs_choose_rows(runs):
    _, keys = export(runs / "finished.h5", "csv", None, "--metric", "fluctuation", "--epochs", "3:4")
    assert keys["epoch"].tolist() == [3, 3, 4, 4]
    values, keys = export(runs / "finished.h5", "csv", None, "--metric", "fluctuation", "--epochs", "99:")
    assert len(keys["epoch"]) == 0 and keys["names"] == ["input", "conv/a", "fc"]


@pytest.mark.parametrize("arguments, says", [
    (["--metric", "strength", "--format", "csv"], "--layer"),
    (["--metric", "strength", "--layer", "fc2", "--layer", "input", "--format", "csv"], "one layer"),
    (["--metric", "strength", "--layer", "fc3", "--format", "csv"], "block/fc1"),
    (["--metric", "sharpness", "--format", "csv"], "fluctuation"),
    (["--metric", "fluctuation", "--expand", "--format", "csv"], "--expand"),
    (["--metric", "fluctuation"], "--format"),
    (["--metric", "fluctuation", "-o", "out.txt"], "--format"),
    (["--metric", "scalars/gain", "--format", "csv"], "loss"),
    (["--metric", "parameters/gain", "--format", "csv"], "record_parameters"),
    (["--metric", "fluctuation", "-o", "/nowhere/out.csv"], "/nowhere/out.csv"),
])
def test_wrong_export_is_one_line_and_leaves_nothing(runs, tmp_path, arguments, says):
    result = subprocess.run([os.environ["DYNASCOPE_CLI"], "export", runs / "mlp.h5", *arguments], cwd=tmp_path,
                            capture_output=True, text=True, timeout=30)
    assert result.returncode == 2 and result.stdout == "" and result.stderr.count("\n") == 1
    assert result.stderr.startswith("dynascope: ") and says in result.stderr
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_one_line(runs):
    result = run("export", runs / "mlp.h5", "--metric", "fluctuation", "--format", "npy", "-o", "/dev/full")
    assert result.returncode == 2 and "No space left" in result.stderr and result.stderr.count("\n") == 1


@pytest.fixture
def pair(runs, tmp_path):
    return runs / "mlp.h5", shutil.copy(runs / "mlp.h5", tmp_path / "other.h5")


def diff(*arguments):
    result = run("diff", *arguments)
    assert result.stderr == ""
    return result.returncode, result.stdout


def changed(path, name, where, value):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file[name][where] = value


@pytest.mark.parametrize("kind", ["mlp", "conv", "finished", "killed", "sick"])
def test_a_run_is_the_same_as_itself(runs, kind):
    assert diff(runs / f"{kind}.h5", runs / f"{kind}.h5") == (0, "")
    status, text = diff(runs / f"{kind}.h5", runs / f"{kind}.h5", "--json")
    assert status == 0 and json.loads(text)["same"] is True


@pytest.mark.parametrize("name, where, metric, layer", [
    ("nodes/fluctuation", (2, 2), "nodes/fluctuation", "fc2"),
    ("nodes/nonfinite", (2, 0), "nodes/nonfinite", "input"),
    ("nodes/001_block%2Ffc1/strength", (2, 1), "nodes/strength", "block/fc1"),
    ("nodes/001_block%2Ffc1/out_strength", (2, 1), "nodes/out_strength", "block/fc1"),
    ("links/std", (2, 0), "links/std", "block/fc1.weight"),
    ("links/histogram", (2, 2, 4), "links/histogram", "alone.weight"),
    ("links/002_alone.weight/column_sum", (2, 1), "links/column_sum", "alone.weight"),
    ("scalars/accuracy", 2, "scalars", "accuracy"),
    ("parameters/fc2.bias", (2, 1), "parameters", "fc2.bias"),
    ("epoch_end", 2, "epoch_end", "rows"),
])
def test_one_changed_value_is_found_where_it_is(pair, name, where, metric, layer):
    before = stored(pair[0], name)[where]
    after = 1 - before if name == "epoch_end" else before + 2
    changed(pair[1], name, where, after)
    status, text = diff(*pair, "--json")
    found = json.loads(text)
    assert status == 1 and found["same"] is False and found["definitions"] == []
    (only,) = found["metrics"]
    assert (only["metric"], only["layers"], only["different"]) == (metric, [layer], 1)
    assert (only["largest_a"], only["largest_b"]) == (before, after)
    assert only["largest"] == abs(float(after) - float(before))
    assert (only["first_step"], only["first_epoch"]) == (20, 1)
    status, text = diff(*pair)
    assert status == 1 and layer in text and metric in text
    assert diff(*pair, "-q") == (1, "")
    if name != "epoch_end":
        assert diff(*pair, "--atol", 2.01) == (0, "")


@pytest.mark.parametrize("name", ["time", "cost/snapshot", "events/value"])
def test_times_costs_and_events_make_no_difference(pair, name):
    changed(pair[1], name, 1, 77)
    assert diff(*pair) == (0, "")


def test_tolerances_are_those_of_numpy(pair):
    value = float(stored(pair[0], "nodes/fluctuation")[3, 2])
    changed(pair[1], "nodes/fluctuation", (3, 2), value * (1 + 1e-6))
    assert diff(*pair)[0] == 1
    assert diff(*pair, "--rtol", 1e-7)[0] == 1
    assert diff(*pair, "--rtol", 1.1e-6) == (0, "")


def test_nan_equals_nan_and_nothing_else(runs, tmp_path):
    other = shutil.copy(runs / "mlp.h5", tmp_path / "nan.h5")
    changed(other, "nodes/fluctuation", (3, 2), np.nan)
    assert diff(other, other) == (0, "")
    status, text = diff(runs / "mlp.h5", other, "--json", "--atol", 1e300)
    assert status == 1 and json.loads(text)["metrics"][0]["largest"] is None


def test_rows_that_only_one_has_are_told(runs, tmp_path):
    longer = tmp_path / "longer.h5"
    subprocess.run([WRITER, "mlp", longer, "8"], check=True, timeout=60)
    status, text = diff(runs / "mlp.h5", longer)
    assert status == 1 and text == "3 rows are only in B, the first of epoch 3, step 50\n"
    status, text = diff(longer, runs / "mlp.h5", "--json")
    assert json.loads(text)["rows"] == {"common": 5, "only_a": [5, 6, 7], "only_b": []}


def test_rows_are_matched_by_step_and_epoch(pair):
    changed(pair[1], "step", slice(2, 5), [25, 30, 40])
    status, text = diff(*pair, "--json")
    found = json.loads(text)
    assert status == 1 and found["rows"] == {"common": 4, "only_a": [2], "only_b": [2]} and found["metrics"] == []


def test_other_definitions_and_layers_are_told(runs, tmp_path):
    other = tmp_path / "other.h5"
    shutil.copy(runs / "mlp.h5", other)
    with h5py.File(other, "r+", libver=("v110", "v110")) as file:
        file.attrs["boundary"] = np.bytes_("zero")
        file["nodes/layer"][2] = b"fc3"
        file["nodes/002_fc2"].attrs["name"] = np.bytes_("fc3")
        file.move("nodes/002_fc2", "nodes/002_fc3")
    status, text = diff(runs / "mlp.h5", other)
    assert status == 1
    assert "boundary is 'one' in A and 'zero' in B\n" in text
    assert "node layers only in A: fc2\nnode layers only in B: fc3\n" in text
    assert "connections only in A: block/fc1 -> fc2 through fc2.weight" in text


def test_runs_of_other_networks_are_compared_as_far_as_they_go(runs):
    status, text = diff(runs / "mlp.h5", runs / "conv.h5")
    assert status == 1 and "node layers only in B: conv1, fc" in text


@pytest.mark.parametrize("arguments", [["missing.h5"], ["--atol", "-1"], ["--rtol", "x"], []])
def test_trouble_is_status_2(runs, arguments):
    result = run("diff", runs / "mlp.h5", *([] if arguments in ([], ["missing.h5"]) else [runs / "mlp.h5"]), *arguments)
    assert result.returncode == 2 and result.stdout == ""
