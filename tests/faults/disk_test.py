# SPDX-License-Identifier: BSD-3-Clause
"""Disks that fill up, fail, stall, lose power or know no locks, and what a run file is worth then.

FAULTS_FULL=1 in the environment tries every call instead of some (scripts/faults).
"""

import os
import re
import signal
import subprocess
import time

import pytest

WRITER, REPLAY, PRELOAD = (os.environ[name] for name in ("FAULTS_WRITER", "FAULTS_REPLAY", "FAULTS_PRELOAD"))
CLI = os.environ["DYNASCOPE_CLI"]
FULL = os.environ.get("FAULTS_FULL") == "1"
NO_SPACE, IO_ERROR, NO_LOCKS, NOT_SUPPORTED = 28, 5, 37, 95


def environment(path=None, **faults):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("FAULT_", "HDF5_"))}
    if path is not None:
        clean |= {"LD_PRELOAD": PRELOAD, "FAULT_PATH": path.name}
    return clean | {key: str(value) for key, value in faults.items()}


def write(path, *arguments, faults=None, limit=20, **more):
    command = [WRITER, path, *map(str, arguments)]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=environment(path, **(faults or {}), **more))
    return done, time.monotonic() - begun


def rows(path):
    info = subprocess.run([CLI, "info", path], capture_output=True, text=True, timeout=20)
    assert info.returncode == 0, info.stderr
    return int(re.search(r"^rows +(\d+)", info.stdout, re.M)[1])


