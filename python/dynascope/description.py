# SPDX-License-Identifier: BSD-3-Clause
"""What a run says about itself: the names of include/dynascope/run_description.hpp and run_file.hpp."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy

from .input_file import Array, InputFile

SCHEMA = "dynascope-run"
MAJOR_VERSION = 1
_LARGEST_PRODUCT = 2**48


@dataclasses.dataclass(frozen=True)
class RunProvenance:
    """Who wrote the run; empty strings where the file has none."""

    schema_version: str
    definitions_version: str
    creator_version: str
    created: str  #: ISO 8601, UTC
    run_id: str  #: UUID
    host: str
    command: str
    history: str  #: a line per program that wrote the file


@dataclasses.dataclass(frozen=True)
class MetricOptions:
    """What exactly was measured (docs/metrics.md)."""

    bias: str  #: "in" or "none"
    boundary: str  #: "one" or "zero"
    padding: str  #: "true-edges" or "all-taps"
    granularity: str  #: "unit" or "channel"


@dataclasses.dataclass(frozen=True, eq=False)
class NodeLayerInfo:
    """One node layer: which units it has and how they are stored."""

    name: str
    role: str  #: "input", "hidden" or "output"
    shape: tuple[int, ...]  #: units per axis, for example (64, 28, 28)
    stored_shape: tuple[int, ...]  #: stored values per axis, for example (64, 3, 3)
    classes: tuple[Array | None, ...]  #: per axis: coordinate -> class; None where the axis is not compressed
    multiplicity: Array  #: (stored units,) units that each stored value stands for

    @property
    def units(self) -> int:
        return math.prod(self.shape)

    @property
    def stored_units(self) -> int:
        return math.prod(self.stored_shape)


@dataclasses.dataclass(frozen=True)
class WeightLayerInfo:
    name: str
    count: int  #: entries counted: weights, and biases with bias=in
    rows: int  #: length of row_sum; 0 where a written node layer tells the strengths instead
    columns: int  #: length of column_sum; likewise


@dataclasses.dataclass(frozen=True)
class ConnectionInfo:
    """One arrow of the graph: positions in the lists of node and weight layers; link is -1 for identity links."""

    source: int
    target: int
    link: int


@dataclasses.dataclass(frozen=True)
class SkippedInfo:
    """Something that is not in the graph, and why."""

    name: str
    reason: str


@dataclasses.dataclass(frozen=True)
class ParameterInfo:
    """One parameter whose values are recorded."""

    name: str
    shape: tuple[int, ...]
    float64: bool


@dataclasses.dataclass(frozen=True)
class Event:
    """What happened during a run besides rows; docs/run-file.md lists the codes."""

    step: int
    time: float  #: seconds since training began
    code: int
    value: float
    message: str


@dataclasses.dataclass(frozen=True, eq=False)
class RunDescription:
    """Everything about a run that was known before its first row."""

    metrics: MetricOptions
    components: bool  #: in_strength and out_strength are stored beside strength
    histogram: str  #: "epoch-ends", "every-row" or "off"
    histogram_bins: int
    histogram_edges: Array  #: (weight layers, histogram_bins + 1)
    node_layers: tuple[NodeLayerInfo, ...]
    weight_layers: tuple[WeightLayerInfo, ...]
    connections: tuple[ConnectionInfo, ...]
    skipped: tuple[SkippedInfo, ...]
    parameter_count: int  #: numbers in all parameters of the modules; -1: unknown
    measured_count: int  #: how many of them weight layers hold; -1: unknown
    parameters: tuple[ParameterInfo, ...]
    scalars: tuple[str, ...]
    torch_version: str
    device: str
    backend: str
    config: str  #: JSON: monitor options and the user's hyper-parameters
    title: str
    source: str


def escape_name(name: str) -> str:
    """A name as it stands in paths of the run file."""
    return name.replace("/", "%2F")


def _layer_path(group: str, position: int, count: int, name: str) -> str:
    width = max(3, len(str(max(count - 1, 0))))
    return f"/{group}/{position:0{width}d}_{escape_name(name)}"


def node_layer_path(position: int, count: int, name: str) -> str:
    """Group of the `position`-th of `count` node layers, for example "/nodes/003_layer1.0.conv2"."""
    return _layer_path("nodes", position, count, name)


def weight_layer_path(position: int, count: int, name: str) -> str:
    """Group of the `position`-th of `count` weight layers, for example "/links/003_fc1.weight"."""
    return _layer_path("links", position, count, name)


def read_provenance(file: InputFile) -> RunProvenance:
    root = file.file
    schema = file.text(root, "/", "schema")
    if schema != SCHEMA:
        got = "none" if schema is None else f"'{schema}'"
        file.refuse(f"it is no run file: attribute schema must be '{SCHEMA}', got {got}")
    version = file.required_text(root, "/", "schema_version")
    major = version.split(".")[0]
    if "." not in version or not major.isdecimal() or int(major) < 1:
        file.refuse(f"schema_version must be a version like 1.0, got '{version}'")
    if int(major) > MAJOR_VERSION:
        file.refuse(f"it follows schema version {version}, and this program reads up to {MAJOR_VERSION}.x; "
                    "use a newer Dynascope")
    names = [field.name for field in dataclasses.fields(RunProvenance)]
    return RunProvenance(**{name: file.text(root, "/", name) or "" for name in names})


def _choice(file: InputFile, what: str, text: str, values: tuple[str, ...]) -> str:
    if text not in values:
        file.refuse(f"{what} must be {' or '.join(repr(value) for value in values)}, got '{text}'")
    return text


def _read_metrics(file: InputFile) -> MetricOptions:
    choices = {"bias": ("in", "none"), "boundary": ("one", "zero"), "padding": ("true-edges", "all-taps"),
               "granularity": ("unit", "channel")}
    return MetricOptions(**{name: _choice(file, f"attribute {name}", file.required_text(file.file, "/", name), values)
                            for name, values in choices.items()})


def _product(file: InputFile, shape: tuple[int, ...], what: str) -> int:
    result = math.prod(shape)
    if any(size < 0 for size in shape) or result > _LARGEST_PRODUCT:
        file.refuse(f"the shape {shape} of {what} is out of bounds")
    return result


def _read_node_layer(file: InputFile, name: str, path: str) -> NodeLayerInfo:
    group = file.group(path)
    role = file.required_text(group, path, "role")
    shape = file.integers(group, path, "shape")
    stored = file.integers(group, path, "stored_shape")
    here = f"node layer '{name}'"
    if not 1 <= len(shape) == len(stored) <= 32:
        file.refuse(f"{here}: shape and stored_shape must have as many axes, 1 to 32, "
                    f"got {len(shape)} and {len(stored)}")
    _product(file, shape, here)
    classes: list[Array | None] = []
    for axis, (size, stored_size) in enumerate(zip(shape, stored)):
        at = f"{path}/class_{axis}"
        places = file.all(at, 1, integers=True) if file.has(at) else None
        classes.append(places)
        if (stored_size if places is None else len(places)) != size:
            file.refuse(f"{here}: axis {axis} has {size} coordinates, which does not fit {stored_size} stored ones"
                        + ("" if places is None else f" and {len(places)} with a class"))
        if places is not None and len(places) and not 0 <= places.min() <= places.max() < stored_size:
            file.refuse(f"{here}: a class on axis {axis} is outside 0 to {stored_size - 1}")
    multiplicity = file.all(path + "/multiplicity", 1, integers=True)
    if len(multiplicity) != _product(file, stored, here):
        file.refuse(f"{here}: multiplicity must have one value per stored unit, {math.prod(stored)}, "
                    f"got {len(multiplicity)}")
    return NodeLayerInfo(name, _choice(file, f"attribute role of {path}", role, ("input", "hidden", "output")), shape,
                         stored, tuple(classes), multiplicity)


def _read_weight_layers(file: InputFile) -> tuple[WeightLayerInfo, ...]:
    names = file.strings("/links/link")
    counts = file.all("/links/count", 1, integers=True)
    if len(counts) != len(names):
        file.refuse(f"/links/count must have one value per weight layer, {len(names)}, got {len(counts)}")

    def length(path: str) -> int:
        return int(file.dataset(path, 2).shape[1]) if file.has(path) else 0

    paths = [weight_layer_path(i, len(names), name) for i, name in enumerate(names)]
    return tuple(WeightLayerInfo(name, int(count), length(path + "/row_sum"), length(path + "/column_sum"))
                 for name, count, path in zip(names, counts, paths))


def _read_histogram(file: InputFile, layers: int) -> tuple[str, int, Array]:
    if not file.has("/links/histogram"):
        return "off", 0, numpy.zeros((layers, 0))
    counts = file.dataset("/links/histogram", 3)
    edges = file.all("/links/histogram_edges", 2)
    recorded = file.text(counts, "/links/histogram", "recorded") or "epoch-ends"
    bins = edges.shape[1] - 1
    if bins < 1 or edges.shape[0] != layers or counts.shape[1:] != (layers, bins + 2):
        file.refuse(f"/links/histogram and its edges must be of {layers} weight layers and 1 bin at least, "
                    f"got {counts.shape[1:]} and {edges.shape}")
    kinds = ("epoch-ends", "every-row")
    return _choice(file, "attribute recorded of /links/histogram", recorded, kinds), bins, edges


def _read_connections(file: InputFile, nodes: int, links: int) -> tuple[ConnectionInfo, ...]:
    columns = [file.all(f"/graph/{name}", 1, integers=True) for name in ("source", "target", "link")]
    if len({len(column) for column in columns}) != 1:
        file.refuse("/graph/source, target and link must be of one length, got "
                    + ", ".join(str(len(column)) for column in columns))
    found = tuple(ConnectionInfo(*(int(value) for value in line)) for line in zip(*columns))
    for arrow in found:
        if not (0 <= arrow.source < nodes and 0 <= arrow.target < nodes and -1 <= arrow.link < links):
            file.refuse(f"connection {arrow.source} -> {arrow.target} through {arrow.link} points outside the "
                        f"{nodes} node layers or {links} weight layers")
    return found


def _true_names(file: InputFile, group: str) -> list[tuple[str, str]]:
    found = []
    for link in file.names(group):
        path = f"{group}/{link}"
        name = file.text(file.dataset(path), path, "name") or link
        if escape_name(name) != link:
            file.refuse(f"attribute name of {path} is '{name}', which is not what its path says")
        found.append((name, path))
    return found


def _read_parameters(file: InputFile) -> tuple[ParameterInfo, ...]:
    found = []
    for name, path in _true_names(file, "/parameters"):
        dataset = file.dataset(path)
        if dataset.dtype.kind != "f" or not dataset.shape:
            file.refuse(f"{path} must hold one floating-point array per row")
        found.append(ParameterInfo(name, dataset.shape[1:], dataset.dtype.itemsize == 8))
    return tuple(found)


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else -1


def _read_counts(config: str) -> tuple[int, int]:
    try:
        counts = json.loads(config)["parameters"]
        return _count(counts["all"]), _count(counts["measured"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return -1, -1


def read_description(file: InputFile) -> RunDescription:
    names = file.strings("/nodes/layer")
    nodes = tuple(_read_node_layer(file, name, node_layer_path(i, len(names), name)) for i, name in enumerate(names))
    components = bool(names) and all(
        file.has(node_layer_path(i, len(names), name) + "/in_strength") for i, name in enumerate(names))
    links = _read_weight_layers(file)
    histogram, bins, edges = _read_histogram(file, len(links))
    skipped, reasons = file.strings("/skipped/name"), file.strings("/skipped/reason")
    if len(skipped) != len(reasons):
        file.refuse(f"/skipped/name and reason must be of one length, got {len(skipped)} and {len(reasons)}")
    texts = {name: file.text(file.file, "/", name) or ""
             for name in ("torch_version", "device", "backend", "config", "title", "source")}
    parameters, measured = _read_counts(texts["config"])
    return RunDescription(
        metrics=_read_metrics(file), components=components, histogram=histogram, histogram_bins=bins,
        histogram_edges=edges, node_layers=nodes, weight_layers=links,
        connections=_read_connections(file, len(nodes), len(links)),
        skipped=tuple(map(SkippedInfo, skipped, reasons)), parameter_count=parameters, measured_count=measured,
        parameters=_read_parameters(file),
        scalars=tuple(name for name, _ in _true_names(file, "/scalars")), **texts)
