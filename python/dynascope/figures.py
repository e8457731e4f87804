# SPDX-License-Identifier: BSD-3-Clause
"""The figures, as plain dictionaries of plotly's schema with numpy arrays in them.

plots.py makes plotly figures of them for notebooks, report.py writes them into a page. (Plotly's own objects check
every attribute of every trace, which for a page of 300 layers takes longer than reading the run; the tests let them
check.)
"""

from __future__ import annotations

import html
from typing import Any

import numpy

from .input_file import Array
from .run_file import RunFile
from .view import Axis, LayerMaps, LayerView, unit_label

Figure = dict[str, Any]

# Okabe and Ito's colours, told apart by colour-blind readers; yellow left out (too light for lines).
BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE, BLACK = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00",
                                                       "#000000")
COLOURS = [BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE, BLACK]
DASHES = ["solid", "dash", "dot", "dashdot"]
# One hue, from nothing to much: read by lightness alone.
SEQUENTIAL = [[0, "#ffffff"], [0.04, "#d9ebf5"], [0.35, SKY], [0.7, BLUE], [1, "#002a43"]]
DIVERGING = [[0, BLUE], [0.5, "#f7f7f7"], [1, VERMILLION]]
MOST_LINES = len(COLOURS) * 2
GRID = "#e2e2e2"


def label(name: str) -> str:
    """A name from a file, for a figure's texts, where plotly knows tags."""
    return html.escape("".join(c if c.isprintable() else "\ufffd" for c in name), quote=False)


def axis(title: str, **more: Any) -> Figure:
    return {"title": {"text": title, "standoff": 8}, "automargin": True, "gridcolor": GRID, "zerolinecolor": "#999999",
            **more}


def layout(x: Figure, y: Figure, **more: Any) -> Figure:
    return {"xaxis": x, "yaxis": y, "margin": {"l": 8, "r": 12, "t": 30, "b": 8}, "paper_bgcolor": "#ffffff",
            "plot_bgcolor": "#ffffff", "font": {"size": 12}, "hoverlabel": {"namelength": -1}, "showlegend": False,
            **more}


def legend_below(entries: int) -> Figure:
    return {"orientation": "h", "yanchor": "top", "y": -0.22, "xanchor": "left", "x": 0, "font": {"size": 11},
            "maxheight": 0.5 if entries > 12 else 0.3}


def time_ticks(time: Axis) -> Figure:
    """Whole epochs only."""
    few = len(time.values) and time.values[-1] - time.values[0] <= 10
    return {"dtick": 1} if few and time.by == "epoch" else {"tickformat": ",d"}


def line_mode(time: Axis) -> str:
    """A line of one point is not seen."""
    return "lines+markers" if len(time.values) <= 15 else "lines"


