# SPDX-License-Identifier: BSD-3-Clause
"""The package's reader on real runs: every value is the one that h5py reads from the same file, unit maps are those of
`dynascope export --expand`, bit for bit, and what is no run file is one clear error."""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
import pytest
import xarray

import dynascope

RUNS = pathlib.Path(os.environ["DYNASCOPE_RUNS"])
CLI, SAMPLE, WRITER = (os.environ[name] for name in ("DYNASCOPE_CLI", "SAMPLE_RUN", "SAMPLE_WRITER"))
PACKAGE = pathlib.Path(dynascope.__file__).parent
KINDS = ["mlp", "cnn", "steps", "killed"]


@pytest.fixture(params=KINDS)
def run(request):
    with dynascope.open(RUNS / f"{request.param}.h5") as opened:
        yield opened


def raw(run, path):
    """What h5py reads, up to the committed rows."""
    with h5py.File(run.path, "r", swmr=run.in_progress) as file:
        return file[path][: int(file["committed"][()])]


def growing_paths(run):
    """Every dataset of the file that has a value per row."""
    found = []
    with h5py.File(run.path, "r", swmr=run.in_progress) as file:
        rows = file["step"].shape[0]
        file.visititems(lambda name, item: found.append(f"/{name}") if isinstance(item, h5py.Dataset) and item.shape
                        and item.shape[0] == rows and item.maxshape[0] is None else None)
    return [path for path in found if not path.startswith(("/events", "/skipped"))]


def test_every_dataset_is_read_as_h5py_reads_it(run):
    paths = growing_paths(run)
    assert len(paths) > 20
    for path in paths:
        got, expected = run.read(path), raw(run, path)
        assert got.dtype == expected.dtype, path
        np.testing.assert_array_equal(got, expected, err_msg=path)
        np.testing.assert_array_equal(run.read(path, 1, 2), expected[1:3], err_msg=path)


def test_rows_epochs_and_scalars_are_those_of_the_file(run):
    index = run.row_index()
    assert run.rows == len(raw(run, "step")) >= 4
    for name, path in [("step", "step"), ("epoch", "epoch"), ("epoch_end", "epoch_end"), ("time", "time"),
                       ("snapshot_seconds", "cost/snapshot"), ("dropped", "cost/dropped")]:
        np.testing.assert_array_equal(getattr(index, name), raw(run, path))
    assert run.description.scalars == ("loss", "accuracy")
    for key in run.description.scalars:
        np.testing.assert_array_equal(run.scalar(key), raw(run, f"scalars/{key}"))
    rows = run.rows_of_epochs()
    np.testing.assert_array_equal(index.epoch[rows], np.unique(index.epoch))
    assert all(rows[i] == np.flatnonzero(index.epoch == epoch).max() for i, epoch in enumerate(index.epoch[rows]))


def test_description_and_provenance_are_those_of_the_file(run):
    what = run.description
    with h5py.File(run.path, "r", swmr=run.in_progress) as file:
        assert [layer.name for layer in what.node_layers] == [name.decode() for name in file["nodes/layer"]]
        assert [layer.name for layer in what.weight_layers] == [name.decode() for name in file["links/link"]]
        assert [layer.count for layer in what.weight_layers] == file["links/count"][:].tolist()
        assert [[c.source, c.target, c.link] for c in what.connections] == np.stack(
            [file["graph/source"], file["graph/target"], file["graph/link"]], axis=1).tolist()
        np.testing.assert_array_equal(what.histogram_edges, file["links/histogram_edges"])
        for name in ["bias", "boundary", "padding", "granularity"]:
            assert getattr(what.metrics, name) == file.attrs[name].decode()
        for name in ["title", "source", "device", "backend", "config", "torch_version"]:
            assert getattr(what, name) == file.attrs[name].decode()
        for name in ["run_id", "created", "command", "host", "history", "schema_version", "definitions_version"]:
            assert getattr(run.provenance, name) == file.attrs[name].decode()
        for i, layer in enumerate(what.node_layers):
            group = file[run.node_layer_path(i)]
            assert layer.shape == tuple(group.attrs["shape"]) and layer.role == group.attrs["role"].decode()
            assert layer.units == layer.multiplicity.sum() and layer.stored_units == len(layer.multiplicity)
    assert what.histogram == "epoch-ends" and what.components == bool(what.parameters) == run.path.endswith("steps.h5")


