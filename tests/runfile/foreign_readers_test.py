# SPDX-License-Identifier: BSD-3-Clause
"""Run files as h5py, xarray, h5ls and h5dump see them: closed, growing, and with rules broken on purpose."""

import os
import subprocess
import sys

import h5py
import h5netcdf
import numpy as np
import pytest
import xarray

import run_file_rules

WRITER = os.environ["SAMPLE_WRITER"]
KINDS = ["mlp", "conv", "empty", "population"]
ROWS = 5


@pytest.fixture(scope="module", params=KINDS)
def run(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / f"{request.param}.h5"
    subprocess.run([WRITER, request.param, path, str(ROWS)], check=True, timeout=60)
    return path


@pytest.fixture
def mlp(tmp_path):
    path = tmp_path / "mlp.h5"
    subprocess.run([WRITER, "mlp", path, str(ROWS)], check=True, timeout=60)
    return path


def sample_value(row, span, positions):
    return (row * 4096 + span * 64 + np.asarray(positions) % 64) / 16


def groups(path):
    with h5py.File(path) as file:
        layers = [f"nodes/{name}" for name, item in file["nodes"].items() if isinstance(item, h5py.Group)]
        return [*file_groups(file), *layers[:1]]


def rows_of(path):
    return "all_members" if path.stem == "population" else "step"


def file_groups(file):
    return [name for name, item in file.items() if isinstance(item, h5py.Group)]


def test_every_rule_holds(run):
    run_file_rules.check(run)


def test_values_are_where_the_description_says(mlp):
    with h5py.File(mlp) as file:
        fluctuation, strength = file["/nodes/fluctuation"][...], file["/nodes/001_block%2Ffc1/in_strength"][...]
        assert file["/nodes/001_block%2Ffc1"].attrs["name"] == b"block/fc1"
        for row in range(ROWS):
            assert np.array_equal(fluctuation[row], sample_value(row, 0, range(3)))
            assert np.array_equal(strength[row], sample_value(row, 9, range(4)))
        assert file["/scalars/reward%2Fmean"][0] == 0.5 and np.isnan(file["/scalars/reward%2Fmean"][1])
        assert file["/links/histogram"].attrs["recorded"] == b"epoch-ends"
        assert file["/parameters/fc2.bias"].dtype == np.float64
        assert list(file["/graph/link"]) == [0, 1, -1]
        assert file["/skipped/reason"][1] == b"its input is not followed"
        assert file["/events/code"][...].tolist() == [3, 1]
        assert file["/events/message"][1].decode() == "two rows dropped \N{EN DASH} the disk is slow"


def test_classes_expand_as_the_spec_says(tmp_path):
    path = tmp_path / "conv.h5"
    subprocess.run([WRITER, "conv", path, "2"], check=True, timeout=60)
    with h5py.File(path) as file:
        group = file["/nodes/000_conv1"]
        full = group["strength"][1].reshape(group.attrs["stored_shape"])
        for axis in range(full.ndim):
            if f"class_{axis}" in group:
                full = np.take(full, group[f"class_{axis}"][...], axis=axis)
        assert full.shape == tuple(group.attrs["shape"]) == (2, 5, 4)
        assert group["multiplicity"][...].sum() == full.size


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_xarray_opens_every_group_as_is(run, engine):
    for group in [None, *groups(run)]:
        options = {"phony_dims": "sort"} if engine == "h5netcdf" else {}
        with xarray.open_dataset(run, engine=engine, group=group, **options) as data:
            data.load()
            if group == "nodes":
                assert data["fluctuation"].dims == (rows_of(run), "layer")
                assert data["nonfinite"].dtype == np.int64, "integers must stay integers"
            if group == "links" and "histogram" in data:
                assert data["histogram"].dims == (rows_of(run), "link", "bin")
            if group == "scalars":
                assert all(data[name].dims == ("step",) for name in data)
            if group == "member":
                assert all(data[name].dims in [("member",), (rows_of(run),)] for name in data)
                assert data["net"].values.tolist() == [0, 0, 0, 1, 1]
    if rows_of(run) == "all_members":
        return
    with xarray.open_dataset(run, engine=engine) as root:
        assert root.indexes["step"].tolist() == [0, 10, 20, 30, 40]
        assert root.attrs["schema"] == "dynascope-run"


def test_xarray_selects_layers_by_name(mlp):
    with xarray.open_dataset(mlp, engine="netcdf4", group="nodes") as data:
        assert data["fluctuation"].sel(layer="fc2")[1] == sample_value(1, 0, 2)


@pytest.mark.parametrize("tool", [["h5ls", "-r"], ["h5dump"]])
def test_command_line_tools_read_it(run, tool):
    done = subprocess.run([*tool, run], capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stderr == b""


class Live:
    """The sample writer, one row per call of `step`."""

    def __init__(self, path, kind="mlp"):
        self.process = subprocess.Popen([WRITER, kind, path, "1", "live"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.rows = 1
        self.step()

    def step(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == f"row {self.rows}\n"
        self.rows += 1

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=30) == 0


def test_h5py_follows_a_growing_run(tmp_path):
    path = tmp_path / "live.h5"
    live = Live(path)
    with h5py.File(path, swmr=True) as file:
        committed, strength = file["/committed"], file["/nodes/000_input/strength"]
        for _ in range(20):
            live.step()
            for dataset in (committed, strength):
                dataset.refresh()
            rows = int(committed[()])
            assert rows == live.rows
            assert np.array_equal(strength[rows - 1], sample_value(rows - 1, 5, range(6)))
    live.close()
    run_file_rules.check(path)


def test_documented_recipe_opens_a_growing_run_in_xarray(tmp_path):
    path = tmp_path / "live.h5"
    live = Live(path)
    store = xarray.backends.H5NetCDFStore(h5netcdf.File(h5py.File(path, "r", swmr=True)), group="nodes")
    with xarray.open_dataset(store) as data:
        assert data["fluctuation"].shape == (live.rows, 3)
    live.close()


def test_killed_run_is_readable_up_to_committed(tmp_path):
    path = tmp_path / "killed.h5"
    live = Live(path)
    for _ in range(3):
        live.step()
    live.process.kill()
    live.process.wait()
    with h5py.File(path, swmr=True) as file:
        assert file["/committed"][()] == live.rows == 5
        assert np.array_equal(file["/nodes/fluctuation"][4], sample_value(4, 0, range(3)))


def test_a_growing_population_is_read_and_a_killed_one_too(tmp_path):
    path = tmp_path / "population.h5"
    live = Live(path, "population")
    for _ in range(5):
        live.step()
    with h5py.File(path, swmr=True) as file:
        assert file["/committed"][()] == live.rows == 7
    store = xarray.backends.H5NetCDFStore(h5netcdf.File(h5py.File(path, "r", swmr=True)), group="member")
    with xarray.open_dataset(store) as data:
        assert data["epoch"].values.tolist() == [1, 2, 3, 1, 2, 3, 1]
    live.process.kill()
    live.process.wait()
    with h5py.File(path, swmr=True) as file:
        assert np.array_equal(file["/nodes/fluctuation"][6], sample_value(6, 0, range(3)))


# The rules would be worth nothing if broken files passed.
def broken(name):
    def add_object(file):
        file["/nodes/extra"] = np.zeros(3)

    def retype(file):
        values = file["/epoch"][...].astype(np.int32)
        del file["/epoch"]
        file["/epoch"] = values

    def drop_units(file):
        del file["/time"].attrs["units"]

    def drop_scale(file):
        file["/nodes/fluctuation"].dims[1].detach_scale(file["/nodes/layer"])

    def fill_integers(file):
        file["/links/nonfinite"].attrs["_FillValue"] = np.int64(-1)

    def variable_string(file):
        file.attrs["title"] = "variable"

    def repeat_row(file):
        file["/step"][2], file["/epoch"][2] = file["/step"][1], file["/epoch"][1]

    def miscount(file):
        file["/committed"][()] = ROWS - 1

    def soft_link(file):
        file["/nodes/extra"] = h5py.SoftLink("/step")

    def multiplicity(file):
        file["/nodes/000_input/multiplicity"][0] = 2

    def enumeration(file):
        file.attrs["bias"] = np.bytes_("out")

    return locals()[name]


def test_broken_rule_of_a_population_is_noticed(tmp_path):
    path = tmp_path / "population.h5"
    subprocess.run([WRITER, "population", path, str(ROWS)], check=True, timeout=60)
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file["/member/epoch"][1], file["/member/seed"][2] = 1, 5
    with pytest.raises(AssertionError, match="(?s)pairs must be unique.*one seed"):
        run_file_rules.check(path)


@pytest.mark.parametrize("name, complaint", [
    ("add_object", "undeclared objects .*/nodes/extra"),
    ("retype", "/epoch must be int64, is int32"),
    ("drop_units", "/time has no units"),
    ("drop_scale", "/nodes/fluctuation: axis 1 must have the scale /nodes/layer"),
    ("fill_integers", "/links/nonfinite: _FillValue on float datasets only"),
    ("variable_string", "attribute title must be a fixed-length string"),
    ("repeat_row", "pairs must be unique"),
    ("miscount", "/committed must be 5, is 4"),
    ("soft_link", "/nodes/extra must be a hard link"),
    ("multiplicity", "/nodes/000_input/multiplicity must be"),
    ("enumeration", "attribute bias must be one of"),
])
def test_broken_rule_is_noticed(mlp, name, complaint):
    with h5py.File(mlp, "r+", libver=("v110", "v110")) as file:
        broken(name)(file)
    with pytest.raises(AssertionError, match=complaint):
        run_file_rules.check(mlp)


def test_rules_pass_what_h5py_only_opened_for_writing(mlp):
    with h5py.File(mlp, "r+", libver=("v110", "v110")):
        pass
    run_file_rules.check(mlp)


FOLLOW = """
import sys, h5py, numpy as np
file = h5py.File(sys.argv[1], "r", libver="latest", swmr=True)
looks, rows = 0, 0
while rows < int(sys.argv[2]):
    file["committed"].refresh()
    rows = int(file["committed"][()])
    fluctuation, strength = file["/nodes/fluctuation"], file["/nodes/001_block%2Ffc1/in_strength"]
    fluctuation.refresh(), strength.refresh()
    assert np.array_equal(fluctuation[:rows, 1], (np.arange(rows) * 4096 + 1) / 16), rows
    assert np.array_equal(strength[:rows, 2], np.float32((np.arange(rows) * 4096 + 9 * 64 + 2) / 16)), rows
    looks += 1
print(looks)
"""


def test_five_readers_at_once_never_see_half_a_row(tmp_path):
    rows = 400
    live = Live(tmp_path / "run.h5")
    readers = [subprocess.Popen([sys.executable, "-c", FOLLOW, tmp_path / "run.h5", str(rows)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for _ in range(5)]
    while live.rows < rows:
        live.step()
    for reader in readers:
        out, err = reader.communicate(timeout=60)
        assert reader.returncode == 0, err
        assert int(out) > 0
    live.close()
    run_file_rules.check(tmp_path / "run.h5")
