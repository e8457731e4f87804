# SPDX-License-Identifier: BSD-3-Clause
"""The real runs that the tests of this folder read, made once for all of them: make_runs.py FOLDER.

mlp.h5 and cnn.h5 are finished, steps.h5 has in- and out-strengths, parameters and rows between epochs, killed.h5 is what
kill -9 left of a run.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import h5py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"))
import make_digits  # noqa: E402

TRAIN = os.environ["DYNASCOPE_TRAIN"]


def command(folder, name, model, *more):
    return [TRAIN, "--model", model, "--data", "digits", "--data-root", str(folder / "digits"), "--device", "cpu",
            "--optimizer", "adam", "--lr", "0.002", "--seed", "1", "--out", str(folder / f"{name}.h5"), *more]


def make_killed(folder):
    process = subprocess.Popen(command(folder, "killed", "cnn", "--epochs", "100000"), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    rows = 0
    while rows < 4 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
        try:
            with h5py.File(folder / "killed.h5", "r", swmr=True) as file:
                rows = int(file["committed"][()])
        except OSError:  # not there yet
            continue
    assert process.poll() is None, "the run ended before it was killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert rows >= 4, f"{rows} rows after a minute"


def main(folder):
    shutil.rmtree(folder, ignore_errors=True)
    make_digits.make_digits(folder / "digits")
    for name, *more in [("mlp", "mlp", "--epochs", "12"), ("cnn", "cnn", "--epochs", "12"),
                        ("steps", "cnn", "--epochs", "2", "--every-n-steps", "20", "--components", "--record-parameters")]:
        subprocess.run(command(folder, name, *more), check=True, stdout=subprocess.DEVNULL)
    make_killed(folder)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
