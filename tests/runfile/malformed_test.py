# SPDX-License-Identifier: BSD-3-Clause
"""RunFile on files that are not what they say: one clear line, no crash, no hang, no memory beyond a gigabyte."""

import os
import random
import resource
import shutil
import subprocess

import h5py
import numpy as np
import pytest

WRITER, READER = os.environ["SAMPLE_WRITER"], os.environ["SAMPLE_READER"]
HUGE = 2**40


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    for kind in ["mlp", "conv"]:
        subprocess.run([WRITER, kind, folder / f"{kind}.h5", "5"], check=True, timeout=60)
    return folder


@pytest.fixture(params=["mlp", "conv"])
def sample(request, samples, tmp_path):
    return shutil.copy(samples / f"{request.param}.h5", tmp_path / "run.h5")


@pytest.fixture
def mlp(samples, tmp_path):
    return shutil.copy(samples / "mlp.h5", tmp_path / "run.h5")


def read(path):
    def limit_memory():
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))

    return subprocess.run([READER, path], capture_output=True, text=True, timeout=5, preexec_fn=limit_memory)


def assert_refused(path, *words):
    done = read(path)
    assert done.returncode == 1, f"exit {done.returncode}: {done.stdout}{done.stderr}"
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1, done.stderr
    for word in [str(path), *words]:
        assert word in done.stderr


def replace(file, path, **how):
    del file[path]
    return file.create_dataset(path, **how)


def set_text(at, name, value):
    at.attrs[name] = np.bytes_(value)


CHANGES = {
    "schema missing": (lambda f: f.attrs.__delitem__("schema"), "no run file"),
    "another schema": (lambda f: set_text(f, "schema", "dynascope-population"), "dynascope-population"),
    "newer major version": (lambda f: set_text(f, "schema_version", "2.0"), "use a newer Dynascope"),
    "no version": (lambda f: set_text(f, "schema_version", "one"), "'one'"),
    "version without minor": (lambda f: set_text(f, "schema_version", "1"), "'1'"),
    "version beyond int": (lambda f: set_text(f, "schema_version", "99999999999.0"), "99999999999"),
    "number for a text": (lambda f: f.attrs.__setitem__("bias", 3), "attribute bias of /"),
    "variable text": (lambda f: f.attrs.__setitem__("title", "variable"), "attribute title of /"),
    "list for a text": (lambda f: f.attrs.__setitem__("padding", np.array([b"a", b"b"])), "attribute padding of /"),
    "unknown choice": (lambda f: set_text(f, "bias", "out"), "'in' or 'none', got 'out'"),
    "newline in a choice": (lambda f: set_text(f, "bias", "a\nb"), "a b"),
    "committed beyond step": (lambda f: f["/committed"].__setitem__((), 6), "/committed says 6"),
    "committed huge": (lambda f: f["/committed"].__setitem__((), 2**64 - 1), "/committed"),
    "committed float": (lambda f: replace(f, "/committed", data=5.0), "/committed must hold integers"),
    "committed list": (lambda f: replace(f, "/committed", data=np.arange(3)), "/committed must have 0 axes, got 1"),
    "committed missing": (lambda f: f.__delitem__("/committed"), "no /committed"),
    "step huge and empty": (lambda f: (replace(f, "/step", shape=HUGE, dtype="i8", chunks=(1024,)),
                                       f["/committed"].__setitem__((), HUGE)), "/step claims"),
    "step of two axes": (lambda f: replace(f, "/step", data=np.zeros((5, 5))), "/step must have 1 axes"),
    "epoch too short": (lambda f: replace(f, "/epoch", data=np.zeros(4, "i8")), "/epoch has 4 rows"),
    "time of text": (lambda f: replace(f, "/time", data=np.array([b"x"] * 5)), "/time must hold numbers"),
    "layers missing": (lambda f: f.__delitem__("/nodes/layer"), "no /nodes/layer"),
    "layers of numbers": (lambda f: replace(f, "/nodes/layer", data=np.arange(3)), "/nodes/layer must be a list"),
    "layers without end": (lambda f: replace(f, "/nodes/layer", shape=HUGE, dtype="S64", chunks=(64,)),
                           "/nodes/layer claims"),
    "nodes a dataset": (lambda f: replace(f, "/nodes", data=1), "/nodes/layer"),
    "group for a dataset": (lambda f: (f.__delitem__("/time"), f.create_group("/time")), "/time"),
    "soft link": (lambda f: (f.__delitem__("/time"), f.__setitem__("/time", h5py.SoftLink("/step"))), "no /time"),
    "external link": (lambda f: (f.__delitem__("/time"), f.__setitem__("/time", h5py.ExternalLink("/dev/zero", "/"))),
                      "no /time"),
    "virtual dataset": (lambda f: (f.__delitem__("/time"), f.create_virtual_dataset("/time", virtual())),
                        "outside this file"),
    "external storage": (lambda f: replace(f, "/time", shape=5, dtype="f8", external=[("/dev/zero", 0, 40)]),
                         "outside this file"),
    "compound": (lambda f: replace(f, "/time", shape=5, dtype=[("a", "f8")]), "/time must hold numbers"),
    "reasons too few": (lambda f: replace(f, "/skipped/reason", shape=0, dtype="S4"), "/skipped/name and reason"),
    "connection outside": (lambda f: replace(f, "/graph/target", data=np.full(f["/graph/source"].shape, 77, "i4")),
                           "-> 77"),
    "histogram flat": (lambda f: replace(f, "/links/histogram", data=np.zeros((5, 3))), "must have 3 axes"),
    "parameter of integers": (lambda f: replace(f, "/parameters/fc2.bias", data=np.zeros((5, 3), "i8")),
                              "/parameters/fc2.bias"),
    "scalar renamed": (lambda f: set_text(f["/scalars/loss"], "name", "gain"), "'gain'"),
    "shape too large": (lambda f: f["/nodes/000_input"].attrs.__setitem__("shape", np.array([HUGE])), "node layer"),
    "shape overflows": (lambda f: f["/nodes/000_input"].attrs.__setitem__("shape", np.array([2**62, 2**62])), "axes"),
    "shape negative": (lambda f: f["/nodes/000_input"].attrs.__setitem__("shape", np.array([-6])), "out of bounds"),
    "shape float": (lambda f: f["/nodes/000_input"].attrs.__setitem__("shape", 6.0), "must be integers"),
    "role unknown": (lambda f: set_text(f["/nodes/000_input"], "role", "boss"), "'boss'"),
    "strength too narrow": (lambda f: replace(f, "/nodes/000_input/strength", data=np.zeros((5, 5), "f4")),
                            "/nodes/000_input/strength"),
    "strength too short": (lambda f: replace(f, "/nodes/000_input/strength", data=np.zeros((4, 6), "f4")), "4 rows"),
    "message a number": (lambda f: replace(f, "/events/message", data=np.zeros(2)), "/events/message"),
    "event time too short": (lambda f: replace(f, "/events/time", data=np.zeros(1)), "/events/time has 1 rows"),
}