def test_unit_maps_are_those_of_export_bit_for_bit(run, tmp_path):
    metrics = ["strength", "in_strength", "out_strength"] if run.description.components else ["strength"]
    compressed = 0
    for i, layer in enumerate(run.description.node_layers):
        compressed += layer.shape != layer.stored_shape
        for metric in metrics:
            out = tmp_path / "map.npy"
            subprocess.run([CLI, "export", run.path, "--metric", metric, "--layer", layer.name, "--expand", "-o", out],
                           check=True, timeout=60)
            exported = np.load(out)
            assert exported.shape == (run.rows, *layer.shape)
            for row in range(run.rows):
                got = run.unit_map(layer.name if row % 2 else i, row, metric)
                assert got.dtype == exported.dtype and got.tobytes() == exported[row].tobytes(), (layer.name, row, metric)
        assert run.unit_map(i).tobytes() == run.unit_map(i, run.rows - 1).tobytes()
    assert compressed > 0 or "mlp" in run.path


def test_layers_are_found_by_name_and_missing_ones_named(run):
    first = run.description.node_layers[0].name
    assert run.node_layer(first) == 0 and run.weight_layer(run.description.weight_layers[1].name) == 1
    for ask in [lambda: run.node_layer("nowhere"), lambda: run.unit_map("nowhere"), lambda: run.weight_layer("nowhere"),
                lambda: run.scalar("nowhere"), lambda: run.read("/nodes/nowhere"), lambda: run.read("/committed")]:
        with pytest.raises(dynascope.Error, match=rf"^{run.path}: .*nowhere|/committed"):
            ask()
    with pytest.raises(dynascope.Error, match="it has: .*" + first):
        run.node_layer("nowhere")
    for first, count in [(0, run.rows + 1), (-1, 1), (run.rows, 1)]:
        with pytest.raises(dynascope.Error, match="are not all there"):
            run.read("/nodes/fluctuation", first, count)
    with pytest.raises(dynascope.Error, match="no node layer 99"):
        run.unit_map(99)
    assert run.read("/nodes/fluctuation", run.rows, 0).shape[0] == 0


def test_killed_run_says_that_nobody_writes_it():
    with dynascope.open(RUNS / "killed.h5") as run:
        assert run.in_progress and not run.has_writer() and not run.refresh()
    with dynascope.open(RUNS / "cnn.h5") as run:
        assert not run.in_progress and not run.has_writer() and not run.refresh()


