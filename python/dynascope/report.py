# SPDX-License-Identifier: BSD-3-Clause
"""The report of a run: one HTML page with everything in it, plotly.js too, that asks the network for nothing.

A page holds figures as data and draws those of the layer that is chosen, so that a run of 300 layers opens as fast as
one of three. Names in the file are anybody's: in HTML they are escaped, in JSON there is no "<", and the page's content
security policy lets only its own two scripts run.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from importlib import resources
from typing import Any

import numpy

from . import figures, graph, view
from .error import Error, in_file
from .figures import Figure
from .markup import Raw, card, number, safe, table
from .overview import overview
from .run_file import RunFile

_MOST_SCALARS = 6


def write(path: str, output: str, by: str | None = None) -> None:
    """Writes the report of the file at `path` to `output`, which appears whole or not at all; "-": standard output."""
    if output != "-" and os.path.exists(output) and os.path.samefile(path, output):
        raise Error(f"cannot write {output}: it is the run itself; name another file")
    with RunFile(path) as run, in_file(path):
        data = page(run, by).encode("utf-8", "replace")
    try:
        _deliver(memoryview(data), output)
    except OSError as error:
        where = "to standard output" if output == "-" else output
        raise Error(f"cannot write {where}: {error.strerror}") from error


def _deliver(data: memoryview, output: str) -> None:
    if output == "-":
        while data:
            data = data[os.write(1, data):]
    elif os.path.exists(output) and not os.path.isfile(output):
        with open(output, "wb") as device:
            device.write(data)
    else:
        part = output + ".part"
        try:
            with open(part, "wb") as file:
                file.write(data)
            os.replace(part, output)
        finally:
            if os.path.exists(part):
                os.remove(part)


def page(run: RunFile, by: str | None = None) -> str:
    """The whole page. `by`: time is counted by "epoch" or "step"; by default epochs, where the run has two or more."""
    return _Page(run, by).text()


def _coded(value: Any) -> Any:
    """Arrays as the page's script reads them, in the smallest type that holds them."""
    if isinstance(value, numpy.ndarray):
        if value.dtype.kind == "b" or (value.dtype.kind in "iu" and value.size):
            low, high = int(value.min()), int(value.max())
            for kind in ("u1", "i1", "u2", "i2", "u4", "i4"):
                if numpy.iinfo(kind).min <= low and high <= numpy.iinfo(kind).max:
                    value = value.astype(kind)
                    break
            else:
                value = value.astype("f8")
        elif value.dtype.kind in "iu":
            value = value.astype("i4")
        elif value.dtype.itemsize > 4 and not (numpy.abs(value) > numpy.finfo("f4").max).any():
            value = value.astype("f4")  # seven digits are more than a figure shows
        coded = {"dtype": value.dtype.str[1:], "bdata": base64.b64encode(value.tobytes()).decode()}
        return {**coded, "shape": value.shape} if value.ndim == 2 else coded
    if isinstance(value, numpy.generic):
        return value.item()
    raise TypeError(f"{type(value)} is no part of a figure")