def over_time(time: Axis, values: Array, names: list[str], title: str, quantity: str) -> Figure:
    """(points, names): a line each, or a map where they are too many to be told apart."""
    if len(names) > MOST_LINES:
        return _map_over_time(time, values, names, quantity)
    traces = [{
        "type": "scatter", "mode": line_mode(time), "x": time.values, "y": values[:, i], "name": short(name, 24),
        "connectgaps": True, "marker": {"size": 5},
        "line": {"color": COLOURS[i % len(COLOURS)], "dash": DASHES[i // len(COLOURS)], "width": 2},
        "hovertemplate": f"{time.by} %{{x}}: %{{y:.5g}}<extra>{label(name)}</extra>",
    } for i, name in enumerate(names)]
    many = len(names) > 1
    return {"data": traces, "layout": layout(axis(time.title, **time_ticks(time)), axis(title), showlegend=many,
                                             legend=legend_below(len(names)), hovermode="closest")}


def _map_over_time(time: Axis, values: Array, names: list[str], quantity: str) -> Figure:
    known = values[numpy.isfinite(values)]
    # A few large layers would leave the others one colour.
    top = float(numpy.quantile(known, 0.98)) if known.size else 1.0
    every = -(-len(names) // 16)
    ticks = numpy.arange(0, len(names), every)
    few = len(names) * len(time.values) < 20_000
    trace = {
        "type": "heatmap", "x": time.values, "y": numpy.arange(len(names)), "z": values.T, "colorscale": SEQUENTIAL,
        "zmin": 0 if known.size and known.min() >= 0 else None, "zmax": top if top > 0 else None,
        "text": [[label(name)] * len(time.values) for name in names] if few else None,
        "hoverongaps": False, "colorbar": colorbar(quantity),
        "hovertemplate": f"layer %{{y}} %{{text}}<br>{time.by} %{{x}}: %{{z:.5g}}<extra></extra>",
    }
    y = axis("layer, in execution order", autorange="reversed", tickvals=ticks,
             ticktext=[short(names[i], 14) for i in ticks])
    return {"data": [trace], "layout": layout(axis(time.title, **time_ticks(time)), y)}


def short(name: str, most: int) -> str:
    return label(name if len(name) <= most else "\u2026" + name[-most + 1:])


def colorbar(title: str) -> Figure:
    return {"title": {"text": title, "side": "right"}, "thickness": 12, "outlinewidth": 0}


def distribution(view: LayerView) -> Figure:
    """Units per bin of node strength, over time."""
    middle = (view.edges[1:] + view.edges[:-1]) / 2
    trace = {
        "type": "heatmap", "x": view.columns.values, "y": middle, "z": view.counts.T, "colorscale": SEQUENTIAL,
        "colorbar": colorbar("units per bin"), "zmin": 0,
        "hovertemplate": f"{view.columns.by} %{{x}}<br>strength %{{y:.4g}}<br>%{{z}} units<extra></extra>",
    }
    time = axis(view.columns.title, **time_ticks(view.columns))
    return {"data": [trace], "layout": layout(time, axis("node strength (dimensionless)"))}


def _bars(edges: Array, counts: Array, name: str, colour: str) -> Figure:
    return {"type": "bar", "x": (edges[1:] + edges[:-1]) / 2, "width": numpy.diff(edges), "y": counts,
            "name": short(name, 32), "marker": {"color": colour, "line": {"width": 0}},
            "hovertemplate": "%{x:.4g}: %{y}"}


def strength_at(view: LayerView, frames: Axis) -> Figure:
    """Units per bin of node strength in one row; a frame for each row of `frames`, which are among the columns."""
    at = numpy.searchsorted(view.columns.rows, frames.rows)
    newest = view.counts[at[-1]]
    first = {"type": "scatter", "mode": "lines",
             "x": numpy.repeat(view.edges, 2)[1:-1], "y": numpy.repeat(view.counts[0], 2),
             "line": {"color": BLACK, "width": 1.5, "dash": "dot"}, "name": f"{frames.by} {frames.values[0]}",
             "hoverinfo": "skip"}
    top = float(max(view.counts.max(), 1)) * 1.05
    x = axis("node strength (dimensionless)", range=[float(view.edges[0]), float(view.edges[-1])])
    return {"data": [_bars(view.edges, newest, f"chosen {frames.by}", BLUE), first],
            "layout": layout(x, axis("units per bin", range=[0, top]), showlegend=True, legend=legend_below(2),
                             bargap=0),
            "frames": [{"name": str(value), "data": [{"y": view.counts[i]}], "traces": [0]}
                       for value, i in zip(frames.values, at)]}


def merged_bins(edges: Array, counts: Array, most: int) -> tuple[Array, Array]:
    """Neighbouring bins added up until there are at most `most`; what lies outside the edges is left out."""
    inner = counts[..., 1:-1]
    together = -(-inner.shape[-1] // most)
    starts = numpy.arange(0, inner.shape[-1], together)
    return edges[numpy.append(starts, inner.shape[-1])], numpy.add.reduceat(inner, starts, axis=-1)


def links_at(run: RunFile, links: list[int], histogram: Array, frames: Axis, most: int) -> Figure:
    """Links per bin of the weights of some weight layers; `histogram`: (frames, weight layers, bins + 2)."""
    what = run.description
    traces, parts, seen = [], [], []
    for i, link in enumerate(links):
        edges, counts = merged_bins(what.histogram_edges[link], histogram[:, link], most)
        parts.append(counts)
        used = numpy.flatnonzero(counts.any(axis=0))
        seen += [edges[used[0]], edges[used[-1] + 1]] if len(used) else []
        traces.append({**_bars(edges, counts[-1], what.weight_layers[link].name, [SKY, ORANGE, GREEN][i % 3]),
                       "opacity": 1 if len(links) == 1 else 0.65})
    x = axis("link weight (dimensionless)", **({"range": [float(min(seen)), float(max(seen))]} if seen else {}))
    top = float(max(max(part.max() for part in parts), 1)) * 1.05
    return {"data": traces,
            "layout": layout(x, axis("links per bin", range=[0, top]), showlegend=True, legend=legend_below(len(links)),
                             barmode="overlay", bargap=0),
            "frames": [{"name": str(value), "data": [{"y": part[i]} for part in parts],
                        "traces": list(range(len(parts)))}
                       for i, value in enumerate(frames.values)]}


def extremes(view: LayerView) -> Figure:
    """The units with the largest and the smallest strength in the newest row, over time."""
    traces = []
    sides = [(view.high, BLUE, "largest"), (view.low, VERMILLION, "smallest")]
    column = 0
    for units, colour, side in sides:
        for rank, unit in enumerate(units):
            traces.append({
                "type": "scatter", "mode": line_mode(view.points), "x": view.points.values, "y": view.lines[:, column],
                "marker": {"size": 4},
                "line": {"color": colour, "width": 2 if rank == 0 else 1.2, "dash": DASHES[rank % len(DASHES)]},
                "name": f"{side}: {unit_label(view.info, unit)}",
                "hovertemplate": f"{view.points.by} %{{x}}: %{{y:.5g}}",
            })
            column += 1
    time = axis(view.points.title, **time_ticks(view.points))
    return {"data": traces, "layout": layout(time, axis("node strength (dimensionless)"), showlegend=True,
                                             legend=legend_below(len(traces)), hovermode="closest")}


def summary(time: Axis, mean: Array, low: Array, high: Array, fluctuation: Array) -> Figure:
    """Mean, smallest and largest strength of a layer, and one fluctuation to both sides of the mean."""
    def line(y: Array, name: str, **more: Any) -> Figure:
        return {"type": "scatter", "mode": line_mode(time), "x": time.values, "y": y, "name": name,
                "marker": {"size": 3}, "hovertemplate": f"{time.by} %{{x}}: %{{y:.5g}}", **more}

    grey = {"color": "#888888", "width": 1, "dash": "dot"}
    none = {"color": SKY, "width": 0.5}
    traces = [line(mean - fluctuation, "mean \u2212 fluctuation", line=none),
              line(mean + fluctuation, "mean \u00b1 fluctuation", line=none, fill="tonexty",
                   fillcolor="rgba(86,180,233,0.3)"),
              line(mean, "mean", line={"color": BLUE, "width": 2.5}), line(low, "smallest", line=grey),
              line(high, "largest", line=grey)]
    traces[0]["showlegend"] = False
    x, y = axis(time.title, **time_ticks(time)), axis("node strength (dimensionless)")
    return {"data": traces, "layout": layout(x, y, showlegend=True, legend=legend_below(4))}


def strength_maps(maps: LayerMaps) -> Figure:
    """Channels side by side, on one scale around 0 for all of them and all frames."""
    shown, height, width = maps.maps.shape[1:]
    across = int(numpy.ceil(numpy.sqrt(shown * height / width)))
    across = min(shown, max(1, across))
    down = -(-shown // across)

    def tiled(images: Array) -> Array:
        grid = numpy.full((down * (height + 1) - 1, across * (width + 1) - 1), numpy.nan, "f4")
        for i, image in enumerate(images):
            y, x = i // across * (height + 1), i % across * (width + 1)
            grid[y:y + height, x:x + width] = image
        return grid

    finite = numpy.abs(maps.maps[numpy.isfinite(maps.maps)])
    limit = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    lines = numpy.arange(down)
    places = numpy.arange(across)
    x = axis("channel: first of its line, plus", tickvals=places * (width + 1) + (width - 1) / 2,
             ticktext=[f"+{i}" for i in places], showgrid=False, zeroline=False, constrain="domain")
    y = axis("first channel of the line", tickvals=lines * (height + 1) + (height - 1) / 2,
             ticktext=[str(i * across) for i in lines], showgrid=False, zeroline=False, autorange="reversed",
             scaleanchor="x", constrain="domain")
    trace = {"type": "heatmap", "z": tiled(maps.maps[-1]), "colorscale": DIVERGING, "zmin": -limit, "zmax": limit,
             "hoverongaps": False, "colorbar": colorbar("node strength"),
             "hovertemplate": "strength %{z:.5g}<extra></extra>"}
    return {"data": [trace], "layout": {**layout(x, y), "plot_bgcolor": "#d9d9d9"},
            "frames": [{"name": str(value), "data": [{"z": tiled(images)}], "traces": [0]}
                       for value, images in zip(maps.frames.values, maps.maps)]}
