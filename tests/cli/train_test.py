# SPDX-License-Identifier: BSD-3-Clause
"""Training runs from end to end: dynascope-train writes a file with its parameters in it, and every metric of every row
is computed again from those, in float64, from docs/metrics.md alone.

The check knows no closed form. It writes each weight layer as the plain matrix that it is (one row per unit written, one
column per unit read; convolutions tap by tap, in loops; pooling as a matrix of its own coefficients) and adds up rows
and columns.
"""

import itertools
import json
import os
import pathlib
import struct
import subprocess
import sys

import h5py
import numpy
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import make_digits  # noqa: E402
import run_file_rules  # noqa: E402

TRAIN = os.environ["DYNASCOPE_TRAIN"]
LONG = os.environ.get("DYNASCOPE_LONG_TESTS") == "1"  # scripts/test --full
BINS = 128


def train(folder, *arguments, check=True):
    out = folder / "run.h5"
    result = subprocess.run([TRAIN, "--out", str(out), "--device", "cpu", *map(str, arguments)], capture_output=True,
                            text=True, timeout=100)
    if check:
        assert result.returncode == 0, result.stderr
        run_file_rules.check_measured(out)
    return out, result


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    assert make_digits.make_digits(folder) == 1797
    return folder


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory, digits):
    """200 of the digits, as a test pair alone: split 160 to 40."""
    folder = tmp_path_factory.mktemp("few_digits")
    images = numpy.frombuffer((digits / "train-images-idx3-ubyte").read_bytes()[16:], numpy.uint8).reshape(-1, 8, 8)
    labels = numpy.frombuffer((digits / "train-labels-idx1-ubyte").read_bytes()[8:], numpy.uint8)
    make_digits.write_idx(folder / "t10k-images-idx3-ubyte", images[:200])
    make_digits.write_idx(folder / "t10k-labels-idx1-ubyte", labels[:200])
    return folder


@pytest.fixture(scope="session")
def large_images(tmp_path_factory):
    """A test pair of the size of MNIST's: 150 images of 28 x 28 random pixels, seed 3."""
    folder = tmp_path_factory.mktemp("mnist")
    generator = numpy.random.default_rng(3)
    make_digits.write_idx(folder / "t10k-images-idx3-ubyte", generator.integers(0, 256, (150, 28, 28)))
    make_digits.write_idx(folder / "t10k-labels-idx1-ubyte", generator.integers(0, 10, 150))
    return folder


# --- the network as matrices -----------------------------------------------------------------------------------------


def convolution(weight, side, padding):
    """(out channels * out * out, in channels * side * side): one entry per tap that meets a pixel."""
    out_channels, in_channels, kernel, _ = weight.shape
    out = side + 2 * padding - kernel + 1
    matrix = numpy.zeros((out_channels, out, out, in_channels, side, side))
    for y, x, ky, kx in itertools.product(range(out), range(out), range(kernel), range(kernel)):
        iy, ix = y - padding + ky, x - padding + kx
        if 0 <= iy < side and 0 <= ix < side:
            matrix[:, y, x, :, iy, ix] += weight[:, :, ky, kx]
    return matrix.reshape(out_channels * out * out, in_channels * side * side), out


def pooling(channels, side):
    """2 x 2 windows, stride 2: each pooled unit a quarter of its four."""
    out = side // 2
    matrix = numpy.zeros((channels, out, out, channels, side, side))
    for c, y, x, dy, dx in itertools.product(range(channels), range(out), range(out), range(2), range(2)):
        matrix[c, y, x, c, 2 * y + dy, 2 * x + dx] = 0.25
    return matrix.reshape(channels * out * out, channels * side * side), out


def mlp(parameters, side):
    matrices = [parameters[f"fc{i}.weight"] for i in (1, 2, 3)]
    biases = [parameters[f"fc{i}.bias"] for i in (1, 2, 3)]
    shapes = [(side * side,), (200,), (100,), (10,)]
    return ["input", "fc1", "fc2", "fc3"], shapes, matrices, biases


def cnn(parameters, side):
    large = side >= 20
    matrices, biases, shapes, channels = [], [], [(1, side, side)], 1
    for name, padding in (("conv1", 2 if large else 1), ("conv2", 0 if large else 1)):
        links, side = convolution(parameters[f"{name}.weight"], side, padding)
        channels = len(parameters[f"{name}.bias"])
        pool, side = pooling(channels, side)
        matrices.append(pool @ links)
        biases.append(numpy.repeat(parameters[f"{name}.bias"], side * side))
        shapes.append((channels, side, side))
    for name in ("fc1", "fc2", "fc3"):
        matrices.append(parameters[f"{name}.weight"])
        biases.append(parameters[f"{name}.bias"])
        shapes.append((len(biases[-1]),))
    return ["input", "conv1", "conv2", "fc1", "fc2", "fc3"], shapes, matrices, biases