def to_json(value: Any) -> str:
    """JSON that can stand in a script element, whatever texts are in it."""
    # NaN, which JSON does not know, is only ever in arrays.
    text = json.dumps(value, default=_coded, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Page:
    def __init__(self, run: RunFile, by: str | None) -> None:
        self.run = run
        self.what = run.description
        self.index = run.row_index()
        self.axis = view.time_axis(run, by)
        mapped = sum(view.has_maps(layer) for layer in self.what.node_layers)
        self.limits = view.Limits.for_layers(len(self.what.node_layers), mapped)
        self.points = self.axis.thinned(self.limits.points)
        self.frames = self.axis.thinned(self.limits.columns).thinned(self.limits.frames)
        self.link_frames, self.link_counts = view.link_counts(run, self.axis, self.limits)
        self.newest = {name: run.read(f"/nodes/{name}", run.rows - 1, 1)[0]
                       for name in ("fluctuation", "strength_mean")}
        self.figures: dict[str, Figure] = {}
        self.layers: list[str] = []
        self.flags: list[list[object]] = []

    def text(self) -> str:
        files = resources.files(__package__)
        for i in range(len(self.what.node_layers)):
            self.layers.append(to_json(self.layer(i)))
        sections = [self.training(), self.network(), self.layer_section(), self.flag_section(), overview(self.run)]
        nonce = secrets.token_hex(16)
        data = {"figures": self.figures, "times": [int(value) for value in self.frames.values]}
        blocks = [f'<script type="application/json" id="page">{to_json(data)}</script>']
        blocks += [f'<script type="application/json" id="layer-{i}">{text}</script>'
                   for i, text in enumerate(self.layers)]
        policy = f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src data: blob:"
        title = safe(self.what.title or os.path.basename(self.run.path))
        return "\n".join([
            "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">', '<link rel="icon" href="data:,">',
            f"<title>{title} \u2013 Dynascope</title>", f"<style>{files.joinpath('page.css').read_text()}</style>",
            "</head>", "<body>", self.header(title), "<main>", *sections, "</main>",
            f"<footer>Made by Dynascope from {safe(self.run.path)}. Colours: Okabe and Ito. "
            f"Definitions version {safe(self.run.provenance.definitions_version)}.</footer>",
            *blocks, f'<script nonce="{nonce}">{_plotly()}</script>',
            f'<script nonce="{nonce}">{files.joinpath("page.js").read_text()}</script>', "</body>", "</html>", ""])

    # Text

    def header(self, title: str) -> str:
        run, what = self.run, self.what
        units = sum(layer.units for layer in what.node_layers)
        weights = sum(layer.count for layer in what.weight_layers)
        state = "finished" if not run.in_progress else "training" if run.has_writer() else "left behind (killed)"
        facts = [("state", state), ("rows", f"{run.rows:,}"), ("last epoch", f"{self.index.epoch[-1]:,}"),
                 ("steps", f"{self.index.step[-1]:,}"), ("seconds", f"{self.index.time[-1]:,.1f}"),
                 ("node layers", f"{len(what.node_layers):,}"), ("units", f"{units:,}"),
                 ("weight layers", f"{len(what.weight_layers):,}"), ("weights", f"{weights:,}")]
        for key in sorted(what.scalars, key=lambda key: key != "accuracy")[:_MOST_SCALARS]:
            known = run.scalar(key)[~numpy.isnan(run.scalar(key))]
            facts += [(f"{key}, last", number(known[-1]))] if len(known) else []
        shown = "".join(f'<div class="fact"><b>{safe(value)}</b><span>{safe(key)}</span></div>' for key, value in facts)
        links = [("training", "Training"), ("network", "Network"), ("layers", "Layers"), ("flags", "Flags"),
                 ("overview", "Overview")]
        nav = "".join(f'<a href="#{at}">{name}</a>' for at, name in links)
        return (f"<header><h1>{title}</h1><p>{safe(os.path.basename(run.path))}, {safe(run.provenance.created)}, "
                f"{safe(what.device)}. {self.decimation()}</p>"
                f'<div class="facts">{shown}</div><noscript>The figures need JavaScript.</noscript></header>'
                f"<nav><div>{nav}</div></nav>")

    def decimation(self) -> str:
        available = self.axis.available
        kind = "epochs" if self.axis.by == "epoch" else "rows"
        parts = []
        if self.axis.by == "epoch" and available < self.run.rows:
            parts.append(f"Of the {self.run.rows:,} rows, the one that closes each epoch is shown")
        if len(self.points.rows) < available or len(self.frames.rows) < available:
            columns = len(self.axis.thinned(self.limits.columns).rows)
            parts.append(f"Thinned for display: of {available:,} {kind}, lines show {len(self.points.rows):,}, "
                         f"distributions {columns:,}, the slider {len(self.frames.rows):,}, evenly spaced")
        parts.append("Constant units are looked for in every row" if parts else f"All {available:,} {kind} are shown")
        return ". ".join(parts) + ". The run file has every value."

    # Sections

    def training(self) -> str:
        run, what, time = self.run, self.what, self.points
        cards = []
        if what.node_layers:
            names = [layer.name for layer in what.node_layers]
            self.figures["fluctuation"] = figures.over_time(
                time, run.read("/nodes/fluctuation")[time.rows], names, "layer fluctuation (dimensionless)",
                "fluctuation")
            cards.append(card("fluctuation", "Layer fluctuation",
                              "Standard deviation of node strength over the units of each layer."))
        keys = sorted(what.scalars, key=lambda key: key != "accuracy")
        for i, key in enumerate(keys[:_MOST_SCALARS]):
            values = run.scalar(key)[time.rows]
            if numpy.isnan(values).all():
                continue
            title = f"{figures.label(key)} (as logged)"
            self.figures[f"scalar-{i}"] = figures.over_time(time, values[:, None], [key], title, key)
            cards.append(card(f"scalar-{i}", key[:1].upper() + key[1:], "A value that the training logged."))
        if what.weight_layers:
            names = [layer.name for layer in what.weight_layers]
            self.figures["links"] = figures.over_time(
                time, run.read("/links/std")[time.rows], names, "std of link weights (dimensionless)", "std")
            cards.append(card("links", "Link weights", "Standard deviation of the weights of each weight layer."))
        more = f"<p>{len(keys) - _MOST_SCALARS} more scalars are in the file.</p>" if len(keys) > _MOST_SCALARS else ""
        return f'<section id="training"><h2>Training</h2>{more}<div class="cards">{"".join(cards)}</div></section>'

    def network(self) -> str:
        if not self.what.node_layers:
            return ""
        self.figures["graph"] = graph.network(self.run)
        skips = sum(c.link < 0 for c in self.what.connections)
        height = self.figures["graph"]["layout"]["height"]
        return ('<section id="network"><h2>Network</h2><p>Node layers from input to output, in execution order; blue '
                f"lines are weight layers, dashed orange lines identity links ({skips:,}). Arcs to the right skip "
                "layers, arcs to the left go back. Numbers are those of the newest row; point at a circle for a weight "
                "layer's statistics.</p>"
                f'<div class="card tall-graph"><div class="plot" id="graph" style="height:{height}px"></div></div>'
                "</section>")

    def layer_section(self) -> str:
        if not self.what.node_layers:
            return ""
        # Hidden layers with maps have most to show.
        chosen = max(range(len(self.what.node_layers)), key=lambda i: (
            self.what.node_layers[i].role == "hidden", view.has_maps(self.what.node_layers[i]), -i))
        names = "".join(f'<option value="{i}"{" selected" if i == chosen else ""}>'
                        f"{i}: {safe(layer.name)} ({graph.size_text(layer)})</option>"
                        for i, layer in enumerate(self.what.node_layers))
        last = len(self.frames.rows) - 1
        by = self.axis.by
        bar = (f'<div class="bar"><label>Node layer <select id="layer">{names}</select></label>'
               f'<label>{by.capitalize()} <input type="range" id="time" min="0" max="{last}" value="{last}" step="1">'
               f'<output id="time-shown" for="time">{self.frames.values[-1]}</output></label></div>')
        cards = [
            card("strength", "Node strengths, at the chosen " + by,
                 f"Units per bin of strength. Dotted: {by} {self.frames.values[0]}.", layer=True),
            card("links", "Link weights, at the chosen " + by,
                 "Links per bin of weight, of the weight layers that lead to this node layer (from it, for an input).",
                 layer=True),
            card("distribution", "Node strengths over time", "Units per bin of strength.", layer=True),
            card("summary", "Mean, fluctuation and range", "Mean node strength, one layer fluctuation to both "
                 "sides, and the smallest and largest strength.", layer=True),
            card("extremes", "Top and bottom neurons",
                 "The units with the largest and the smallest strength at the end.", "tall", layer=True),
            card("maps", "Strength maps, at the chosen " + by,
                 "Every image is a channel; blue is negative, orange-red positive, grey between channels.", "tall",
                 layer=True),
        ]
        return (f'<section id="layers"><h2>Layer by layer</h2>{bar}<p id="layer-facts"></p>'
                f'<div class="cards">{"".join(cards)}</div></section>')

    def layer(self, position: int) -> dict[str, Any]:
        info = self.what.node_layers[position]
        seen = view.look_at_layer(self.run, position, self.axis, self.limits)
        made: dict[str, Figure] = {
            "strength": figures.strength_at(seen, self.frames), "distribution": figures.distribution(seen),
            "summary": figures.summary(self.points, *view.summaries(self.run, position, self.points)),
        }
        notes = {}
        if seen.high or seen.low:
            made["extremes"] = figures.extremes(seen)
        links = self.links_of(position)
        if links and len(self.link_frames.rows):
            made["links"] = figures.links_at(self.run, links[:3], self.link_counts, self.link_frames,
                                             self.limits.link_bins)
            notes["links"] = f"The first 3 of {len(links)} weight layers." if len(links) > 3 else ""
        if view.has_maps(info):
            maps = view.map_layer(self.run, position, self.frames, self.limits)
            made["maps"] = figures.strength_maps(maps)
            left_out = []
            if maps.maps.shape[1] < maps.channels:
                left_out.append(f"{maps.maps.shape[1]} of {maps.channels} channels")
            if maps.maps.shape[2:] != maps.size:
                height, width = maps.maps.shape[2:]
                left_out.append(f"{height} \u00d7 {width} of {maps.size[0]} \u00d7 {maps.size[1]} positions "
                                "(neighbours of one class once, or evenly spaced)")
            if len(maps.frames.rows) < self.axis.available:
                left_out.append(f"{len(maps.frames.rows)} of {self.axis.available} {self.axis.by}s")
            notes["maps"] = "Thinned for display: " + ", ".join(left_out) + "." if left_out else ""
        self.flag(position, seen)
        facts = (f"{info.role} layer, {graph.size_text(info)} = {info.units:,} units ({info.stored_units:,} stored). "
                 f"Newest row: fluctuation {number(self.newest['fluctuation'][position])}, mean strength "
                 f"{number(self.newest['strength_mean'][position])}, {seen.nonfinite:,} units not finite, "
                 f"{seen.zero:,} of strength 0, {seen.constant:,} that never changed.")
        return {"figures": made, "notes": notes, "facts": facts}

    def links_of(self, position: int) -> list[int]:
        into = [c.link for c in self.what.connections if c.target == position and c.link >= 0]
        out = [c.link for c in self.what.connections if c.source == position and c.link >= 0]
        return list(dict.fromkeys(into or out))

    def flag(self, position: int, seen: view.LayerView) -> None:
        if seen.nonfinite or seen.zero or seen.constant:
            name = f'<a href="#layers" data-layer="{position}">{safe(seen.info.name)}</a>'
            self.flags.append([Raw(name), *(f"{count:,} ({count / max(seen.info.units, 1):.1%})"
                                            for count in (seen.nonfinite, seen.zero, seen.constant))])

    def flag_section(self) -> str:
        bad = self.run.read("/nodes/nonfinite")
        first = numpy.argwhere(bad > 0)[:1]
        start = ""
        if len(first):
            row, layer = map(int, first[0])
            start = (f'<p class="warn">Not finite first in step {self.index.step[row]:,} '
                     f"(epoch {self.index.epoch[row]:,}): "
                     f"{bad[row, layer]:,} units of {safe(self.what.node_layers[layer].name)}.</p>")
        links = self.run.read("/links/nonfinite", self.run.rows - 1, 1)[0]
        broken = [[layer.name, f"{int(count):,}"] for layer, count in zip(self.what.weight_layers, links) if count]
        text = ("<p>Not finite: NaN or infinite strength in the newest row. Zero: strength exactly 0 in the newest "
                f"row. Constant: the same strength in all {self.run.rows:,} rows; its links do not learn, or what they "
                "learn cancels.</p>")
        listed = table(["node layer", "not finite", "zero", "constant"], self.flags, 1) if self.flags else (
            '<div class="card">No unit is non-finite, zero or constant.</div>')
        if broken:
            listed += "<p>Weight layers with entries that are not finite:</p>"
            listed += table(["weight layer", "entries"], broken, 1)
        return f'<section id="flags"><h2>Neurons to look at</h2>{start}{text}{listed}</section>'


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise Error("the report needs plotly: python3 -m pip install plotly") from error
    return str(get_plotlyjs())
