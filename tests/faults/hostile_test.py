# SPDX-License-Identifier: BSD-3-Clause
"""Files that lie, are cut or are no run files, given to every verb: an answer or one line with status 2; no crash, no
hang, no half of a table, no memory beyond a gigabyte.

In the environment DYNASCOPE_LONG_TESTS=1 takes more of them (scripts/test --full), FAULTS_FULL=1 every length and 100,000
mutations (scripts/faults).
"""

import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import subprocess
import time

import h5py
import numpy as np
import pytest

CLI, WRITER = os.environ["DYNASCOPE_CLI"], os.environ["SAMPLE_WRITER"]
FULL = os.environ.get("FAULTS_FULL") == "1"
LONG = os.environ.get("DYNASCOPE_LONG_TESTS") == "1"
VERBS = [["info"], ["show"], ["validate"], ["watch"], ["recover"], ["diff"],
         ["export", "--metric", "fluctuation", "--format", "csv"], *([["report"]] if FULL or LONG else [])]
HUGE = 2**63 - 1
SANITIZER = 99  # its exit status (CMakePresets.json)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    for kind in ["mlp", "conv"]:
        subprocess.run([WRITER, kind, folder / f"{kind}.h5", "5"], check=True, timeout=60)
    killed = folder / "killed.h5"
    writer = subprocess.Popen([WRITER, "conv", killed, "5", "live"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    writer.stdin.write(b"\n")
    writer.stdin.flush()
    writer.stdout.readline()
    writer.kill()
    writer.communicate()
    # The same run in HDF5's oldest format, whose reader is the weakest.
    with h5py.File(folder / "mlp.h5") as new, h5py.File(folder / "old.h5", "w", libver="earliest") as old:
        for name in new:
            new.copy(name, old)
        for name, value in new.attrs.items():
            old.attrs[name] = value
    return folder


def not_ours(report):
    """The address sanitizer stops where operator new would have thrown, and in HDF5, which crashes on some files (what the
    child process is for)."""
    frames = re.findall(rb"^ *#[0-2] .*", report, re.MULTILINE)[:3]
    return b"allocation-size-too-big" in report or any(b"libhdf5" in frame for frame in frames)


def give(path, verb, hint, limit=10):
    """Runs one verb on the file and returns its status. It has four seconds of the processor, which take longer where
    others want it too."""
    copy = path.with_suffix(".copy")
    more = {"recover": ["-o", str(copy)], "report": ["-o", str(copy)], "diff": [str(path)]}.get(verb[0], [])
    arguments = [*verb, str(path), *more]
    begun = time.monotonic()
    done = subprocess.run([CLI, *arguments], capture_output=True, timeout=60)
    spent = time.monotonic() - begun
    assert spent < limit, f"{hint}, {verb}: {spent} s"
    if done.returncode == SANITIZER and not_ours(done.stderr):
        return 2
    assert done.returncode in (0, 1, 2), f"{hint}, {verb}: status {done.returncode}"
    if done.returncode == 2:
        assert done.stdout == b"" and done.stderr.count(b"\n") == 1, f"{hint}, {verb}: {done.stdout + done.stderr}"
    if copy.exists():
        assert done.returncode in (0, 1), f"{hint}: a copy was left behind"
        copy.unlink()
    part = copy.with_suffix(".copy.part")
    if part.exists():
        part.unlink()
    return done.returncode


def give_all(tmp_path, count, broken):
    """Statuses of the files broken(0), broken(1), ... (contents, hint), each given to one verb; many at a time, because a
    reader of a file that was left behind spends a quarter of a second waiting for its writer."""
    def give_one(turn):
        contents, hint = broken(turn)
        path = tmp_path / f"{turn}.h5"
        path.write_bytes(contents)
        status = give(path, VERBS[turn % len(VERBS)], hint, limit=50)
        path.unlink()
        return status

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(give_one, range(count)))


@pytest.mark.parametrize("kind", ["mlp", "conv", "killed", "old"])
def test_bytes_changed_at_random(samples, tmp_path, kind):
    seed = 20261124
    whole = (samples / f"{kind}.h5").read_bytes()

    def mutation(turn):
        hint = f"{kind}, seed {seed}, turn {turn}"
        chance = random.Random(hint)
        changed = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(whole))
            length = chance.randint(1, 8)
            changed[at: at + length] = chance.randbytes(len(changed[at: at + length]))
        return changed, hint

    statuses = give_all(tmp_path, 25_000 if FULL else 1_000 if LONG else 250, mutation)
    print(f"{kind}: {len(statuses)} mutations, {statuses.count(2)} refused")


