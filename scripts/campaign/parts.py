# SPDX-License-Identifier: BSD-3-Clause
"""What is run, in order of worth: first whether results are right, then whether they come fast."""
import dataclasses
import random
import re
import struct
import sys
import typing

from . import place, readings

MODELS = ["mlp", "lenet5", "resnet18", "resnet50", "lstm", "transformer"]


@dataclasses.dataclass
class Part:
    name: str
    title: str
    steps: list  # of functions: context -> command line, or None when it was done in Python
    read: typing.Callable  # (log, context) -> readings.Reading
    least: int  # seconds that must be left for it to begin
    most: int  # seconds after which it has failed
    needs: tuple = ()  # executables
    tools: tuple = ()  # of CUDA


def tests(name, title, executable, pattern, least, most=600):
    return Part(name, title, [lambda c: [c.executable(executable), f"--gtest_filter={pattern}"]], readings.tests, least,
                most, (executable,))


def sanitizer(tool, what):
    def step(executable, pattern):
        return lambda c: [c.tool("compute-sanitizer"), "--tool", tool, "--error-exitcode", "9",
                          c.executable(executable), f"--gtest_filter={pattern}"]
    return Part(tool, f"compute-sanitizer {tool}: {what}",
                [step("cuda_backend", "*/cuda"), step("cuda_kernels_device", "*")], readings.sanitizer, 120, 900,
                ("cuda_backend", "cuda_kernels_device"), ("compute-sanitizer",))


def engine(name, title, device, pattern, options, least):
    def step(context):
        # Bound threads here only: a monitor's writer would inherit the one processor of the thread that trains.
        return ["env", "OMP_PROC_BIND=close", context.executable("bench_engine"), f"--device={device}",
                f"--benchmark_filter={pattern}",
                "--benchmark_enable_random_interleaving=true", *options,
                f"--benchmark_out={context.file(name + '.json')}"]
    return Part(name, title, [step], lambda log, context: readings.engine(context.file(name + ".json")), least, 1200,
                ("bench_engine",))


def compiled():
    def step(context):
        return [sys.executable, place.SCRIPTS / "campaign" / "compiled.py", context.file("engine-compiled.json")]
    return Part("engine-compiled", "torch.compile as a further contender, where this Python can", [step],
                lambda log, context: readings.compiled(log, context.file("engine-compiled.json")), 120, 600)


def overhead(model, device, seconds):
    def step(context):
        return [context.executable("bench_overhead"), "--models", model, "--intervals", "1,epoch", "--seconds",
                str(seconds), "--device", device]
    return Part(f"overhead-{model}", f"what a monitor adds to training steps: {model}", [step], readings.overhead,
                2 * seconds + 20, 600, ("bench_overhead",))


def make_images(folder, count, prefix, source, patterns):
    """IDX files of 28 x 28 images: a class's pattern, half of it noise."""
    labels = bytes(source.randrange(10) for _ in range(count))
    with open(folder / f"{prefix}-images-idx3-ubyte", "wb") as file:
        file.write(struct.pack(">iiii", 2051, count, 28, 28))
        for label in labels:
            first = source.randrange(393)
            pattern = patterns[label]
            file.write(pattern[:first] + source.randbytes(392) + pattern[first + 392:])
    with open(folder / f"{prefix}-labels-idx1-ubyte", "wb") as file:
        file.write(struct.pack(">ii", 2049, count) + labels)


