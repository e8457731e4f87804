# SPDX-License-Identifier: BSD-3-Clause
"""The plots of the report, one by one, for notebooks: each function takes a run and returns a plotly figure.

    import dynascope
    from dynascope import plots

    with dynascope.open("run.h5") as run:
        plots.fluctuation(run).show()

`by` says what time is counted in: "epoch" or "step"; by default epochs, where the run has two or more. `limits` says
how much is drawn at most (dynascope.view.Limits); what is left out lies evenly between what is shown.
"""

from __future__ import annotations

from typing import Any


from . import figures, graph, view
from .error import Error
from .run_file import RunFile

try:
    import plotly.graph_objects
except ImportError as error:
    raise Error("the plots need plotly: python3 -m pip install plotly") from error


def fluctuation(run: RunFile, by: str | None = None, limits: view.Limits = view.Limits()) -> Any:
    """Layer fluctuation over time, a line per node layer; a heat map where they are many."""
    time = view.time_axis(run, by).thinned(limits.points)
    names = [layer.name for layer in run.description.node_layers]
    return _figure(figures.over_time(time, run.read("/nodes/fluctuation")[time.rows], names,
                                     "layer fluctuation (dimensionless)", "layer fluctuation"))


def links(run: RunFile, statistic: str = "std", by: str | None = None, limits: view.Limits = view.Limits()) -> Any:
    """A statistic of the link weights over time, for every weight layer: mean, std, min, max, abs_mean, norm."""
    time = view.time_axis(run, by).thinned(limits.points)
    names = [layer.name for layer in run.description.weight_layers]
    return _figure(figures.over_time(time, run.read(f"/links/{statistic}")[time.rows], names,
                                     f"{statistic} of link weights (dimensionless)", statistic))


def scalar(run: RunFile, key: str = "accuracy", by: str | None = None, limits: view.Limits = view.Limits()) -> Any:
    """One of the user's values over time."""
    time = view.time_axis(run, by).thinned(limits.points)
    return _figure(figures.over_time(time, run.scalar(key)[time.rows][:, None], [key],
                                     f"{figures.label(key)} (as logged)", key))


def strength_distribution(run: RunFile, layer: int | str, by: str | None = None,
                          limits: view.Limits = view.Limits()) -> Any:
    """Node strengths of a layer over time, as a heat map."""
    return _figure(figures.distribution(_look(run, layer, by, limits)))


def strength_histogram(run: RunFile, layer: int | str, by: str | None = None,
                       limits: view.Limits = view.Limits()) -> Any:
    """Node strengths of a layer in one row, with a slider over time."""
    seen = _look(run, layer, by, limits)
    return _figure(figures.strength_at(seen, seen.columns.thinned(limits.frames)))


def link_histogram(run: RunFile, weight_layer: int | str, by: str | None = None,
                   limits: view.Limits = view.Limits()) -> Any:
    """Weights of a weight layer in one row, with a slider over time."""
    link = run.weight_layer(weight_layer) if isinstance(weight_layer, str) else weight_layer
    frames, counts = view.link_counts(run, view.time_axis(run, by), limits)
    if not len(frames.rows):
        raise Error(f"{run.path}: no histogram of link weights was recorded")
    return _figure(figures.links_at(run, [link], counts, frames, limits.link_bins))


def extreme_units(run: RunFile, layer: int | str, by: str | None = None, limits: view.Limits = view.Limits()) -> Any:
    """The units with the largest and the smallest strength over time."""
    return _figure(figures.extremes(_look(run, layer, by, limits)))


def strength_summary(run: RunFile, layer: int | str, by: str | None = None, limits: view.Limits = view.Limits()) -> Any:
    """Mean, smallest and largest node strength of a layer over time, and its fluctuation around the mean."""
    time = view.time_axis(run, by).thinned(limits.points)
    return _figure(figures.summary(time, *view.summaries(run, _position(run, layer), time)))


def strength_maps(run: RunFile, layer: int | str, by: str | None = None, limits: view.Limits = view.Limits()) -> Any:
    """Maps of a layer's node strengths, channels side by side, with a slider over time."""
    time = view.time_axis(run, by)
    return _figure(figures.strength_maps(view.map_layer(run, _position(run, layer), time, limits)))


def network(run: RunFile) -> Any:
    """The graph: node layers and what links them, with the newest row's statistics."""
    view.time_axis(run)
    return _figure(graph.network(run))


def _position(run: RunFile, layer: int | str) -> int:
    run.node_layer_path(layer)
    return run.node_layer(layer) if isinstance(layer, str) else layer


def _look(run: RunFile, layer: int | str, by: str | None, limits: view.Limits) -> view.LayerView:
    return view.look_at_layer(run, _position(run, layer), view.time_axis(run, by), limits)


def _figure(what: figures.Figure) -> Any:
    frames = [{**frame, "data": [{"type": what["data"][trace]["type"], **part}
                                 for trace, part in zip(frame["traces"], frame["data"])]}
              for frame in what.get("frames", [])]
    made = plotly.graph_objects.Figure({**what, "frames": frames})
    made.update_layout(template="none")
    if len(frames) > 1:
        how = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
        steps = [{"label": frame["name"], "method": "animate", "args": [[frame["name"]], how]} for frame in frames]
        made.update_layout(sliders=[{"active": len(frames) - 1, "steps": steps, "pad": {"t": 60}}])
    return made


