# SPDX-License-Identifier: BSD-3-Clause
"""validate, recover and watch: rules broken one by one, files left behind, runs that grow while they are watched."""

import json
import os
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest
import xarray

import run_file_rules
from verbs_test import CLI, SAMPLE, run, run_on_terminal, sample

WRITER = os.environ["SAMPLE_WRITER"]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    for kind in ["mlp", "conv", "population"]:
        subprocess.run([WRITER, kind, folder / f"{kind}.h5", "5"], check=True, timeout=60)
    for kind in ["finished", "killed", "sick"]:
        sample(folder, kind)
    sample(folder, "empty").rename(folder / "no_rows.h5")
    subprocess.run([WRITER, "empty", folder / "empty.h5", "5"], check=True, timeout=60)
    return folder


def everything(file):
    """Every value and attribute under its path, references and what tells one copy from another aside."""
    found = {}

    def visit(name, item):
        for key, value in item.attrs.items():
            if key not in ("DIMENSION_LIST", "REFERENCE_LIST", "history"):
                found[f"{name}@{key}"] = np.asarray(value).tobytes()
        if isinstance(item, h5py.Dataset):
            values = item[...]
            rows = int(file["committed"][()])
            per_row = item.ndim > 0 and item.maxshape[0] is None and not name.startswith("events/")
            found[name] = (values[:rows] if per_row else values).tobytes()

    file.visititems(visit)
    visit("", file)
    return found


# --- validate --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "conv", "empty", "finished", "killed", "sick", "no_rows", "population"])
def test_a_file_of_ours_breaks_no_rule(samples, kind):
    result = run("validate", samples / f"{kind}.h5")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def replace(file, path, **how):
    attributes = dict(file[path].attrs)
    del file[path]
    dataset = file.create_dataset(path, **how)
    for name in ("long_name", "units"):
        dataset.attrs[name] = attributes[name]


def set_text(at, name, value):
    at.attrs[name] = np.bytes_(value)


def set_value(path, at, value):
    def change(file):
        file[path][at] = value
    return change