def test_growing_run_is_read_live_and_its_writer_goes_on(tmp_path):
    path = tmp_path / "growing.h5"
    writer = subprocess.Popen([WRITER, "conv", path, "5", "live"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        def next_rows():
            writer.stdin.write(b"\n")
            writer.stdin.flush()
            return writer.stdout.readline()

        next_rows()
        with dynascope.open(path) as run:
            assert run.in_progress and run.has_writer()
            before = run.rows
            seen = [run.read("/nodes/fluctuation")]
            for more in range(1, 4):
                next_rows()
                assert run.rows == before + more - 1 and run.refresh() and run.rows == before + more
                seen.append(run.read("/nodes/fluctuation"))
                np.testing.assert_array_equal(seen[-1][: len(seen[-2])], seen[-2])
            writer.stdin.close()
            assert writer.wait(30) == 0
            run.refresh()
            assert not run.in_progress and not run.has_writer()
            np.testing.assert_array_equal(run.read("/nodes/fluctuation"), raw(run, "/nodes/fluctuation"))
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()


def test_events_and_skipped_are_read(tmp_path):
    path = tmp_path / "sick.h5"
    subprocess.run([SAMPLE, path, "sick"], check=True)
    with dynascope.open(path) as run:
        assert [(event.step, event.code, event.value, event.message) for event in run.events()] == [
            (15, 3, 1.0, "first non-finite value in fc.weight")]
        assert ("aten::fft_rfft", "mixes units in a way that is not understood") in [
            (item.name, item.reason) for item in run.description.skipped]


def test_a_run_without_rows_is_read(tmp_path):
    path = tmp_path / "empty.h5"
    subprocess.run([SAMPLE, path, "empty"], check=True)
    with dynascope.open(path) as run:
        assert run.rows == 0 and len(run.rows_of_epochs()) == 0 and run.read("/nodes/fluctuation").shape == (0, 3)
        with pytest.raises(dynascope.Error, match="are not all there"):
            run.unit_map(0)


def test_xarray_selects_layers_by_name(run):
    nodes, links = run.to_xarray("nodes"), run.to_xarray("links")
    assert isinstance(nodes, xarray.Dataset)
    for i, layer in enumerate(run.description.node_layers):
        np.testing.assert_array_equal(nodes.fluctuation.sel(layer=layer.name), raw(run, "nodes/fluctuation")[:, i])
        units = run.to_xarray(f"nodes/{layer.name}")
        np.testing.assert_array_equal(units.strength, raw(run, run.node_layer_path(i) + "/strength"))
        np.testing.assert_array_equal(units.multiplicity, layer.multiplicity)
    for i, layer in enumerate(run.description.weight_layers):
        np.testing.assert_array_equal(links["std"].sel(link=layer.name), raw(run, "links/std")[:, i])
        np.testing.assert_array_equal(links.histogram.sel(link=layer.name), raw(run, "links/histogram")[:, i])
    np.testing.assert_array_equal(nodes.epoch, raw(run, "epoch"))
    np.testing.assert_array_equal(run.to_xarray("scalars").loss, raw(run, "scalars/loss"))
    with pytest.raises(dynascope.Error, match="got 'graph'"):
        run.to_xarray("graph")


def test_a_writer_may_replace_what_a_closed_reader_read(tmp_path):
    """No lock outlives the reader."""
    path = shutil.copy(RUNS / "mlp.h5", tmp_path / "run.h5")
    with dynascope.open(path) as run:
        run.read("/nodes/fluctuation")
    with h5py.File(path, "r+") as file:
        file.attrs["title"] = np.bytes_("changed")


def replace(file, path, data, **how):
    del file[path]
    file.create_dataset(path, data=data, **how)


CHANGES = {
    "schema of another program": (lambda f: f.attrs.__setitem__("schema", np.bytes_("other")), "attribute schema must be"),
    "population": (lambda f: f.attrs.__setitem__("schema", np.bytes_("dynascope-population")), "it is no run file"),
    "newer major version": (lambda f: f.attrs.__setitem__("schema_version", np.bytes_("2.0")), "use a newer Dynascope"),
    "version without meaning": (lambda f: f.attrs.__setitem__("schema_version", np.bytes_("new")), "got 'new'"),
    "attribute a number": (lambda f: f.attrs.__setitem__("bias", 7), "must be one fixed-length string"),
    "attribute of variable length": (lambda f: f.attrs.__setitem__("bias", "in"), "must be one fixed-length string"),
    "option unknown": (lambda f: f.attrs.__setitem__("bias", np.bytes_("out")), "'in' or 'none', got 'out'"),
    "committed beyond the rows": (lambda f: f["committed"].__setitem__((), 2**63), "/step has"),
    "committed a float": (lambda f: replace(f, "committed", 3.0), "/committed must hold integers"),
    "committed a list": (lambda f: replace(f, "committed", [3]), "/committed must have 0 axes, got 1"),
    "no nodes": (lambda f: f.__delitem__("nodes"), "there is no /nodes/layer"),
    "layers of variable length": (lambda f: replace(f, "nodes/layer", ["a"], dtype=h5py.string_dtype()), "/nodes/layer"),
    "shape negative": (lambda f: f["nodes/000_input"].attrs.__setitem__("shape", [1, -8, 8]), "out of bounds"),
    "shape of a million": (lambda f: f["nodes/000_input"].attrs.__setitem__("shape", [2**62, 2**62]), "as many axes"),
    "role unknown": (lambda f: f["nodes/000_input"].attrs.__setitem__("role", np.bytes_("boss")), "got 'boss'"),
    "strength too narrow": (lambda f: replace(f, "nodes/000_input/strength", np.zeros((13, 2), "f4")), "rows of"),
    "strength too short": (lambda f: replace(f, "nodes/000_input/strength", np.zeros((2, 64), "f4")), "has 2 rows"),
    "strength a text": (lambda f: replace(f, "nodes/000_input/strength", np.full((13, 64), b"x")), "must hold numbers"),
    "soft link": (lambda f: (f.__delitem__("time"), f.__setitem__("time", h5py.SoftLink("/step"))), "no /time"),
    "external link": (lambda f: (f.__delitem__("time"), f.__setitem__("time", h5py.ExternalLink("x.h5", "/"))), "no /time"),
    "external data": (lambda f: (f.__delitem__("time"), f.create_dataset(
        "time", (13,), "f8", external=[("/dev/zero", 0, 104)])), "outside this file"),
    "group for a dataset": (lambda f: (f.__delitem__("time"), f.create_group("time")), "/time must be a dataset"),
    "rows without data": (lambda f: (replace(f, "step", None, shape=(2**40,), dtype="i8", chunks=(1024,)),
                                     f["committed"].__setitem__((), 2**40)), "more than a file of"),
    "connection to nowhere": (lambda f: f["graph/target"].__setitem__(0, 99), "points outside"),
    "unknown filter": (lambda f: replace(f, "time", np.zeros(13), chunks=(13,), compression="lzf"), None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_file_is_one_clear_error(tmp_path, name):
    path = shutil.copy(RUNS / "mlp.h5", tmp_path / "changed.h5")
    change, word = CHANGES[name]
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file)

    def read_everything():
        with dynascope.open(path) as run:
            run.row_index()
            for i in range(len(run.description.node_layers)):
                run.unit_map(i)

    if word is None:  # h5py knows more filters than LibTorch's world: reading is right, too
        return read_everything()
    with pytest.raises(dynascope.Error) as caught:
        read_everything()
    message = str(caught.value)
    assert message.startswith(str(path)) and word in message and "\n" not in message


def test_maps_beyond_memory_are_refused(tmp_path):
    path = shutil.copy(RUNS / "cnn.h5", tmp_path / "large.h5")
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        name = next(name for name in file["nodes"] if "class_1" in file["nodes"].get(name, {}))
        group = file["nodes"][name]
        group.attrs["shape"] = np.array([group.attrs["shape"][0], 60000, 60000])
        for axis in [1, 2]:
            replace(file, f"{group.name}/class_{axis}", np.zeros(60000, "i4"))
    with dynascope.open(path) as run, pytest.raises(dynascope.Error, match="too large"):
        run.unit_map(name.split("_", 1)[1].replace("%2F", "/"))


@pytest.mark.parametrize("content", [b"", b"text\n" * 100, b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + b"\x03" * 500])
def test_other_content_is_refused(tmp_path, content):
    path = tmp_path / "run.h5"
    path.write_bytes(content)
    with pytest.raises(dynascope.Error, match=str(path)):
        dynascope.open(path)


def test_other_kinds_of_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path, word in [(tmp_path / "fifo", "no regular file"), (tmp_path, "no regular file"),
                       (tmp_path / "missing.h5", "No such file"), (tmp_path / "nul\0.h5", "null")]:
        with pytest.raises(dynascope.Error, match=word):
            dynascope.open(path)


def test_bytes_changed_at_random_are_an_error_or_values(tmp_path):
    """In a process of its own, as HDF5 may crash on them."""
    program = """
import pathlib, random, sys
import dynascope
whole, path, seed = pathlib.Path(sys.argv[1]).read_bytes(), pathlib.Path(sys.argv[2]), 20261124
refused = 0
for turn in range(200):
    chance = random.Random(f"{seed}, turn {turn}")
    changed = bytearray(whole)
    for _ in range(chance.randint(1, 16)):
        changed[chance.randrange(len(whole))] = chance.randrange(256)
    path.write_bytes(changed)
    print(f"seed {seed}, turn {turn}", flush=True)
    try:
        with dynascope.open(path) as run:
            run.row_index(), run.events()
            for i in range(len(run.description.node_layers)):
                run.unit_map(i)
    except dynascope.Error as error:
        refused += 1
        assert str(error).count("\\n") == 0 and str(path) in str(error), error
print("refused", refused)
"""
    sample = tmp_path / "conv.h5"
    subprocess.run([WRITER, "conv", sample, "5"], check=True)
    done = subprocess.run([sys.executable, "-c", program, sample, tmp_path / "changed.h5"], capture_output=True, text=True,
                          timeout=100)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) > 5


def test_the_reader_needs_h5py_and_numpy_only():
    program = ("import sys, dynascope; dynascope.open(sys.argv[1]).unit_map(0); "
               "print(sorted({'plotly', 'xarray', 'pandas', 'matplotlib', 'torch'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", program, RUNS / "cnn.h5"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


HEADERS = PACKAGE.parents[1] / "include" / "dynascope"


def test_every_name_of_the_cpp_class_is_there():
    header = (HEADERS / "run_file.hpp").read_text()
    methods = set(re.findall(r"^  [\w:<>& ]+ (\w+)\([^)]*\)(?: const)?(?: noexcept)?;", header, re.MULTILINE)) - {"RunFile"}
    assert {"refresh", "rows", "unit_map", "row_index"} <= methods and len(methods) == 12
    for name in methods:
        assert hasattr(dynascope.RunFile, name), name


@pytest.mark.parametrize("name", ["RunProvenance", "RunRows", "NodeLayerInfo", "WeightLayerInfo", "ConnectionInfo",
                                  "SkippedInfo", "ParameterInfo", "RunDescription", "Event"])
def test_every_field_of_the_cpp_structs_is_there(name):
    text = "".join((HEADERS / f"{header}.hpp").read_text() for header in ("run_file", "run_description", "sink"))
    body = re.search(rf"struct {name} {{(.*?)^}};", text, re.DOTALL | re.MULTILINE)[1]
    fields = set(re.findall(r"^  [\w:<>]+(?:<[\w:<> ]+>)? (\w+)(?: = [^;]+)?;", body, re.MULTILINE))
    assert fields, body
    assert {field.name for field in dataclasses.fields(getattr(dynascope, name))} == fields


def test_versions_agree():
    told = subprocess.run([CLI, "--version"], capture_output=True, text=True, check=True).stdout
    assert told.split()[-1] == dynascope.__version__


def test_the_package_installs_and_works_from_its_wheel(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, PACKAGE.parent], check=True,
                   timeout=100)
    wheel, = tmp_path.glob("dynascope-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    sources = {f"dynascope/{path.relative_to(PACKAGE)}" for path in PACKAGE.rglob("*")
               if path.is_file() and "__pycache__" not in path.parts}
    assert sources <= set(names) and "dynascope/py.typed" in sources
    assert [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line] == [
        "Requires-Dist: h5py>=3.10", "Requires-Dist: numpy>=1.26"]
    subprocess.run([*pip, "install", "--no-deps", "--target", tmp_path / "site", wheel], check=True, timeout=100)
    program = "import sys, dynascope; print(dynascope.__file__, dynascope.open(sys.argv[1]).rows)"
    done = subprocess.run([sys.executable, "-c", program, RUNS / "mlp.h5"], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(tmp_path / "site")})
    assert done.stdout.split() == [str(tmp_path / "site" / "dynascope" / "__init__.py"), "13"]


def test_types_are_checked_strictly(tmp_path):
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "mypy", "--cache-dir", os.environ.get("MYPY_CACHE", tmp_path)],
                          cwd=PACKAGE.parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"{time.monotonic() - begun:.1f} s")
