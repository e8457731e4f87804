# SPDX-License-Identifier: BSD-3-Clause
"""Reads a run file: finished, still growing, or left behind by a killed process."""

from __future__ import annotations

import dataclasses
import math
import os
from types import TracebackType
from typing import TYPE_CHECKING

import numpy

from .description import (Event, NodeLayerInfo, RunDescription, RunProvenance, escape_name, node_layer_path,
                          read_description, read_provenance, weight_layer_path)
from .error import in_file
from .input_file import Array, InputFile

if TYPE_CHECKING:
    import xarray

_LARGEST_UNIT_MAP = 2**26  # more is no image of a network but a broken file
_NODE_COLUMNS = ("fluctuation", "strength_mean", "strength_min", "strength_max", "nonfinite")
_LINK_COLUMNS = ("mean", "std", "min", "max", "abs_mean", "norm", "nonfinite")
_UNIT_COLUMNS = ("strength", "in_strength", "out_strength")
_ROW_COLUMNS = ("/step", "/epoch", "/epoch_end", "/time", "/cost/snapshot", "/cost/dropped")


@dataclasses.dataclass(frozen=True, eq=False)
class RunRows:
    """When the rows were taken; each array has one entry per row."""

    step: Array
    epoch: Array
    epoch_end: Array  #: bool
    time: Array  #: seconds since training began
    snapshot_seconds: Array  #: cost of each row
    dropped: Array  #: rows dropped before each row


