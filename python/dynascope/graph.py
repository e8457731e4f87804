# SPDX-License-Identifier: BSD-3-Clause
"""The network as a figure: node layers as boxes from top to bottom in execution order, connections between neighbours
straight, all others as arcs to the right, those that go back (recurrent layers) to the left."""

from __future__ import annotations

from typing import Any

import numpy

from .description import ConnectionInfo, NodeLayerInfo, RunDescription
from .figures import BLUE, GREEN, ORANGE, SKY, VERMILLION, Figure, label, short
from .input_file import Array
from .run_file import RunFile

_FILL = {"input": "#d7ecf7", "hidden": "#f2f2f2", "output": "#d3ede4"}
_LINE = {"input": SKY, "hidden": "#888888", "output": GREEN}
_SIDE = 1.0  # a box reaches from -1 to 1
_LANES = 1.1  # room for arcs on one side


def lanes(connections: list[ConnectionInfo]) -> list[int]:
    """Arcs that pass each other get a lane each, short ones next to the boxes."""
    spans = [(min(c.source, c.target), max(c.source, c.target)) for c in connections]
    found = [0] * len(spans)
    taken: list[list[tuple[int, int]]] = []
    for i in sorted(range(len(spans)), key=lambda i: (spans[i][1] - spans[i][0], spans[i][0])):
        first, last = spans[i]
        free = (n for n, others in enumerate(taken) if all(last <= a or first >= b for a, b in others))
        lane = next(free, len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append((first, last))
        found[i] = lane
    return found


def size_text(layer: NodeLayerInfo) -> str:
    return " \u00d7 ".join(map(str, layer.shape))


def _link_text(what: RunDescription, link: int, statistics: dict[str, Array]) -> str:
    if link < 0:
        return "identity link (weight 1)"
    layer = what.weight_layers[link]
    numbers = ", ".join(f"{name} {values[link]:.3g}" for name, values in statistics.items())
    return f"{label(layer.name)}: {layer.count:,} weights, {numbers}"


def network(run: RunFile) -> Figure:
    what = run.description
    nodes = what.node_layers
    last = run.rows - 1
    statistics = {name: run.read(f"/links/{name}", last, 1)[0] for name in ("mean", "std", "min", "max")}
    fluctuation = run.read("/nodes/fluctuation", last, 1)[0]
    nonfinite = run.read("/nodes/nonfinite", last, 1)[0]
    direct = [c for c in what.connections if c.target == c.source + 1]
    forward = [c for c in what.connections if c.target > c.source + 1]
    back = [c for c in what.connections if c.target <= c.source]

    traces: list[Figure] = []
    straight = [(numpy.array([0.0, 0.0]), numpy.array([-c.source - 0.3, -c.target + 0.3])) for c in direct]
    traces += _lines(what, direct, straight, statistics)
    room = {1: 0.05, -1: 0.05}
    for side, arcs in ((1, forward), (-1, back)):
        paths = _arcs(arcs, side)
        room[side] += max((abs(x).max() - _SIDE for x, _ in paths), default=0)
        traces += _lines(what, arcs, paths, statistics)
    names = {c.link: c for c in reversed(direct) if c.link >= 0}
    if names:
        traces.append({"type": "scatter", "mode": "text", "x": [0.05] * len(names),
                       "y": [-c.source - 0.5 for c in names.values()], "textposition": "middle right",
                       "text": [f"{short(what.weight_layers[link].name, 28)}, std {statistics['std'][link]:.3g}"
                                for link in names], "textfont": {"size": 10, "color": "#444444"}, "hoverinfo": "skip"})
    traces.append({
        "type": "scatter", "mode": "text", "x": [0] * len(nodes), "y": [-i for i in range(len(nodes))],
        "text": [f"<b>{short(layer.name, 34)}</b><br>{size_text(layer)}, fluctuation {fluctuation[i]:.3g}"
                 for i, layer in enumerate(nodes)],
        "hovertext": [f"{label(layer.name)} ({layer.role}): {layer.units:,} units, {layer.stored_units:,} stored, "
                      f"{nonfinite[i]} not finite" for i, layer in enumerate(nodes)],
        "hovertemplate": "%{hovertext}<extra></extra>", "textfont": {"size": 11},
    })
    shapes = [{"type": "rect", "x0": -_SIDE, "x1": _SIDE, "y0": -i - 0.3, "y1": -i + 0.3, "layer": "below",
               "fillcolor": _FILL[layer.role],
               "line": {"color": VERMILLION if nonfinite[i] else _LINE[layer.role],
                        "width": 3 if nonfinite[i] else 1.2}}
              for i, layer in enumerate(nodes)]
    hidden = {"visible": False, "fixedrange": True}
    x_range = [-_SIDE - room[-1], _SIDE + room[1]]
    return {"data": traces, "layout": {
        "xaxis": {**hidden, "range": x_range}, "yaxis": {**hidden, "range": [-len(nodes) + 0.5, 0.5]}, "shapes": shapes,
        "height": 24 + (84 if len(nodes) <= 60 else 64) * len(nodes), "margin": {"l": 4, "r": 4, "t": 4, "b": 4},
        "showlegend": False, "hovermode": "closest", "paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff",
        "dragmode": False}}


def _arcs(connections: list[ConnectionInfo], side: int) -> list[tuple[Array, Array]]:
    place = lanes(connections)
    step = min(0.3, _LANES / (max(place, default=0) + 2))
    found = []
    for lane, c in zip(place, connections):
        out = side * (_SIDE + step * (lane + 1))
        down = 0.12 if c.target > c.source else -0.12
        y = numpy.array([-c.source - down, -c.source - 2 * down, -c.target + 2 * down, -c.target + down])
        if c.target == c.source:
            y = -c.source + numpy.array([0.2, 0.28, -0.28, -0.2])
        found.append((numpy.array([side * _SIDE, out, out, side * _SIDE]), y))
    return found


def _lines(what: RunDescription, connections: list[ConnectionInfo], paths: list[tuple[Array, Array]],
           statistics: dict[str, Array]) -> list[Figure]:
    traces: list[Figure] = []
    for identity, colour in ((False, BLUE), (True, ORANGE)):
        chosen = [i for i, c in enumerate(connections) if (c.link < 0) == identity]
        if not chosen:
            continue
        gap = numpy.array([numpy.nan])
        x, y = (numpy.concatenate([part for i in chosen for part in (paths[i][axis], gap)]) for axis in (0, 1))
        line: dict[str, Any] = {"color": colour, "width": 2, "dash": "dash" if identity else "solid"}
        traces.append({"type": "scatter", "mode": "lines", "x": x, "y": y, "line": line, "hoverinfo": "skip"})
        ends = [(paths[i][0][-1], paths[i][1][-1]) for i in chosen]
        arrow = ["triangle-down" if x == 0 else "triangle-left" if x > 0 else "triangle-right" for x, _ in ends]
        traces.append({"type": "scatter", "mode": "markers", "x": [x for x, _ in ends], "y": [y for _, y in ends],
                       "marker": {"symbol": arrow, "size": 9, "color": colour}, "hoverinfo": "skip"})
        middle = [(paths[i][0][len(paths[i][0]) // 2 - 1: len(paths[i][0]) // 2 + 1].mean(),
                   paths[i][1][len(paths[i][1]) // 2 - 1: len(paths[i][1]) // 2 + 1].mean()) for i in chosen]
        traces.append({
            "type": "scatter", "mode": "markers", "x": [x for x, _ in middle], "y": [y for _, y in middle],
            "marker": {"size": 9, "color": "#ffffff", "line": {"color": colour, "width": 2}},
            "hovertext": [f"{label(what.node_layers[connections[i].source].name)} \u2192 "
                          f"{label(what.node_layers[connections[i].target].name)}<br>"
                          f"{_link_text(what, connections[i].link, statistics)}" for i in chosen],
            "hovertemplate": "%{hovertext}<extra></extra>"})
    return traces
