# SPDX-License-Identifier: BSD-3-Clause
"""The section of a report that is text and tables: what `dynascope info` says, and the newest row's numbers."""

from __future__ import annotations

import numpy

from .graph import size_text
from .markup import number, safe, table
from .run_file import RunFile


def overview(run: RunFile) -> str:
    """The section of everything that is no figure."""
    what, metrics, by, index = run.description, run.description.metrics, run.provenance, run.row_index()
    facts = {
        "file": run.path, "run": by.run_id, "created": by.created, "host": by.host, "command": by.command,
        "written by": f"dynascope {by.creator_version}, schema {by.schema_version}, LibTorch {what.torch_version}",
        "device": f"{what.device} ({what.backend})",
        "definitions": f"{by.definitions_version}: bias {metrics.bias}, boundary {metrics.boundary}, "
                       f"padding {metrics.padding}, granularity {metrics.granularity}",
        "histogram": "off" if what.histogram == "off" else f"{what.histogram}, {what.histogram_bins} bins",
        "components": "in- and out-strength" if what.components else "no",
        "configuration": what.config,
        "rows dropped": f"{int(index.dropped.sum()):,}",
        "cost": f"{float(index.snapshot_seconds.sum()):.3g} s in all, median "
                f"{1000 * float(numpy.median(index.snapshot_seconds)):.3g} ms a row",
        "source": what.source,
    }
    listed = "".join(f"<dt>{safe(key)}</dt><dd>{safe(value)}</dd>" for key, value in facts.items())
    tables = _node_table(run) + _link_table(run)
    if what.skipped:
        tables += "<h2>Not in the graph</h2>" + table(
            ["name", "reason"], [[item.name, item.reason] for item in what.skipped], 2)
    events = [[f"{event.step:,}", f"{event.time:.2f}", event.code, number(event.value), event.message]
              for event in run.events()]
    if events:
        tables += "<h2>Events</h2>" + table(["step", "time (s)", "code", "value", "message"], events, 9)
    return (f'<section id="overview"><h2>Overview</h2><div class="card"><dl>{listed}</dl></div>{tables}</section>')


def _node_table(run: RunFile) -> str:
    names = ("fluctuation", "strength_mean", "strength_min", "strength_max", "nonfinite")
    now = {name: run.read(f"/nodes/{name}", run.rows - 1, 1)[0] for name in names}
    first = run.read("/nodes/fluctuation", 0, 1)[0]
    lines = [[layer.name, layer.role, size_text(layer), f"{layer.units:,}", number(first[i]),
              *(number(now[name][i]) for name in names[:4]),
              f"{int(now['nonfinite'][i]):,}"] for i, layer in enumerate(run.description.node_layers)]
    titles = ["name", "role", "shape", "units", "fluctuation, first", "fluctuation, last", "mean", "min", "max",
              "not finite"]
    return "<h2>Node layers</h2><p>Strengths in the newest row; dimensionless.</p>" + table(titles, lines, 3)


def _link_table(run: RunFile) -> str:
    what = run.description
    now = {name: run.read(f"/links/{name}", run.rows - 1, 1)[0]
           for name in ("mean", "std", "min", "max", "norm", "nonfinite")}
    lines = []
    for i, layer in enumerate(what.weight_layers):
        ends = [[what.node_layers[at].name for at in dict.fromkeys(
            getattr(c, side) for c in what.connections if c.link == i)] for side in ("source", "target")]
        lines.append([layer.name, *(", ".join(end) or "not in the graph" for end in ends), f"{layer.count:,}",
                      *(number(now[name][i]) for name in ("mean", "std", "min", "max", "norm")),
                      f"{int(now['nonfinite'][i]):,}"])
    return "<h2>Weight layers</h2><p>Link weights in the newest row; dimensionless.</p>" + table(
        ["name", "from", "to", "entries", "mean", "std", "min", "max", "norm", "not finite"], lines, 3)