RULES = {
    "root attribute missing": (lambda f: f.attrs.__delitem__("host"), "/", "attribute host is missing"),
    "root attribute empty": (lambda f: set_text(f, "title", b""), "/", "attribute title must not be empty"),
    "root attribute of another form": (lambda f: set_text(f, "created", "yesterday"), "/", "attribute created must be"),
    "version of another form": (lambda f: set_text(f, "schema_version", "1.9"), "/", "attribute schema_version must"),
    "run_id is no UUID": (lambda f: set_text(f, "run_id", "7"), "/", "attribute run_id must be"),
    "unknown choice": (lambda f: set_text(f, "padding", "reflect"), "/", "attribute padding must be"),
    "config no JSON": (lambda f: set_text(f, "config", "{lr"), "/", "attribute config must be a JSON object"),
    "ddof": (lambda f: f.attrs.__setitem__("ddof", 1), "/", "attribute ddof must be"),
    "root attribute undeclared": (lambda f: set_text(f, "mood", "good"), "/", "attribute mood is not part"),
    "text of variable length": (lambda f: f.attrs.__setitem__("title", "long"), "/", "attribute title"),
    "object undeclared": (lambda f: f.create_dataset("/extra", data=1), "/extra", "is not part of a run file"),
    "group undeclared": (lambda f: f.create_group("/nodes/more"), "/nodes/more", "is not part of a run file"),
    "object missing": (lambda f: f.__delitem__("/links/norm"), "/links/norm", "is missing"),
    "group missing": (lambda f: f.__delitem__("/skipped"), "/skipped", "is missing"),
    "soft link": (lambda f: (f.__delitem__("/time"), f.__setitem__("/time", h5py.SoftLink("/step"))), "/time",
                  "must be a hard link"),
    "another type": (lambda f: replace(f, "/epoch_end", shape=5, maxshape=(None,), dtype="i8"), "/epoch_end",
                     "must hold uint8"),
    "big-endian": (lambda f: replace(f, "/time", shape=5, maxshape=(None,), dtype=">f8"), "/time", "must hold float64"),
    "strings of variable length": (lambda f: replace(f, "/skipped/name", shape=2, dtype=h5py.string_dtype()),
                                   "/skipped/name", "fixed-length strings"),
    "another rank": (lambda f: replace(f, "/links/std", shape=5, maxshape=(None,), dtype="f8"), "/links/std",
                     "must have 2 axes, has 1"),
    "another length": (lambda f: replace(f, "/links/std", shape=(5, 2), maxshape=(None, 2), dtype="f8"), "/links/std",
                       "axis 1 must be 3 long, is 2"),
    "rows cannot grow": (lambda f: replace(f, "/time", shape=5, dtype="f8"), "/time", "must be unlimited"),
    "fewer rows than committed": (lambda f: f["/time"].resize(4, 0), "/time", "must have the 5 rows"),
    "committed beyond the rows": (set_value("/committed", (), 9), "/committed", "/committed says 9 rows"),
    "no units": (lambda f: f["/time"].attrs.__delitem__("units"), "/time", "has no attribute units"),
    "no long_name": (lambda f: f["/links/count"].attrs.__delitem__("long_name"), "/links/count", "no attribute long_n"),
    "empty units": (lambda f: set_text(f["/time"], "units", b""), "/time", "attribute units must not be empty"),
    "attribute undeclared": (lambda f: set_text(f["/time"], "calendar", "none"), "/time", "not part of a run file: cal"),
    "no _FillValue": (lambda f: f["/time"].attrs.__delitem__("_FillValue"), "/time", "has no attribute _FillValue"),
    "_FillValue on integers": (lambda f: f["/epoch"].attrs.__setitem__("_FillValue", np.int64([-1])), "/epoch",
                               "not part of a run file: _FillValue"),
    "_FillValue not NaN": (lambda f: f["/time"].attrs.__setitem__("_FillValue", np.zeros(1)), "/time",
                           "_FillValue must be one NaN"),
    "another fill value": (lambda f: replace(f, "/epoch", shape=5, maxshape=(None,), dtype="i8", fillvalue=7), "/epoch",
                           "its fill value must be -1, is 7"),
    "scale detached": (lambda f: f["/time"].dims[0].detach_scale(f["/step"]), "/time", "must have the scale /step"),
    "another scale": (lambda f: f["/time"].dims[0].attach_scale(f["/events/event"]), "/time", "must have the scale /s"),
    "no scale": (lambda f: [f["/links/histogram_edges"].attrs.__delitem__("DIMENSION_LIST")], "/links/histogram_edges",
                 "axis 0 must have the scale /links/link"),
    "an unscaled axis scaled": (lambda f: f["/parameters/fc2.bias"].dims[0].attach_scale(f["/step"]),
                                "/parameters/fc2.bias", "must have no scale"),
    "a scale that does not count": (set_value("/nodes/000_input/unit", 2, 7), "/nodes/000_input/unit", "must count"),
    "role": (lambda f: set_text(f["/nodes/000_input"], "role", "boss"), "/nodes/000_input", "attribute role must be"),
    "name": (lambda f: set_text(f["/nodes/000_input"], "name", "output"), "/nodes/000_input", "attribute name must be"),
    "shape missing": (lambda f: f["/nodes/000_input"].attrs.__delitem__("shape"), "/nodes/000_input", "attribute shape"),
    "one component": (lambda f: f.__delitem__("/nodes/000_input/out_strength"), "/nodes/000_input/out_strength",
                      "is missing"),
    "multiplicity": (set_value("/nodes/000_input/multiplicity", 1, 3), "/nodes/000_input/multiplicity", "must be the n"),
    "scalar's name": (lambda f: set_text(f["/scalars/loss"], "name", "gain"), "/scalars/loss", "attribute name must be"),
    "connection outside": (set_value("/graph/target", 1, 3), "/graph/target", "must lie in 0 to 2, holds 3"),
    "edges fall": (set_value("/links/histogram_edges", (1, 3), -9.0), "/links/histogram_edges", "must rise"),
    "recorded": (lambda f: set_text(f["/links/histogram"], "recorded", "never"), "/links/histogram", "recorded must be"),
    "step falls": (set_value("/step", 3, 5), "/step", "must not fall, from 0, row 3 does not"),
    "step negative": (set_value("/step", 0, -1), "/step", "must not fall, from 0, row 0 does not"),
    "epoch falls": (set_value("/epoch", 3, 0), "/epoch", "must not fall, from 0, row 3 does not"),
    "pair twice": (lambda f: (set_value("/step", 2, 10)(f), set_value("/epoch", 2, 1)(f)), "/epoch", "unique, row 2"),
    "epoch after its end": (set_value("/epoch", 3, 1), "/epoch", "must grow after a row that closes an epoch, row 3"),
    "epoch_end 2": (set_value("/epoch_end", 3, 2), "/epoch_end", "must be 0 or 1, and 1 in row 0, row 3 does not"),
    "row 0 no end": (set_value("/epoch_end", 0, 0), "/epoch_end", "row 0 does not"),
    "time falls": (set_value("/time", 4, 0.1), "/time", "must not fall, from 0, row 4 does not"),
    "time NaN": (set_value("/time", 4, np.nan), "/time", "row 4 does not"),
    "dropped negative": (set_value("/cost/dropped", 1, -2), "/cost/dropped", "must be 0 or more, row 1 does not"),
    "snapshot negative": (set_value("/cost/snapshot", 1, -2), "/cost/snapshot", "must be 0 or more, row 1 does not"),
    "event before the start": (set_value("/events/step", 1, -2), "/events/step", "must be 0 or more, row 1 does not"),
    "events too short": (lambda f: f["/events/time"].resize(1, 0), "/events/code",
                         "/events/time has 1 rows"),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_broken_rule_is_named_with_its_object(samples, tmp_path, rule):
    change, where, what = RULES[rule]
    path = shutil.copy(samples / "mlp.h5", tmp_path / "run.h5")
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file)
    result = run("validate", path)
    assert result.returncode == 1 and result.stderr == "", result.stderr
    assert any(line.startswith(f"{where}: ") and what in line for line in result.stdout.splitlines()), result.stdout