@pytest.mark.parametrize("kind", ["conv", "killed"])
def test_files_cut_at_every_length(samples, tmp_path, kind):
    whole = (samples / f"{kind}.h5").read_bytes()
    lengths = range(0, len(whole), 1 if FULL else len(whole) // (200 if LONG else 25))
    statuses = give_all(tmp_path, len(lengths),
                        lambda turn: (whole[:lengths[turn]], f"{kind}, cut to {lengths[turn]} of {len(whole)}"))
    for length, status in zip(lengths, statuses):
        # A finished file says how long it is; of one that was left behind a part may be all there is of it.
        assert status == 2 or kind == "killed", f"{kind} cut to {length} of {len(whole)}: status {status}"
    print(f"{kind}: cut at {len(lengths)} lengths, {statuses.count(2)} refused")


def replace(file, path, **how):
    del file[path]
    file.create_dataset(path, **how)


LIES = {
    "rank": lambda f: replace(f, "/step", data=np.zeros((5, 5), "i8")),
    "size 2^63": lambda f: f["/nodes/000_input"].attrs.__setitem__("stored_shape", np.array([HUGE])),
    "negative size": lambda f: f["/nodes/000_input"].attrs.__setitem__("shape", np.array([-1])),
    "many small sizes": lambda f: f["/nodes/000_input"].attrs.__setitem__("shape", np.full(1000, 2)),
    "committed beyond the rows": lambda f: f["/committed"].__setitem__((), 2**64 - 1),
    "rows without data": lambda f: (replace(f, "/step", shape=2**40, maxshape=(None,), dtype="i8", chunks=(1024,)),
                                    f["/committed"].__setitem__((), 2**40)),
    "sums without data": lambda f: replace(f, "/links/002_alone.weight/row_sum", shape=(5, 2**40), chunks=(1, 1024),
                                           maxshape=(None, 2**40), dtype="f4"),
    "names without data": lambda f: replace(f, "/nodes/layer", shape=2**36, dtype="S1000", chunks=(64,)),
    "bins without data": lambda f: replace(f, "/links/edge", shape=2**40, dtype="i8", chunks=(64,)),
    "cycle of hard links": lambda f: f["/nodes"].__setitem__("again", f["/"]),
    "cycle of soft links": lambda f: (f.__delitem__("/time"), f.__setitem__("/time", h5py.SoftLink("/time"))),
    "external link": lambda f: (f.__delitem__("/time"), f.__setitem__("/time", h5py.ExternalLink("/dev/zero", "/"))),
    "external data": lambda f: replace(f, "/time", shape=5, dtype="f8", external=[("/dev/zero", 0, 40)]),
    "group for a dataset": lambda f: (f.__delitem__("/time"), f.create_group("/time")),
    "datatype for a dataset": lambda f: (f.__delitem__("/time"), f.__setitem__("/time", np.dtype("f8"))),
    "scale of another kind": lambda f: f["/step"].attrs.__setitem__("REFERENCE_LIST", 7),
    "scales of another kind": lambda f: (f["/time"].attrs.__delitem__("DIMENSION_LIST"),
                                         f["/time"].attrs.__setitem__("DIMENSION_LIST", 7.0)),
    "a million events": lambda f: [f[f"/events/{n}"].resize(10**6, 0) for n in ("event", "step", "time", "value", "code",
                                                                              "message")],
    "no attributes": lambda f: [f.attrs.__delitem__(name) for name in list(f.attrs) if not name.startswith("schema")],
    "half of the objects": lambda f: [f.__delitem__(name) for name in ("nodes", "events", "graph")],
}


@pytest.mark.parametrize("lie", LIES)
def test_schema_lies(samples, tmp_path, lie):
    path = pathlib.Path(shutil.copy(samples / "mlp.h5", tmp_path / "lie.h5"))
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        LIES[lie](file)
    for verb in VERBS:
        give(path, verb, lie)
    assert give(path, ["validate"], lie) in (1, 2), "a lie is a violation"


def test_an_unknown_filter(samples, tmp_path):
    path = pathlib.Path(shutil.copy(samples / "mlp.h5", tmp_path / "filter.h5"))
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        replace(file, "/time", data=np.arange(5.0), chunks=(5,), compression="lzf")  # which h5py alone has
    for verb in VERBS:
        give(path, verb, "unknown filter")
    assert give(path, ["show"], "unknown filter") == 2


@pytest.mark.parametrize("kind", ["empty", "text", "zeros", "directory", "fifo", "device", "missing", "other", "signature"])
def test_what_is_no_run_file_is_one_line(tmp_path, kind):
    path = tmp_path / "file.h5"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "other":
        with h5py.File(path, "w") as file:
            file["data"] = np.arange(10)
    elif kind != "missing":
        path.write_bytes({"empty": b"", "text": b"epoch,loss\n", "zeros": bytes(10000),
                          "signature": b"\x89HDF\r\n\x1a\n"}[kind])
    for verb in VERBS:
        assert give(path, verb, kind) == 2