class RunFile:
    """A run file, with the names of the C++ class (include/dynascope/run_file.hpp).

    Only committed rows are visible. Nothing the file says is trusted: what does not fit the schema is one
    dynascope.Error that tells the path. A file that a writer holds, or that was never closed, is opened as a SWMR
    reader, with HDF5's file locking at its default. Use it in a `with`, or close() it. Not thread-safe.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        with in_file(self.path):
            self._file = InputFile(self.path)
            try:
                self._provenance = read_provenance(self._file)
                self._description = read_description(self._file)
                self._in_progress = self._file.marked_open()
                self._rows = self._committed()
            except BaseException:
                self._file.close()
                raise

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> RunFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        what = self._description
        return (f"<dynascope.RunFile {self.path!r}: {self._rows} rows, {len(what.node_layers)} node layers, "
                f"{len(what.weight_layers)} weight layers>")

    @property
    def description(self) -> RunDescription:
        """What was known before training: layers, connections, options, skipped."""
        return self._description

    @property
    def provenance(self) -> RunProvenance:
        return self._provenance

    @property
    def rows(self) -> int:
        """Rows visible now."""
        return self._rows

    @property
    def in_progress(self) -> bool:
        """The file was left open: a writer still has it, or died. As of the last refresh."""
        return self._in_progress

    def has_writer(self) -> bool:
        """The process that writes the run lives; False for one that was left behind, and for a finished one. True for
        every file that was left open where the file system knows no locks."""
        return self._file.marked_open() and self._file.has_writer()

    def refresh(self) -> bool:
        """Looks for rows and events committed since; True when there are more rows than before."""
        if not self._file.live:
            return False
        with in_file(self.path):
            # The mark first: a writer that closes in between has committed all before it took the mark away.
            self._in_progress = self._file.marked_open()
            before, self._rows = self._rows, max(self._rows, self._committed())
        return self._rows > before

    def row_index(self) -> RunRows:
        """Steps, epochs and times of all visible rows."""
        with in_file(self.path):
            step, epoch, end, time, cost, dropped = (self._column(path) for path in _ROW_COLUMNS)
        return RunRows(step, epoch, end != 0, time, cost, dropped)

    def rows_of_epochs(self) -> Array:
        """Positions of the rows that stand for their epoch: the one that closes it, else its newest."""
        epoch = self.row_index().epoch
        return numpy.flatnonzero(numpy.append(epoch[1:] != epoch[:-1], True)) if len(epoch) else numpy.arange(0)

    def events(self) -> list[Event]:
        """Events committed so far."""
        with in_file(self.path):
            codes = self._file.all("/events/code", 1, integers=True)
            unfinished = numpy.flatnonzero(codes < 1)
            count = int(unfinished[0]) if len(unfinished) else len(codes)
            columns = [self._file.rows(self._file.dataset(f"/events/{name}", 1), 0, count)
                       for name in ("step", "time", "value")]
            messages = self._file.strings("/events/message", count)
        return [Event(int(step), float(time), int(code), float(value), message)
                for step, time, code, value, message in zip(columns[0], columns[1], codes, columns[2], messages)]

    def scalar(self, key: str) -> Array:
        """The user's scalar `key` in every row, NaN where none was given."""
        if key not in self._description.scalars:
            self._file.refuse(f"the run has no scalar '{key}' (it has: {_listed(self._description.scalars)})")
        with in_file(self.path):
            return self._column("/scalars/" + escape_name(key))

    def read(self, path: str, first: int = 0, count: int | None = None) -> Array:
        """Rows `first` to `first + count - 1` (by default all from `first` on) of any per-row dataset, in its own type:
        (count, shape...). `path` is for example "/nodes/fluctuation", or node_layer_path(...) + "/strength"."""
        shape = self._row_shape(path)
        count = self._rows - first if count is None else count
        if first < 0 or count < 0 or first + count > self._rows:
            self._file.refuse(f"rows {first} to {first + count} (exclusive) of {path} are not all there; "
                              f"{self._rows} are committed")
        with in_file(self.path):
            return self._file.rows(self._file.dataset(path, row=shape), first, count)

    def node_layer(self, name: str) -> int:
        """Position of a node layer by name."""
        return self._position("node layer", [layer.name for layer in self._description.node_layers], name)

    def weight_layer(self, name: str) -> int:
        """Position of a weight layer by name."""
        return self._position("weight layer", [layer.name for layer in self._description.weight_layers], name)

    def node_layer_path(self, layer: int | str) -> str:
        """Group of a node layer, by position or name."""
        layers = self._description.node_layers
        position = self.node_layer(layer) if isinstance(layer, str) else layer
        if not 0 <= position < len(layers):
            self._file.refuse(f"there is no node layer {position}; the run has {len(layers)}")
        return node_layer_path(position, len(layers), layers[position].name)

    def unit_map(self, layer: int | str, row: int = -1, metric: str = "strength") -> Array:
        """One value per unit of a node layer in one row (-1: the newest), of the layer's full shape: the stored values,
        expanded by class. `metric`: "strength", or "in_strength" / "out_strength" where components were recorded."""
        path = self.node_layer_path(layer)
        info = self._description.node_layers[self.node_layer(layer) if isinstance(layer, str) else layer]
        if info.units > _LARGEST_UNIT_MAP:
            self._file.refuse(f"a map of the {info.units} units of '{info.name}' is too large; "
                              f"the limit is {_LARGEST_UNIT_MAP}")
        stored = self.read(f"{path}/{metric}", row + self._rows if row < 0 else row, 1)[0]
        return expand(info, stored)

    def to_xarray(self, group: str = "nodes") -> xarray.Dataset:
        """The rows of "nodes", "links" or "scalars", or of the units of one layer ("nodes/fc1"), as an xarray.Dataset
        in memory; its layers are coordinates: `run.to_xarray("nodes").fluctuation.sel(layer="fc1")`. Needs xarray."""
        from .datasets import to_xarray
        return to_xarray(self, group)

    def _committed(self) -> int:
        # A reader of a growing file may meet a number of which half is written.
        rows = self._file.number("/committed")
        again = -1
        while self._file.live and again != rows:
            again, rows = rows, self._file.number("/committed")
        held = self._file.dataset("/step", 1).shape[0]
        if rows > held:
            self._file.refuse(f"/committed says {rows} rows, but /step has {held}")
        return rows

    def _column(self, path: str) -> Array:
        integers = path not in ("/time", "/cost/snapshot") and not path.startswith("/scalars/")
        return self._file.rows(self._file.dataset(path, 1), 0, self._rows, integers)

    def _position(self, kind: str, names: list[str], name: str) -> int:
        if name not in names:
            self._file.refuse(f"the run has no {kind} '{name}' (it has: {_listed(names)})")
        return names.index(name)

    def _row_shape(self, path: str) -> tuple[int, ...]:
        """Dimensions of one row of a per-row dataset."""
        what = self._description
        nodes, links = len(what.node_layers), len(what.weight_layers)
        group, _, name = path.rpartition("/")
        if path in _ROW_COLUMNS:
            return ()
        if group == "/nodes" and name in _NODE_COLUMNS:
            return (nodes,)
        if group == "/links" and name in _LINK_COLUMNS:
            return (links,)
        if path == "/links/histogram" and what.histogram != "off":
            return (links, what.histogram_bins + 2)
        if group == "/scalars" and name in map(escape_name, what.scalars):
            return ()
        if group == "/parameters":
            for parameter in what.parameters:
                if escape_name(parameter.name) == name:
                    return parameter.shape
        if name in _UNIT_COLUMNS and (name == "strength" or what.components):
            for i, layer in enumerate(what.node_layers):
                if node_layer_path(i, nodes, layer.name) == group:
                    return (layer.stored_units,)
        if name in ("row_sum", "column_sum"):
            for i, link in enumerate(what.weight_layers):
                if weight_layer_path(i, links, link.name) == group and link.rows > 0:
                    return (link.rows if name == "row_sum" else link.columns,)
        self._file.refuse(f"the run has no per-row dataset {path}")


def expand(layer: NodeLayerInfo, stored: Array) -> Array:
    """Stored values of a layer, (..., stored units), as full maps, (..., shape...)."""
    lead = stored.shape[:-1]
    full = stored.reshape(lead + layer.stored_shape)
    for axis, places in enumerate(layer.classes):
        if places is not None:
            full = numpy.take(full, places, axis=len(lead) + axis)
    assert math.prod(full.shape[len(lead):]) == layer.units
    return full


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names) or "none"