def strengths_per_unit(network):
    """[(in-strength, out-strength)] of all units."""
    _, shapes, matrices, biases = network
    layers = []
    for i, shape in enumerate(shapes):
        units = int(numpy.prod(shape))
        inward = matrices[i - 1].sum(1) + biases[i - 1] if i > 0 else numpy.ones(units)
        outward = matrices[i].sum(0) if i < len(matrices) else numpy.ones(units)
        layers.append((inward.reshape(shape), outward.reshape(shape)))
    return layers


def strengths_per_channel(parameters):
    """CNN with channels as nodes: each shared weight once, the columns behind the flattening added per channel."""
    weights = [parameters[f"{name}.weight"] for name in ("conv1", "conv2", "fc1", "fc2", "fc3")]
    biases = [parameters[f"{name}.bias"] for name in ("conv1", "conv2", "fc1", "fc2", "fc3")]
    layers = []
    for i in range(6):
        channels = len(biases[i - 1]) if i > 0 else 1
        inward = weights[i - 1].reshape(channels, -1).sum(1) + biases[i - 1] if i > 0 else numpy.ones(1)
        if i == 5:
            outward = numpy.ones(channels)
        elif i < 2:
            outward = weights[i].sum((0, 2, 3))
        else:
            outward = weights[i].sum(0).reshape(channels, -1).sum(1)
        layers.append((inward, outward))
    return layers


def expand(group, values):
    full = values.reshape(group.attrs["stored_shape"])
    for axis in range(full.ndim):
        if f"class_{axis}" in group:
            full = numpy.take(full, group[f"class_{axis}"][:], axis=axis)
    return full


# --- the checks ------------------------------------------------------------------------------------------------------


def check_nodes(file, row, names, layers):
    assert [name.decode() for name in file["nodes/layer"][:]] == names
    for i, (name, (inward, outward)) in enumerate(zip(names, layers)):
        group = file[f"nodes/{i:03d}_{name}"]
        strength = inward + outward
        scale = numpy.abs(strength).max() + 1
        close = dict(rtol=1e-5, atol=2e-6 * scale, err_msg=f"row {row}, {name}")
        assert group.attrs["role"].decode() == ("input" if i == 0 else "output" if i == len(names) - 1 else "hidden")
        assert expand(group, group["strength"][row]).size == strength.size, name
        for metric, expected in (("strength", strength), ("in_strength", inward), ("out_strength", outward)):
            numpy.testing.assert_allclose(expand(group, group[metric][row]).ravel(), expected.ravel(), **close)
        for metric, expected in (("fluctuation", strength.std()), ("strength_mean", strength.mean()),
                                 ("strength_min", strength.min()), ("strength_max", strength.max())):
            numpy.testing.assert_allclose(file["nodes"][metric][row, i], expected, rtol=1e-5, atol=2e-6 * scale,
                                          err_msg=f"{metric}, row {row}, {name}")
        assert file["nodes/nonfinite"][row, i] == 0
        assert group["multiplicity"][:].sum() == strength.size


def entries(parameters, name):
    return numpy.concatenate([parameters[name].ravel(), parameters[name.replace("weight", "bias")].ravel()])


def check_links(file, row, parameters, first):
    for i, name in enumerate(name.decode() for name in file["links/link"][:]):
        values = entries(parameters, name)
        assert file["links/count"][i] == values.size
        for metric, expected in (("mean", values.mean()), ("std", values.std()), ("abs_mean", abs(values).mean()),
                                 ("norm", numpy.sqrt((values**2).sum()))):
            numpy.testing.assert_allclose(file["links"][metric][row, i], expected, rtol=1e-6,
                                          atol=1e-6 * abs(values).mean(), err_msg=f"{metric}, row {row}, {name}")
        assert file["links/min"][row, i] == values.min() and file["links/max"][row, i] == values.max()
        assert file["links/nonfinite"][row, i] == 0
        edges = file["links/histogram_edges"][i]
        bound = 4 * abs(entries(first, name)).max()
        numpy.testing.assert_allclose(edges, numpy.linspace(-bound, bound, BINS + 1), rtol=1e-12, atol=1e-12 * bound)
        if not file["epoch_end"][row]:
            assert (file["links/histogram"][row, i] == -1).all()
            continue
        counts, _ = numpy.histogram(values, edges)
        expected = [(values < edges[0]).sum(), *counts, (values > edges[-1]).sum()]
        numpy.testing.assert_array_equal(file["links/histogram"][row, i], expected, err_msg=f"row {row}, {name}")