def validate(path):
    done = subprocess.run([CLI, "validate", path], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def calls_of(tmp_path, call, fsync):
    path, trace = tmp_path / "count.h5", tmp_path / "count.trace"
    write(path, "mlp", 3, 4, fsync, "block", FAULT_TRACE=trace)
    kinds = trace_kinds(trace.read_bytes())
    return kinds.count({"pwrite": "w", "ftruncate": "t", "fsync": "s"}[call])


def trace_kinds(data):
    kinds, at = [], 0
    while at < len(data):
        kind = chr(data[at])
        size = int.from_bytes(data[at + 16: at + 24], "little")
        kinds.append(kind)
        at += 24 + (size if kind == "w" else 0)
    return kinds


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("call, fsync, error", [("pwrite", "never", NO_SPACE), ("pwrite", "never", IO_ERROR),
                                                ("ftruncate", "never", IO_ERROR), ("fsync", "epoch", IO_ERROR),
                                                ("fsync", "close", IO_ERROR)])
def test_a_call_that_fails_is_one_error_and_costs_no_committed_row(tmp_path, call, fsync, error, for_ever):
    """Every k-th call, once or from then on: told within a flush, rows visible = rows told, a valid file, an orderly end."""
    total = calls_of(tmp_path, call, fsync)
    assert total > 0
    step = 1 if FULL or total < 20 else 1 + total // 8
    for k in range(1, total + 1, step):
        path = tmp_path / f"{k}.h5"
        faults = {"FAULT_CALL": call, "FAULT_AT": k, "FAULT_ERRNO": error, **({"FAULT_FOR_EVER": 1} if for_ever else {})}
        done, spent = write(path, "mlp", 3, 4, fsync, "block", **faults)
        where = f"{call} {k} of {total}: {done.stdout}{done.stderr}"
        assert done.returncode == 0 and spent < 10, where
        if "not opened" in done.stdout:
            assert os.strerror(error) in done.stdout and not path.exists(), where
            continue
        assert done.stdout.count("failed after") == 1 and os.strerror(error) in done.stdout, where
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("[dynascope] error: "), where
        told = int(re.search(r"end: (\d+) rows", done.stdout)[1])
        validate(path)
        # A commit may have reached the disk whose flush failed afterwards.
        assert told <= rows(path) <= told + 4, where
        path.unlink()


def test_short_writes_are_completed(tmp_path):
    path = tmp_path / "run.h5"
    for k in (1, 40, 120, 200):
        done, _ = write(path, "mlp", 3, 4, "never", "block", FAULT_CALL="pwrite", FAULT_AT=k, FAULT_FOR_EVER=1,
                        FAULT_SHORT=1)
        assert "end: 12 rows, 0 dropped, 0 errors" in done.stdout, done.stdout
        validate(path)
        path.unlink()


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", folder], capture_output=True, text=True)
    if mount.returncode != 0:
        pytest.skip(f"cannot mount a small disk: {mount.stderr.strip()} (root is needed)")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_one_error_and_the_file_stays_valid(small_disk):
    path = small_disk / "run.h5"
    done, _ = write(path, "mlp", 100, 20, "never", "block")
    assert done.returncode == 0 and done.stdout.count(os.strerror(NO_SPACE)) == 1, done.stdout
    assert done.stderr.count("\n") == 1
    told = int(re.search(r"end: (\d+) rows", done.stdout)[1])
    assert 0 < told <= rows(path) <= told + 20
    validate(path)


def stalled(tmp_path, policy, batches):
    path, stall = tmp_path / "run.h5", tmp_path / "stall"
    go = tmp_path / "go"
    process = subprocess.Popen([WRITER, path, "mlp", str(batches), "8", "never", policy, go], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=environment(path, FAULT_STALL=stall))
    assert process.stdout.readline() == "opened\n"
    time.sleep(0.3)  # the first half of the batches
    stall.touch()
    go.touch()
    return path, stall, process


def test_a_stalled_disk_drops_rows_and_never_holds_up_training(tmp_path):
    path, stall, process = stalled(tmp_path, "drop", 40)
    begun = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0 and time.monotonic() - begun < 5, out
    counts = re.search(r"end: (\d+) rows, (\d+) dropped, (\d+) errors, longest wait (\d+) ms", out)
    written, dropped, errors, wait = map(int, counts.groups())
    assert dropped >= 100 and errors == 1 and wait < 200 and "given up" in err, out + err
    stall.unlink()
    assert rows(path) == written
    validate(path)


def test_a_stalled_disk_blocks_until_it_goes_on_where_that_is_asked_for(tmp_path):
    path, stall, process = stalled(tmp_path, "block", 40)
    time.sleep(1)
    assert process.poll() is None
    stall.unlink()
    out, _ = process.communicate(timeout=20)
    assert "end: 320 rows, 0 dropped, 0 errors" in out, out
    assert rows(path) == 320
    validate(path)


@pytest.mark.parametrize("model, batches, size", [("mlp", 4, 4), ("deep", 2, 3)] if FULL else [("mlp", 2, 4)])
def test_a_process_killed_in_any_write_leaves_every_flushed_row(tmp_path, model, batches, size):
    trace = tmp_path / "trace"
    done, _ = write(tmp_path / "run.h5", model, batches, size, "never", "block", FAULT_TRACE=trace)
    assert "0 errors" in done.stdout
    replay = subprocess.run([REPLAY, trace, model, str(size), "kill"], capture_output=True, text=True)
    print(replay.stdout)
    assert replay.returncode == 0, replay.stdout[:3000]
    assert int(replay.stdout.split()[0]) > 50


def test_after_a_power_failure_every_synced_row_is_there(tmp_path):
    trace = tmp_path / "trace"
    done, _ = write(tmp_path / "run.h5", "mlp", 6 if FULL else 2, 4, "epoch", "block", FAULT_TRACE=trace)
    assert "0 errors" in done.stdout
    replay = subprocess.run([REPLAY, trace, "mlp", "4", "power", "20261124", "32" if FULL else "3"], capture_output=True, text=True)
    print(replay.stdout)
    assert replay.returncode == 0, replay.stdout[:3000]


@pytest.mark.parametrize("fsync, least, most", [("never", 0, 0), ("close", 1, 1), ("epoch", 5, 100)])
def test_fsync_is_called_when_it_was_asked_for(tmp_path, fsync, least, most):
    trace = tmp_path / "trace"
    write(tmp_path / "run.h5", "mlp", 3, 4, fsync, "block", FAULT_TRACE=trace)
    kinds = trace_kinds(trace.read_bytes())
    assert least <= kinds.count("s") <= most
    if fsync == "close":
        assert kinds[-1] == "s"
    if fsync == "epoch":
        marks = [i for i, kind in enumerate(kinds) if kind == "m"]
        assert all("s" in kinds[max(i - 3, 0): i] for i in marks), "a batch is told when it is on the disk"


@pytest.mark.parametrize("locking", ["TRUE", "FALSE", "BEST_EFFORT", "nonsense", None])
def test_every_setting_of_hdf5s_file_locking_works(tmp_path, locking):
    path = tmp_path / "run.h5"
    faults = {} if locking is None else {"HDF5_USE_FILE_LOCKING": locking}
    done, _ = write(path, "mlp", 3, 4, "never", "block", **faults)
    assert "end: 12 rows, 0 dropped, 0 errors" in done.stdout, done.stdout + done.stderr
    assert subprocess.run([CLI, "validate", path], env=environment(**faults)).returncode == 0


@pytest.mark.parametrize("error", [NO_LOCKS, NOT_SUPPORTED, IO_ERROR])
def test_a_file_system_that_refuses_locks_keeps_nobody_from_recording(tmp_path, error):
    path = tmp_path / "run.h5"
    done, _ = write(path, "mlp", 3, 4, "never", "block", FAULT_CALL="flock", FAULT_AT=1, FAULT_FOR_EVER=1,
                    FAULT_ERRNO=error)
    assert "end: 12 rows, 0 dropped, 0 errors" in done.stdout, done.stdout + done.stderr
    validate(path)


def test_an_hdf5_library_without_thread_safety_is_written_from_the_training_thread(tmp_path):
    path = tmp_path / "run.h5"
    done, _ = write(path, "mlp", 3, 4, "never", "drop", FAULT_UNSAFE=1)
    assert "end: 12 rows, 0 dropped, 0 errors" in done.stdout, done.stdout + done.stderr
    assert "the sink cannot be written from a thread of its own" in done.stderr
    validate(path)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_that_ends_the_process_costs_no_flushed_row(tmp_path, how):
    path = tmp_path / "run.h5"
    # What starts the tests may ignore the signal (nohup does, and a shell's background jobs), and children inherit that.
    process = subprocess.Popen([WRITER, path, "mlp", "40", "8", "never", "block", tmp_path / "never"],
                               stdout=subprocess.PIPE, text=True, env=environment(),
                               preexec_fn=lambda: how != signal.SIGKILL and signal.signal(how, signal.SIG_DFL))
    assert process.stdout.readline() == "opened\n"
    while rows(path) < 160:
        time.sleep(0.05)
    process.send_signal(how)
    assert process.wait(5) == -how
    process.stdout.close()
    assert rows(path) == 160
    validate(path)
    assert "left behind" in subprocess.run([CLI, "info", path], capture_output=True, text=True).stdout