@pytest.mark.parametrize("change, where, what", [
    (set_value("/nodes/000_conv1/class_1", 0, 5), "/nodes/000_conv1/class_1", "must hold every class from 0 to 2"),
    (set_value("/nodes/000_conv1/class_1", 0, 1), "/nodes/000_conv1/class_1", "must hold every class from 0 to 2"),
    (lambda f: f.__delitem__("/nodes/000_conv1/class_2"), "/nodes/000_conv1/class_2", "is missing"),
])
def test_classes_are_checked(samples, tmp_path, change, where, what):
    path = shutil.copy(samples / "conv.h5", tmp_path / "run.h5")
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file)
    lines = run("validate", path).stdout.splitlines()
    assert any(line.startswith(f"{where}: ") and what in line for line in lines), lines


POPULATION_RULES = {
    "members do not count": (set_value("/member/member", 2, 7), "/member/member",
                             "must count from 0, row 2 does not"),
    "a net below 0": (set_value("/member/net", 1, -1), "/member/net", "must be 0 or more"),
    "a member twice": (set_value("/member/epoch", 1, 1), "/member/epoch", "must differ between members of one net"),
    "two seeds": (set_value("/member/seed", 1, 1), "/member/seed", "must be the same in all members of a net"),
    "index missing": (lambda f: f.__delitem__("/member/seed"), "/member/seed", "is missing"),
    "object undeclared": (lambda f: f.create_group("/events"), "/events", "is not part of a population file"),
    "scalar without its name": (lambda f: f["/member/loss"].attrs.__delitem__("name"), "/member/loss",
                                "attribute name must be"),
    "histograms of epoch ends": (lambda f: set_text(f["/links/histogram"], "recorded", "epoch-ends"),
                                 "/links/histogram", "attribute recorded must be every-row"),
    "another scale": (lambda f: f["/nodes/fluctuation"].dims[0].detach_scale(f["/member/member"]),
                      "/nodes/fluctuation", "axis 0 must have the scale /member/member"),
    "another schema": (lambda f: set_text(f, "definitions_version", "one"), "/", "attribute definitions_version must"),
}


@pytest.mark.parametrize("rule", POPULATION_RULES)
def test_a_broken_rule_of_a_population_is_named_with_its_object(samples, tmp_path, rule):
    change, where, what = POPULATION_RULES[rule]
    path = shutil.copy(samples / "population.h5", tmp_path)
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file)
    result = run("validate", path)
    assert result.returncode == 1
    assert any(line.startswith(f"{where}: ") and what in line for line in result.stdout.splitlines()), result.stdout