def parameters_of(file, row):
    return {name: values[row].astype(numpy.float64) for name, values in file["parameters"].items()}


def check_file(path, model, side, granularity):
    with h5py.File(path, "r") as file:
        rows = int(file["committed"][()])
        first = parameters_of(file, 0)
        for row in range(rows):
            parameters = parameters_of(file, row)
            network = {"mlp": mlp, "cnn": cnn}[model](parameters, side)
            layers = strengths_per_channel(parameters) if granularity == "channel" else strengths_per_unit(network)
            check_nodes(file, row, network[0], layers)
            check_links(file, row, parameters, first)
        return rows


@pytest.mark.parametrize("model, granularity", [("mlp", "unit"), ("cnn", "unit"), ("cnn", "channel")])
def test_every_metric_of_a_digits_run_is_what_its_parameters_say(tmp_path, digits, model, granularity):
    path, _ = train(tmp_path, "--model", model, "--data-root", digits, "--epochs", 2, "--every-n-steps", 20,
                    "--components", "--record-parameters", "--granularity", granularity, "--lr", 0.05, "--seed", 11)
    check_file(path, model, 8, granularity)
    with h5py.File(path, "r") as file:
        # 1,437 images in batches of 32: 45 steps an epoch, the last one short.
        assert file["step"][:].tolist() == [0, 20, 40, 45, 60, 80, 90]
        assert file["epoch"][:].tolist() == [0, 1, 1, 1, 2, 2, 2]
        assert file["epoch_end"][:].tolist() == [1, 0, 0, 1, 0, 0, 1]
        assert file.attrs["granularity"].decode() == granularity
        config = json.loads(file.attrs["config"])
        assert "0.05" in json.dumps(config) and model in json.dumps(config)
        moved = file["parameters/fc1.weight"][-1] - file["parameters/fc1.weight"][0]
        assert abs(moved).max() > 1e-3, "the network must have trained"


def test_every_metric_of_lenet_5_is_what_its_parameters_say(tmp_path, large_images):
    path, _ = train(tmp_path, "--model", "cnn", "--data", "mnist", "--data-root", large_images, "--epochs", 1,
                    "--optimizer", "adam", "--components", "--record-parameters")
    assert check_file(path, "cnn", 28, "unit") == 2
    with h5py.File(path, "r") as file:
        assert sum(file["links/count"][:]) == 61706
        stored = file["nodes/001_conv1"].attrs["stored_shape"]
        assert stored[0] == 6 and file["nodes/001_conv1/multiplicity"][:].sum() == 6 * 14 * 14
        assert file["step"][:].tolist() == [0, 4]  # 150 images split 120 to 30, batches of 32


def strengths(file, row):
    """{node layer: strength of every unit} as the file has them."""
    return {
        group.attrs["name"].decode(): expand(group, group["strength"][row])
        for group in file["nodes"].values()
        if isinstance(group, h5py.Group)
    }