def training(device, images, least):
    """Like MNIST in shape and size; measured again by the other side from the parameters that the run recorded."""
    def data(context):
        folder = context.file("data")
        folder.mkdir(exist_ok=True)
        source = random.Random(1)
        patterns = [source.randbytes(784) for _ in range(10)]
        make_images(folder, images, "train", source, patterns)
        make_images(folder, images // 6, "t10k", source, patterns)

    def train(model):
        return lambda c: [c.executable("dynascope-train"), "--model", model, "--data", "mnist", "--data-root",
                          c.file("data"), "--epochs", "2", "--batch-size", "128", "--every-n-steps", "100",
                          "--components", "--record-parameters", "--device", "cuda" if device == "cuda" else "cpu",
                          "--overwrite", "--out", c.file(f"{model}.h5")]

    def again(model):
        return lambda c: [c.executable("cuda_remeasure"), c.file(f"{model}.h5"), "--model", model, "--backend",
                          "cpu" if device == "cuda" else "host_device"]

    def validate(model):
        return lambda c: [c.executable("dynascope"), "validate", c.file(f"{model}.h5")]

    steps = [data]
    for model in ("mlp", "cnn"):
        steps += [train(model), validate(model), again(model)]
    other = "the CPU's" if device == "cuda" else "the stand-in's"
    return Part("training", "training on images like MNIST's: the files are valid, every value has the bits of "
                f"{other} measurement of the recorded parameters", steps, readings.training, least, 600,
                ("dynascope-train", "dynascope", "cuda_remeasure"))


def profile():
    sections = ["SpeedOfLight", "MemoryWorkloadAnalysis", "LaunchStats", "Occupancy"]
    metrics = ["dram__bytes_read.sum.per_second", "smsp__inst_executed_op_local_ld.sum",
               "smsp__inst_executed_op_local_st.sum"]

    def step(context):
        return [context.tool("ncu"), "--clock-control", "none", "--kernel-name", "regex:^reduce$", "--launch-count",
                "4", *[word for section in sections for word in ("--section", section)], "--metrics", ",".join(metrics),
                context.executable("bench_engine"), "--device=cuda", "--benchmark_filter=^16384x16384 .*, cold/row/",
                "--benchmark_repetitions=1"]
    return Part("profile", "Nsight Compute on the first pass, 1 GB of float32: throughput, registers, spills", [step],
                readings.profile, 60, 300, ("bench_engine",), ("ncu",))


THIRTY = ["--benchmark_repetitions=30"]


def on_cuda():
    return [
        tests("kernels", "the kernels have the CPU's bits: dtypes, shapes, layouts, NaN and infinities, histograms",
              "cuda_kernels_device", "*", 30),
        tests("rows", "rows of whole networks, streams, capture into a CUDA graph", "cuda_backend", "*/cuda", 30),
        tests("engine", "sums, strengths and statistics against their definitions", "engine", "*/cuda", 30),
        tests("endurance", "tensors over 2^31 elements, 10,000 graph replays, 1,000 equal measurements, idle "
              "and beside other work", "cuda_endurance", "*/cuda", 90),
        tests("oracle", "every metric against an oracle in higher precision, through the public interface", "oracle",
              "*/cuda", 60),
        sanitizer("memcheck", "no access outside memory"),
        training("cuda", 60000, 60),
        engine("engine-large", "1 GB and more, all contenders", "cuda",
               "^(16384x16384|32768x16384|65537x|4096x25088).*, cold/", THIRTY, 90),
        engine("engine-networks", "small networks and ResNet-50, all contenders, cold and warm", "cuda",
               "^(MLP|LeNet|ResNet|64x27|1536|512x512|4096x4096)", THIRTY, 60),
        overhead("mlp", "cuda", 15),
        overhead("resnet50", "cuda", 15),
        sanitizer("racecheck", "no race in shared memory"),
        sanitizer("initcheck", "no read of unwritten memory"),
        sanitizer("synccheck", "no barrier that some threads miss"),
        engine("engine-shapes", "any shape, 64 MB and more", "cuda", "^sweep .*, cold/(row|read)/", THIRTY, 90),
        profile(),
        *[overhead(model, "cuda", 15) for model in MODELS if model not in ("mlp", "resnet50")],
        engine("engine-models", "VGG-16, ViT-B/16, GPT-2, Llama-2-7B, shapes at the edges", "cuda",
               "^(VGG|ViT|GPT|Llama|1x1|1000000x|7x3|4097|depthwise|2048)", THIRTY, 120),
        compiled(),
        engine("engine-many", "10,000 small tensors", "cuda", "^10,000 ", THIRTY, 240),
    ]


def on_host():
    few = ["--benchmark_repetitions=3", "--benchmark_min_time=0.001"]
    return [
        tests("kernels", "the kernels' sources on the host stand-in have the CPU's bits", "cuda_kernels", "*", 5),
        tests("rows", "rows of whole networks on the host stand-in", "cuda_backend", "*/host_device", 5),
        tests("engine", "sums, strengths and statistics on the host stand-in", "engine", "*/host_device", 5),
        tests("endurance", "a few equal measurements and large shapes cut down, on the host stand-in", "cuda_endurance",
              "*/host_device", 5),
        training("host", 1200, 10),
        engine("engine-networks", "small networks on the CPU", "cpu", "^(MLP|LeNet)", few, 5),
        overhead("mlp", "cpu", 1),
    ]


def of_device(device, only=""):
    return [part for part in (on_cuda() if device == "cuda" else on_host()) if re.search(only, part.name)]
