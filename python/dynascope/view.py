# SPDX-License-Identifier: BSD-3-Clause
"""What of a run is drawn: which rows, which units, in which bins. A run may have millions of values and a screen has
not; everything that is left out is counted, so that figures can say so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy

from .description import NodeLayerInfo
from .error import Error
from .input_file import Array
from .run_file import RunFile, expand

_BLOCK_BYTES = 16 << 20


@dataclasses.dataclass(frozen=True)
class Limits:
    """The most that is drawn of each kind."""

    points: int = 400  #: along a line over time
    columns: int = 120  #: of a heat map over time
    frames: int = 60  #: positions of the epoch slider
    bins: int = 48  #: of a distribution of node strength
    link_bins: int = 128  #: of a distribution of link weights
    map_values: int = 120_000  #: of a layer's maps, over all frames
    extremes: int = 5  #: units with the largest strength, and with the smallest

    @staticmethod
    def for_layers(layers: int, mapped: int) -> Limits:
        """So that a page of many layers stays small enough to open at once."""
        def share(all_of_them: int, least: int, most: int) -> int:
            return max(least, min(most, all_of_them // max(layers, 1)))

        return Limits(points=share(18_000, 60, 400), columns=share(9_000, 30, 120), frames=share(4_800, 16, 60),
                      bins=48 if layers <= 100 else 40, link_bins=128 if layers <= 100 else 48,
                      map_values=max(1_800, min(120_000, 180_000 // max(mapped, 1))),
                      extremes=5 if layers <= 100 else 3)


@dataclasses.dataclass(frozen=True, eq=False)
class Axis:
    """Rows on the time axis of a figure."""

    rows: Array  #: positions of the rows
    values: Array  #: their epochs or steps
    by: str  #: "epoch" or "step"
    available: int  #: how many rows there are to choose from

    @property
    def title(self) -> str:
        return "epoch (0: before training)" if self.by == "epoch" else "optimizer step (0: before training)"

    def thinned(self, most: int) -> Axis:
        keep = thinned(len(self.rows), most)
        return dataclasses.replace(self, rows=self.rows[keep], values=self.values[keep])


def thinned(count: int, most: int) -> Array:
    """Evenly spaced positions in 0 .. count - 1, at most `most`, with the first and the last."""
    return numpy.unique(numpy.linspace(0, count - 1, min(count, max(most, 2))).round().astype(int))


def time_axis(run: RunFile, by: str | None = None) -> Axis:
    """One row per epoch, or every row by its step. Without a choice: epochs, where the run has two or more."""
    if run.rows == 0:
        raise Error(f"{run.path}: the run has no row yet, so there is nothing to draw")
    if by not in (None, "epoch", "step"):
        raise Error(f"time is counted by epoch or step, got '{by}'")
    epochs = run.rows_of_epochs()
    by = by or ("epoch" if len(epochs) > 1 else "step")
    index = run.row_index()
    rows = epochs if by == "epoch" else numpy.arange(run.rows)
    return Axis(rows, (index.epoch if by == "epoch" else index.step)[rows], by, len(rows))


def blocks(run: RunFile, path: str, row_bytes: int) -> Iterator[tuple[int, Array]]:
    """All rows of a dataset, in parts that fit into memory."""
    at_once = max(1, _BLOCK_BYTES // max(row_bytes, 1))
    for first in range(0, run.rows, at_once):
        yield first, run.read(path, first, min(at_once, run.rows - first))


def picked_rows(run: RunFile, path: str, rows: Array, row_bytes: int) -> Array:
    """Some rows of a dataset, in increasing order."""
    parts = [values[rows[(rows >= first) & (rows < first + len(values))] - first]
             for first, values in blocks(run, path, row_bytes)]
    return numpy.concatenate(parts)


def unit_label(layer: NodeLayerInfo, unit: int) -> str:
    """Where a stored unit is in its layer: "12", or "(3, 0, 4)", with the number of units it stands for."""
    place = [int(at) for at in numpy.unravel_index(unit, layer.stored_shape)]
    for axis, classes in enumerate(layer.classes):
        if classes is not None:
            place[axis] = int(numpy.flatnonzero(classes == place[axis])[0])
    many = int(layer.multiplicity[unit])
    text = str(place[0]) if len(place) == 1 else "(" + ", ".join(map(str, place)) + ")"
    return text + (f" and {many - 1} like it" if many > 1 else "")


@dataclasses.dataclass(frozen=True, eq=False)
class LayerView:
    """What is drawn of one node layer."""

    info: NodeLayerInfo
    columns: Axis  #: of the distribution
    edges: Array  #: (bins + 1,) of node strength, the same in every row
    counts: Array  #: (columns, bins) units per bin, finite ones
    points: Axis  #: of the lines
    high: list[int]  #: stored units with the largest strength in the newest row, largest first
    low: list[int]  #: and with the smallest, smallest first
    lines: Array  #: (points, high + low) their strengths
    nonfinite: int  #: units, in the newest row
    zero: int  #: units whose strength is 0 in the newest row
    constant: int  #: units whose strength is the same in every row


def bin_edges(low: Array, high: Array, bins: int) -> Array:
    """Equal bins over all finite values; a range of no width is widened."""
    finite = numpy.concatenate([low[numpy.isfinite(low)], high[numpy.isfinite(high)]])
    least, most = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if most - least <= 1e-9 * max(abs(least), abs(most)):
        room = max(0.5, 1e-3 * abs(least))
        least, most = least - room, most + room
    return numpy.linspace(least, most, bins + 1)


def count_units(values: Array, multiplicity: Array, edges: Array) -> Array:
    """(rows, bins): finite units per bin; the last bin holds its upper edge, as numpy.histogram has it."""
    bins = len(edges) - 1
    counts = numpy.zeros((len(values), bins), "i8")
    for i, row in enumerate(values.astype("f8")):
        finite = numpy.isfinite(row)
        # Summaries are rounded later than strengths are: a value may lie outside by the last bit of a float32.
        at = numpy.clip(numpy.searchsorted(edges, row[finite], "right") - 1, 0, bins - 1)
        counts[i] = numpy.bincount(at, multiplicity[finite], bins).astype("i8")
    return counts


def look_at_layer(run: RunFile, layer: int, axis: Axis, limits: Limits) -> LayerView:
    """One pass over the strengths of a node layer."""
    info = run.description.node_layers[layer]
    path = run.node_layer_path(layer) + "/strength"
    columns, points = axis.thinned(limits.columns), axis.thinned(limits.points)
    width = 4 * info.stored_units
    last = run.read(path, run.rows - 1, 1)[0]
    order = numpy.argsort(last, kind="stable")
    order = order[numpy.isfinite(last[order])]
    few = min(limits.extremes, len(order) // 2) if len(order) > 1 else len(order)
    low, high = order[:few], order[::-1][:few] if len(order) > 1 else order[:0]
    chosen = numpy.concatenate([high, low]).astype(int)
    summary = [run.read(f"/nodes/strength_{name}")[columns.rows, layer] for name in ("min", "max")]
    edges = bin_edges(summary[0], summary[1], limits.bins)

    lines, counts = [], []
    same = numpy.ones(info.stored_units, bool)
    for first, values in blocks(run, path, width):
        def here(rows: Array) -> Array:
            return rows[(rows >= first) & (rows < first + len(values))] - first

        lines.append(values[here(points.rows)][:, chosen])
        counts.append(count_units(values[here(columns.rows)], info.multiplicity, edges))
        same &= (values == last).all(axis=0)

    def units(mask: Array) -> int:
        return int(info.multiplicity[mask].sum())

    return LayerView(info, columns, edges, numpy.concatenate(counts), points, high.tolist(), low.tolist(),
                     numpy.concatenate(lines), units(~numpy.isfinite(last)), units(last == 0),
                     units(same) if run.rows > 1 else 0)


@dataclasses.dataclass(frozen=True, eq=False)
class LayerMaps:
    """Strength maps of a layer with positions: channels side by side, in several rows of the run."""

    info: NodeLayerInfo
    frames: Axis
    maps: Array  #: (frames, channels, height, width)
    channels: int  #: of the layer, more than are shown
    size: tuple[int, int]  #: height and width in the layer, more than are shown


def has_maps(info: NodeLayerInfo) -> bool:
    return len(info.shape) >= 2 and info.shape[-1] * (info.shape[-2] if len(info.shape) > 2 else 1) > 1


def shown_coordinates(size: int, classes: Array | None, most: int) -> Array:
    """Of neighbours in one class only the first, where all are too many; then evenly spaced ones."""
    if size <= most:
        return numpy.arange(size)
    if classes is not None:
        first = numpy.flatnonzero(numpy.append(True, classes[1:] != classes[:-1]))
        if len(first) <= most:
            return first
    return thinned(size, most)


def map_layer(run: RunFile, layer: int, axis: Axis, limits: Limits, channels: int = 64, side: int = 32) -> LayerMaps:
    """The maps of a layer, thinned out until they keep to the limits."""
    info = run.description.node_layers[layer]
    if not has_maps(info):
        raise Error(f"{run.path}: node layer '{info.name}' has no positions to draw maps of, its shape is {info.shape}")
    flat = len(info.shape) == 2
    size = (1 if flat else info.shape[-2], info.shape[-1])
    depth = info.units // max(size[0] * size[1], 1)
    # Room for 16 channels in 4 frames at least.
    most = max(2, min(side, int(numpy.sqrt(limits.map_values / (4 * min(depth, 16))))))
    lines = shown_coordinates(size[0], None if flat else info.classes[-2], most)
    places = shown_coordinates(size[1], info.classes[-1], most)
    one = len(lines) * len(places)
    shown = max(1, min(depth, channels, limits.map_values // (4 * one)))
    frames = axis.thinned(max(2, min(limits.frames, limits.map_values // (one * shown))))
    path = run.node_layer_path(layer) + "/strength"
    maps = []
    for row in frames.rows:
        full = expand(info, run.read(path, int(row), 1)[0]).reshape(depth, *size)
        maps.append(full[:shown][:, lines][:, :, places])
    return LayerMaps(info, frames, numpy.stack(maps), depth, size)


def summaries(run: RunFile, layer: int, time: Axis) -> tuple[Array, Array, Array, Array]:
    """Mean, smallest and largest node strength and fluctuation of a layer."""
    mean, low, high, fluctuation = (run.read(f"/nodes/{name}")[time.rows, layer]
                                    for name in ("strength_mean", "strength_min", "strength_max", "fluctuation"))
    return mean, low, high, fluctuation


def link_counts(run: RunFile, axis: Axis, limits: Limits) -> tuple[Axis, Array]:
    """The frames in which histograms of link weights were recorded, and these: (frames, weight layers, bins + 2)."""
    what = run.description
    frames = axis.thinned(limits.columns).thinned(limits.frames)
    if what.histogram == "off" or not what.weight_layers:
        return dataclasses.replace(frames, rows=frames.rows[:0], values=frames.values[:0]), numpy.zeros((0, 0, 0), "i8")
    row_bytes = 8 * len(what.weight_layers) * (what.histogram_bins + 2)
    counts = picked_rows(run, "/links/histogram", frames.rows, row_bytes)
    recorded = (counts >= 0).all(axis=(1, 2))
    return dataclasses.replace(frames, rows=frames.rows[recorded], values=frames.values[recorded]), counts[recorded]