def test_info_says_what_a_population_is(samples):
    info = json.loads(run("info", samples / "population.h5", "--json").stdout)
    members = info["members"]
    assert (members["count"], members["nets"], members["last_epoch"], members["non_finite"]) == (5, 2, 3, 5)
    assert members["scalars"]["accuracy"] == {"min": 0, "median": 2, "max": 4, "nan": 2}
    assert [layer["name"] for layer in info["node_layers"]] == ["input", "block/fc1", "fc2"]
    text = run("info", samples / "population.h5").stdout
    assert "members      5, of 2 nets, up to epoch 3; 728 bytes of values each" in text


@pytest.mark.parametrize("verb", [["show"], ["export", "--metric", "fluctuation", "--format", "csv"], ["watch"]])
def test_verbs_for_runs_refuse_a_population_in_one_line(samples, verb):
    result = run(verb[0], samples / "population.h5", *verb[1:])
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert "it is no run file: attribute schema must be 'dynascope-run', got 'dynascope-population'" in result.stderr


def test_an_old_format_is_a_violation(samples, tmp_path):
    path = tmp_path / "old.h5"
    with h5py.File(samples / "mlp.h5") as new, h5py.File(path, "w") as old:
        for name in new:
            new.copy(name, old)
        for name, value in new.attrs.items():
            old.attrs[name] = value
    assert "/: the superblock must be of version 3, is of 0" in run("validate", path).stdout.splitlines()


def test_violations_as_json(samples, tmp_path):
    path = shutil.copy(samples / "mlp.h5", tmp_path / "run.h5")
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file["/step"][3] = 5
    result = run("validate", path, "--json")
    assert result.returncode == 1 and '"valid": false' in result.stdout and '"object": "/step"' in result.stdout
    assert '"valid": true' in run("validate", samples / "mlp.h5", "--json").stdout


# --- recover ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "conv", "empty", "finished", "killed", "sick", "no_rows", "population"])
@pytest.mark.parametrize("how", [[], ["--compress"]])
def test_a_recovered_file_is_finished_and_has_every_value(samples, tmp_path, kind, how):
    path, copy = samples / f"{kind}.h5", tmp_path / "copy.h5"
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    result = run("recover", path, "-o", copy, *how)
    assert result.returncode == 0 and result.stdout == "" and result.stderr.count("\n") == 1, result.stderr
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert run("validate", copy).returncode == 0
    assert os.listdir(tmp_path) == ["copy.h5"]
    run_file_rules.check(copy)
    with h5py.File(path, "r", swmr=kind == "killed") as old, h5py.File(copy) as new:
        assert everything(new) == everything(old)
        assert new.attrs["history"].decode().split("\n")[0] == old.attrs["history"].decode()
        assert " recovered by dynascope " in new.attrs["history"].decode().split("\n")[1]
        assert (new["/nodes/fluctuation"].compression == "gzip") == bool(how)
    with xarray.open_dataset(copy, engine="netcdf4", group="nodes") as data:
        data.load()


def test_compression_makes_a_long_run_smaller(tmp_path):
    subprocess.run([WRITER, "mlp", tmp_path / "run.h5", "2000"], check=True, timeout=60)
    run("recover", tmp_path / "run.h5", "-o", tmp_path / "small.h5", "--compress")
    assert (tmp_path / "small.h5").stat().st_size < 0.5 * (tmp_path / "run.h5").stat().st_size
    result = run("show", tmp_path / "small.h5")
    assert result.returncode == 0 and result.stdout == run("show", tmp_path / "run.h5").stdout


def test_recover_never_touches_an_existing_file(samples, tmp_path):
    (tmp_path / "precious").write_text("precious")
    for target in [tmp_path / "precious", samples / "killed.h5"]:
        result = run("recover", samples / "killed.h5", "-o", target)
        assert result.returncode == 2 and "exists already" in result.stderr
    assert (tmp_path / "precious").read_text() == "precious"
    assert run("recover", samples / "killed.h5", "-o", tmp_path / "no" / "x.h5").returncode == 2
    assert run("recover", samples / "killed.h5").returncode == 2