def virtual():
    layout = h5py.VirtualLayout(shape=(5,), dtype="f8")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "/time", shape=(5,))
    return layout


@pytest.mark.parametrize("name", CHANGES)
def test_changed_file_is_refused(mlp, name):
    change, word = CHANGES[name]
    with h5py.File(mlp, "r+", libver=("v110", "v110")) as file:
        change(file)
    assert_refused(mlp, word)


def test_sample_is_read(sample):
    done = read(sample)
    assert (done.returncode, done.stdout, done.stderr) == (0, "rows 5\n", "")


def test_classes_cannot_claim_more_units_than_memory(samples, tmp_path):
    path = shutil.copy(samples / "conv.h5", tmp_path / "run.h5")
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        group = file["/nodes/000_conv1"]
        group.attrs["shape"] = np.array([2, 60000, 60000])
        for axis in [1, 2]:
            replace(file, f"{group.name}/class_{axis}", data=np.zeros(60000, "i4"))
    assert_refused(path, "too large")


@pytest.mark.parametrize("content", [b"", b"text\n" * 100, b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + b"\x03" * 500])
def test_other_content_is_refused(tmp_path, content):
    path = tmp_path / "run.h5"
    path.write_bytes(content)
    assert_refused(path)


def test_other_kinds_of_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert_refused(tmp_path / "fifo", "no regular file")
    assert_refused(tmp_path, "no regular file")
    assert_refused("/dev/zero", "no regular file")
    assert_refused(tmp_path / "missing.h5", "No such file")


def test_file_under_construction_is_refused(tmp_path):
    path = tmp_path / "run.h5"
    child = os.fork()
    if child == 0:
        file = h5py.File(path, "w", libver=("v110", "v110"))
        file.attrs["schema"] = np.bytes_("dynascope-run")
        file.flush()
        os._exit(0)
    os.waitpid(child, 0)
    assert_refused(path)


def test_truncated_files_are_refused(sample):
    with open(sample, "rb") as file:
        whole = file.read()
    for part in [1, 2, 5, 9]:
        with open(sample, "wb") as file:
            file.write(whole[: len(whole) * part // 10])
        assert_refused(sample)


def test_flipped_bytes_never_crash(sample):
    seed = 20241124
    chance = random.Random(seed)
    with open(sample, "rb") as file:
        whole = file.read()
    for turn in range(30):
        bytes_now = bytearray(whole)
        places = [chance.randrange(len(whole)) for _ in range(chance.choice([1, 8, 64]))]
        for place in places:
            bytes_now[place] = chance.randrange(256)
        with open(sample, "wb") as file:
            file.write(bytes_now)
        done = read(sample)
        assert done.returncode in (0, 1), f"seed {seed}, turn {turn}, places {places}: exit {done.returncode}"
        # After some failures HDF5 1.10 has two lines of its own to say when the process exits.
        ours = done.stderr.split("HDF5: infinite loop closing library")[0]
        assert len(ours.splitlines()) == done.returncode, done.stderr