def expect_lstm(parameters, got):
    """docs/metrics.md, section 4: rows of all four gates, columns of the next step, and of who reads the layer."""
    for layer, reader in (("l0", "lstm.weight_ih_l1"), ("l1", "fc.weight")):
        gates = sum(parameters[f"lstm.{part}_{layer}"].reshape(4, 64, -1).sum((0, 2))
                    for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        out = parameters[f"lstm.weight_hh_{layer}"].sum(0) + parameters[reader].sum(0)
        numpy.testing.assert_allclose(got[f"lstm.{layer}"].ravel(), gates + out, rtol=1e-5, atol=1e-5)


# Node layers, and a loss that only what has learned reaches: ln 10 = 2.3 is chance for digits, 2.7 for text. (Accuracy
# would not do for a ResNet: its running statistics need more steps than a quick test has.)
@pytest.mark.parametrize("model, data, epochs, rate, layers, learned", [
    ("lstm", "digits", 2, 0.003, 4, 1.5),
    ("transformer", "digits", 2, 0.003, 15, 1.0),
    *([("transformer", "text", 1, 0.003, 15, 2.0), ("resnet18", "few_digits", 2, 0.001, 19, 1.0)] if LONG else []),
])
def test_every_model_learns_and_is_placed_whole(tmp_path, request, model, data, epochs, rate, layers, learned):
    source = ["--data", "text"] if data == "text" else ["--data-root", request.getfixturevalue(data)]
    path, _ = train(tmp_path, "--model", model, *source, "--epochs", epochs, "--optimizer", "adam", "--lr", rate,
                    *(["--record-parameters"] if model != "resnet18" else []))
    with h5py.File(path, "r") as file:
        assert file["skipped/name"].size == 0, file["skipped/reason"][:]
        assert len(file["nodes/layer"]) == layers
        assert file["scalars/loss"][-1] < learned
        if model == "resnet18":
            return  # its 11 million parameters would take longer to record than to train
        parameters = {name: value[-1].astype(numpy.float64) for name, value in file["parameters"].items()}
        got = strengths(file, int(file["committed"][()]) - 1)
        expected = parameters["fc.weight"].sum(1) + parameters["fc.bias"] + 1
        numpy.testing.assert_allclose(got["fc"].ravel(), expected, rtol=1e-5, atol=1e-5)
        if model == "lstm":
            expect_lstm(parameters, got)


def test_accuracy_and_loss_are_those_of_the_network(tmp_path, digits):
    path, _ = train(tmp_path, "--data-root", digits, "--epochs", 3, "--record-parameters")
    images = numpy.frombuffer((digits / "t10k-images-idx3-ubyte").read_bytes()[16:], numpy.uint8).reshape(-1, 64) / 255
    labels = numpy.frombuffer((digits / "t10k-labels-idx1-ubyte").read_bytes()[8:], numpy.uint8)
    with h5py.File(path, "r") as file:
        for row in (1, 2, 3):
            parameters = parameters_of(file, row)
            x = images
            for name in ("fc1", "fc2", "fc3"):
                x = x @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"]
                x = numpy.maximum(x, 0) if name != "fc3" else x
            assert file["scalars/accuracy"][row] == pytest.approx((x.argmax(1) == labels).mean(), abs=1.5 / len(labels))
        loss = file["scalars/loss"][1:]
        assert numpy.isfinite(loss).all() and loss[-1] < loss[0] < 2.4
        assert file["scalars/accuracy"][3] > 0.8


def test_one_seed_gives_one_run(tmp_path, digits):
    files = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        (tmp_path / name).mkdir()
        path, _ = train(tmp_path / name, "--model", "cnn", "--data-root", digits, "--epochs", 1, "--seed", seed)
        with h5py.File(path, "r") as file:
            files.append((file["nodes/001_conv1/strength"][:], file["scalars/loss"][1:], file["nodes/fluctuation"][:]))
    for first, again, other in zip(*files):
        numpy.testing.assert_array_equal(first, again)
        assert not numpy.array_equal(first, other)


def test_trouble_is_one_line_and_status_2(tmp_path, digits):
    path, _ = train(tmp_path, "--data-root", digits, "--epochs", 0)
    before = path.read_bytes()
    cases = {
        ("--data-root", digits): "overwrite",
        ("--data-root", tmp_path / "nowhere"): "nowhere",
        ("--data-root", digits, "--model", "resnet9000"): "mlp, cnn",
        ("--data", "text", "--model", "lstm"): "transformer",
    }
    for arguments, expected in cases.items():
        _, result = train(tmp_path, *arguments, "--epochs", 0, check=False)
        assert result.returncode == 2 and expected in result.stderr, (arguments, result.stderr)
        assert result.stderr.strip().count("\n") == 0, result.stderr
    assert path.read_bytes() == before, "a refused run leaves the old file alone"
    for arguments in (["--epochs", "-1"], ["--batch-size", 0], ["--optimizer", "lion"], ["--device", "tpu"]):
        _, result = train(tmp_path, *arguments, check=False)
        assert result.returncode == 2 and result.stderr != "", arguments
    train(tmp_path, "--data-root", digits, "--epochs", 0, "--overwrite")
    assert path.read_bytes() != before


def test_wrong_idx_files_are_named(tmp_path, digits):
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (broken / name).write_bytes((digits / name).read_bytes())
    (broken / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">ii", 2049, 360) + bytes(10))
    _, result = train(tmp_path, "--data-root", broken, check=False)
    assert result.returncode == 2 and "announces 360" in result.stderr and "t10k-labels" in result.stderr
