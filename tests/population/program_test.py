# SPDX-License-Identifier: BSD-3-Clause
"""dynascope-population as its users meet it: made again, killed, gone on with, made longer, networks that diverge."""

import json
import os
import random
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest

import run_file_rules

PROGRAM = os.environ["DYNASCOPE_POPULATION"]
CLI = os.environ["DYNASCOPE_CLI"]
SEED = int(os.environ.get("DYNASCOPE_TEST_SEED", "1"))


def write_idx(path, values):
    header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """400 images of 8 x 8 pixels, whose brightest row or column tells the class."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(SEED)
    images = generator.integers(0, 120, (400, 8, 8))
    labels = generator.integers(0, 10, 400)
    for image, label in zip(images, labels):
        (image if label < 8 else image.T)[label % 8] = 250
    write_idx(folder / "t10k-images-idx3-ubyte", images)
    write_idx(folder / "t10k-labels-idx1-ubyte", labels)
    return folder


def command(data, path, **options):
    every = {"data-root": data, "out": path, "batch-size": 32, "seed": SEED, "at-once": 4, "epochs": "1:3",
             "init": "any"}
    every.update({name.replace("_", "-"): value for name, value in options.items()})
    return [PROGRAM, *(f"--{name}={value}" for name, value in every.items())]


def run(data, path, **options):
    return subprocess.run(command(data, path, **options), capture_output=True, text=True, timeout=120)


def make(data, path, **options):
    done = run(data, path, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def content(path):
    """Every value and attribute, but those that tell when and by whom the file was written."""
    found = {}

    def visit(name, item):
        for key, value in item.attrs.items():
            if key not in ("DIMENSION_LIST", "REFERENCE_LIST", "created", "run_id", "command", "history"):
                found[f"{name}@{key}"] = np.asarray(value).tobytes()
        if isinstance(item, h5py.Dataset):
            found[name] = item[...].tobytes()

    with h5py.File(path) as file:
        file.visititems(visit)
        visit("/", file)
    return found


@pytest.mark.parametrize("model", [{"model": "fc", "hidden": 16}, {"model": "cnn", "hidden": 2}])
def test_one_seed_gives_one_population_whatever_jobs_is(data, tmp_path, model):
    out = make(data, tmp_path / "one.h5", nets=11, jobs=1, cut_nets=0.4, **model)
    assert out.startswith("11 networks trained")
    make(data, tmp_path / "two.h5", nets=11, jobs=2, cut_nets=0.4, **model)
    assert content(tmp_path / "one.h5") == content(tmp_path / "two.h5")
    run_file_rules.check_measured(tmp_path / "one.h5")
    assert subprocess.run([CLI, "validate", tmp_path / "one.h5"], timeout=60).returncode == 0
    with h5py.File(tmp_path / "one.h5") as file:
        net, epoch, step, images = (file[f"member/{name}"][...] for name in ["net", "epoch", "step", "train_images"])
        assert set(net) == set(range(11))
        for number in range(11):
            assert epoch[net == number].tolist() == list(range(1, (net == number).sum() + 1))
        assert set(images) == {320, 16}
        assert np.array_equal(step, epoch * np.ceil(images / 32))
        assert np.all((0 <= file["member/accuracy"][...]) & (file["member/accuracy"][...] <= 1))


def members_in(path):
    with h5py.File(path, "r", swmr=True) as file:
        return int(file["committed"][()])


def test_killed_and_started_again_it_makes_the_same_population(data, tmp_path):
    options = {"nets": 120, "jobs": 2, "hidden": 64}
    make(data, tmp_path / "whole.h5", **options)
    members = members_in(tmp_path / "whole.h5")
    generator = random.Random(SEED)
    print("seed", SEED)
    path = tmp_path / "killed.h5"
    left = []
    for _ in range(4):
        process = subprocess.Popen(command(data, path, **options), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while not path.exists() and process.poll() is None:
            time.sleep(0.005)
        # While the first group is still trained, the file copied, or groups written.
        time.sleep(generator.uniform(0, 0.3) if not left else generator.uniform(0.4, 0.9))
        process.kill()
        process.communicate()
        left.append(members_in(path))
    print("members after each kill", left)
    assert left == sorted(left) and left[0] < members, "a kill must leave what was there, and the first comes early"
    make(data, path, **options)
    assert content(path) == content(tmp_path / "whole.h5")
    run_file_rules.check(path)


def test_no_worker_outlives_the_program(data, tmp_path):
    process = subprocess.Popen(command(data, tmp_path / "pop.h5", nets=4000, jobs=2, hidden=64))
    while not (tmp_path / "pop.h5").exists() and process.poll() is None:
        time.sleep(0.01)
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True).stdout
    assert len(children.split()) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{child}") for child in children.split()) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(os.path.exists(f"/proc/{child}") for child in children.split())


def test_more_nets_are_added_to_what_is_there(data, tmp_path):
    path = tmp_path / "pop.h5"
    make(data, path, nets=8)
    before = content(path)
    assert make(data, path, nets=8).startswith("0 networks trained, 0 members added")
    assert content(path) == before
    make(data, path, nets=20)
    with h5py.File(path) as file:
        assert set(file["member/net"][...]) == set(range(20))
        assert "resumed by" in file.attrs["history"].decode()
    run_file_rules.check(path)


@pytest.fixture(scope="module")
def small(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "pop.h5"
    make(data, path, nets=3)
    return path


@pytest.mark.parametrize("option, value, complaint", [
    ("scale", 0.5, "its scale is 0.05, here 0.5"),
    ("seed", SEED + 1, f"its seed is {SEED}, here {SEED + 1}"),
    ("hidden", 8, "its hidden is 32, here 8"),
    ("epochs", "2:3", 'its epochs is "1:3", here "2:3"'),
    ("model", "cnn", 'its model is "fc", here "cnn"'),
])
def test_another_population_is_refused(data, small, option, value, complaint):
    path = small
    before = content(path)
    done = run(data, path, nets=4, **{option: value})
    assert done.returncode == 2 and complaint in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert content(path) == before


def test_other_images_are_refused(data, small, tmp_path):
    for name in ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]:
        content_of = bytearray((data / name).read_bytes())
        content_of[16:] = content_of[:15:-1] if "images" in name else content_of[16:]
        (tmp_path / name).write_bytes(content_of)
    done = run(tmp_path, small, nets=4)
    assert done.returncode == 2 and "its fingerprint of the images is" in done.stderr, done.stderr


def test_networks_that_diverge_are_counted(data, tmp_path):
    path = tmp_path / "pop.h5"
    done = run(data, path, nets=6, init="normal", scale=1e12)
    assert done.returncode == 0, done.stderr
    info = json.loads(subprocess.run([CLI, "info", path, "--json"], capture_output=True, text=True).stdout)["members"]
    assert info["non_finite"] == info["count"] > 0
    assert f"{info['count']} of them not finite" in done.stdout
    run_file_rules.check(path)


@pytest.mark.parametrize("options, complaint", [
    ({"epochs": "3:1"}, "--epochs must be A:B or A with 1 <= A <= B, got '3:1'"),
    ({"init": "ones"}, "--init"),
    ({"data_root": "nowhere"}, "no data in nowhere"),
    ({"out": "nowhere/pop.h5"}, "there is no folder nowhere"),
])
def test_mistakes_are_told_in_one_line(data, tmp_path, options, complaint):
    done = run(data, tmp_path / "pop.h5", nets=2, **options)
    assert done.returncode == 2 and complaint in done.stderr, done.stderr