def test_rows_whose_data_is_lost_are_left_out_and_told(tmp_path):
    """A killed run of which a backup kept the beginning only: no zeros where rows were."""
    path, copy = tmp_path / "run.h5", tmp_path / "copy.h5"
    writer = subprocess.Popen([WRITER, "mlp", path, "1", "live"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True)
    for row in range(300):
        writer.stdin.write("\n")
        writer.stdin.flush()
        writer.stdout.readline()
    writer.kill()
    writer.wait()
    writer.stdin.close()
    writer.stdout.close()
    os.truncate(path, path.stat().st_size - 9000)
    result = run("recover", path, "-o", copy)
    assert result.returncode == 1 and "damaged" in result.stderr and "rows are lost" in result.stderr, result.stderr
    assert run("validate", copy).returncode == 0
    with h5py.File(copy) as file:
        rows = int(file["committed"][()])
        assert 100 < rows < 301
        assert np.array_equal(file["/nodes/fluctuation"][:, 0], np.arange(rows) * 4096 / 16)


def test_a_growing_run_can_be_copied(tmp_path):
    with subprocess.Popen([SAMPLE, str(tmp_path / "run.h5"), "growing"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"ready\n"
        assert run("recover", tmp_path / "run.h5", "-o", tmp_path / "copy.h5").returncode == 0
        assert run("validate", tmp_path / "run.h5").returncode == 0
        assert "open: still training" in run("info", tmp_path / "run.h5").stdout
        writer.stdin.close()
        assert writer.wait() == 0
    assert run("validate", tmp_path / "copy.h5").returncode == 0


# --- watch -----------------------------------------------------------------------------------------------------------


class Watched:
    """A run that grows by a row per step, and `dynascope watch` on it."""

    def __init__(self, path, *arguments):
        self.path = path
        self.writer = subprocess.Popen([WRITER, "mlp", path, "1", "live"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        self.step()
        self.watch = subprocess.Popen([CLI, "watch", path, "--interval", "0.05", *arguments], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)

    def step(self):
        self.writer.stdin.write("\n")
        self.writer.stdin.flush()
        assert self.writer.stdout.readline().startswith("row ")

    def finish(self):
        self.writer.stdin.close()
        assert self.writer.wait(30) == 0
        self.writer.stdout.close()

    def end(self):
        out, err = self.watch.communicate(timeout=30)
        return self.watch.returncode, out, err


def test_watch_prints_a_line_per_epoch_as_it_closes_and_ends_with_the_run(tmp_path):
    watched = Watched(tmp_path / "run.h5")
    header = watched.watch.stdout.readline()
    assert header.split()[:3] == ["epoch", "step", "input"]
    assert watched.watch.stdout.readline().split()[:2] == ["0", "0"]
    for epoch in range(1, 6):
        watched.step()
        line = watched.watch.stdout.readline()
        assert line.split()[:2] == [str(epoch), str(20 * epoch)]
        watched.step()
    watched.finish()
    assert watched.end() == (0, "", "")


def test_watch_tells_that_the_writer_was_killed(tmp_path):
    watched = Watched(tmp_path / "run.h5")
    watched.watch.stdout.readline()
    watched.writer.kill()
    watched.writer.wait()
    status, _, message = watched.end()
    assert status == 1 and "ended without closing it; 2 rows" in message and "recover" in message
    assert "left behind" in run("info", tmp_path / "run.h5").stdout
    watched.writer.stdin.close()
    watched.writer.stdout.close()


def test_watch_on_a_terminal_shows_what_show_shows(samples):
    shown = run_on_terminal("show", samples / "finished.h5", "--color=never", "--metric", "norm", "--layer", "fc.weight")
    watched = run_on_terminal("watch", samples / "finished.h5", "--color=never", "--metric", "norm", "--layer",
                              "fc.weight")
    assert watched == "\x1b[H\x1b[2J" + shown


def test_watch_can_be_interrupted(tmp_path):
    watched = Watched(tmp_path / "run.h5")
    watched.watch.stdout.readline()
    watched.watch.send_signal(signal.SIGINT)
    begun = time.monotonic()
    watched.watch.communicate(timeout=10)
    assert time.monotonic() - begun < 2 and watched.watch.returncode == -signal.SIGINT
    watched.finish()


def test_watching_does_not_disturb_the_writer(tmp_path):
    watches = []
    watched = Watched(tmp_path / "run.h5")
    for _ in range(4):
        watches.append(subprocess.Popen([CLI, "watch", tmp_path / "run.h5", "--interval", "0.01"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
    for _ in range(60):
        watched.step()
    watched.finish()
    assert watched.end()[0] == 0
    for watch in watches:
        _, err = watch.communicate(timeout=30)
        assert (watch.returncode, err) == (0, "")
    run_file_rules.check(tmp_path / "run.h5")
