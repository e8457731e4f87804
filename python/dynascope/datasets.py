# SPDX-License-Identifier: BSD-3-Clause
"""Runs as xarray datasets.

xarray.open_dataset reads the groups of a finished file, too; this works on growing and killed ones as well, ends at the
committed rows, has names as text rather than bytes, and brings epoch and time along.
"""

from __future__ import annotations

from typing import Any

import numpy

from .error import Error
from .run_file import _LINK_COLUMNS, _NODE_COLUMNS, RunFile

try:
    import xarray
except ImportError as error:
    raise Error("to_xarray needs xarray: python3 -m pip install xarray") from error


def to_xarray(run: RunFile, group: str) -> xarray.Dataset:
    what = run.description
    index = run.row_index()
    names = ("step", "epoch", "epoch_end", "time")
    coordinates: dict[str, Any] = {name: ("step", getattr(index, name)) for name in names}
    coordinates["time"] = ("step", index.time, {"units": "s"})
    values: dict[str, Any] = {}
    if group == "nodes":
        coordinates["layer"] = [layer.name for layer in what.node_layers]
        values = {name: (("step", "layer"), run.read(f"/nodes/{name}")) for name in _NODE_COLUMNS}
    elif group == "links":
        coordinates["link"] = [layer.name for layer in what.weight_layers]
        values = {name: (("step", "link"), run.read(f"/links/{name}")) for name in _LINK_COLUMNS}
        values["count"] = ("link", [layer.count for layer in what.weight_layers])
        if what.histogram != "off":
            values["histogram"] = (("step", "link", "bin"), run.read("/links/histogram"))
            values["histogram_edges"] = (("link", "edge"), what.histogram_edges)
    elif group == "scalars":
        values = {key: ("step", run.scalar(key)) for key in what.scalars}
    elif group.startswith("nodes/"):
        layer = what.node_layers[run.node_layer(group[len("nodes/"):])]
        coordinates["unit"] = numpy.arange(layer.stored_units)
        coordinates["multiplicity"] = ("unit", layer.multiplicity)
        path = run.node_layer_path(layer.name)
        for name in ("strength", "in_strength", "out_strength") if what.components else ("strength",):
            values[name] = (("step", "unit"), run.read(f"{path}/{name}"))
    else:
        raise Error(f"{run.path}: to_xarray gives nodes, links, scalars or nodes/NAME, got '{group}'")
    return xarray.Dataset(values, coordinates, {"title": what.title, "run_id": run.provenance.run_id})
