# SPDX-License-Identifier: BSD-3-Clause
"""The figures: plotly's own objects accept every one of them, and what they show is what numpy computes from the file."""

import base64
import json
import os
import pathlib
import re
import shutil

import h5py
import numpy as np
import pytest

import dynascope
from dynascope import figures, graph, plots, report, view

RUNS = pathlib.Path(os.environ["DYNASCOPE_RUNS"])
OKABE_ITO = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"}
NEUTRAL = {"#ffffff", "#888888", "#999999", "#e2e2e2", "#d9d9d9", "#444444", "#f7f7f7", "#f2f2f2", "#d7ecf7", "#d3ede4",
           "#d9ebf5", "#002a43"}


@pytest.fixture(scope="module", params=["mlp", "cnn", "steps", "killed"])
def run(request):
    with dynascope.open(RUNS / f"{request.param}.h5") as opened:
        yield opened


def layers(run):
    return enumerate(run.description.node_layers)


def strength(run, layer):
    return run.read(run.node_layer_path(layer) + "/strength")


def counted(run, layer, row, edges):
    """numpy's own histogram of every unit's strength."""
    return np.histogram(np.ravel(run.unit_map(layer, int(row))).astype(float), edges)[0]


def edges_of(trace):
    return np.append(trace.x - trace.width / 2, trace.x[-1] + trace.width[-1] / 2)


def assert_labelled(figure):
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        assert axis.title.text, "an axis has no title"
    colours = set(re.findall(r"#[0-9A-Fa-f]{6}\b", str(figure.to_dict())))
    assert colours <= OKABE_ITO | NEUTRAL, colours - OKABE_ITO - NEUTRAL


def test_fluctuation_has_the_lines_of_the_file(run):
    figure = plots.fluctuation(run)
    rows = run.rows_of_epochs()
    assert len(figure.data) == len(run.description.node_layers) > 2
    for i, trace in enumerate(figure.data):
        assert trace.name == run.description.node_layers[i].name
        np.testing.assert_array_equal(trace.x, run.row_index().epoch[rows])
        np.testing.assert_array_equal(trace.y, run.read("/nodes/fluctuation")[rows, i])
    assert_labelled(figure)
    assert "dimensionless" in figure.layout.yaxis.title.text and "epoch" in figure.layout.xaxis.title.text


def test_scalars_and_link_statistics_have_the_lines_of_the_file(run):
    rows = run.rows_of_epochs()
    for key in run.description.scalars:
        np.testing.assert_array_equal(plots.scalar(run, key).data[0].y, run.scalar(key)[rows])
        assert_labelled(plots.scalar(run, key))
    for statistic in ["mean", "std", "norm"]:
        figure = plots.links(run, statistic)
        for i, trace in enumerate(figure.data):
            np.testing.assert_array_equal(trace.y, run.read(f"/links/{statistic}")[rows, i])
        assert_labelled(figure)


def test_time_can_be_counted_in_steps(run):
    figure = plots.fluctuation(run, by="step")
    np.testing.assert_array_equal(figure.data[0].x, run.row_index().step)
    np.testing.assert_array_equal(figure.data[0].y, run.read("/nodes/fluctuation")[:, 0])
    assert "step" in figure.layout.xaxis.title.text
    with pytest.raises(dynascope.Error, match="got 'hour'"):
        plots.fluctuation(run, by="hour")


def test_distributions_are_numpys_histograms_of_all_units(run):
    rows = run.rows_of_epochs()
    for i, layer in layers(run):
        heat, = plots.strength_distribution(run, layer.name).data
        figure = plots.strength_histogram(run, i)
        edges = view.look_at_layer(run, i, view.time_axis(run), view.Limits()).edges
        np.testing.assert_allclose(edges_of(figure.data[0]), edges, atol=1e-9)
        assert [frame.name for frame in figure.frames] == [str(epoch) for epoch in run.row_index().epoch[rows]]
        for column, row in enumerate(rows):
            # The newest bin is the only one whose edge values may have been rounded beyond.
            values = np.clip(np.ravel(run.unit_map(i, int(row))).astype(float), edges[0], edges[-1])
            expected = np.histogram(values, edges)[0]
            np.testing.assert_array_equal(heat.z[:, column], expected)
            np.testing.assert_array_equal(figure.frames[column].data[0].y, expected)
            assert expected.sum() == layer.units
        np.testing.assert_array_equal(figure.data[0].y, figure.frames[-1].data[0].y)
        assert len(figure.layout.sliders[0].steps) == len(rows) and figure.layout.sliders[0].active == len(rows) - 1
        assert_labelled(figure)


def test_link_histograms_are_those_of_the_file(run):
    recorded = run.read("/links/histogram")
    rows = [row for row in run.rows_of_epochs() if recorded[row].min() >= 0]
    for i, layer in enumerate(run.description.weight_layers):
        figure = plots.link_histogram(run, layer.name)
        assert len(figure.frames) == len(rows)
        for frame, row in zip(figure.frames, rows):
            np.testing.assert_array_equal(frame.data[0].y, recorded[row, i, 1:-1])
        np.testing.assert_allclose(edges_of(figure.data[0]), run.description.histogram_edges[i], atol=1e-12)
        assert_labelled(figure)


def test_merged_bins_keep_every_link():
    counts = np.arange(2 * 13).reshape(2, 13)
    edges, merged = figures.merged_bins(np.arange(12.0), counts, 4)
    np.testing.assert_array_equal(edges, [0, 3, 6, 9, 11])
    np.testing.assert_array_equal(merged.sum(axis=1), counts[:, 1:-1].sum(axis=1))
    np.testing.assert_array_equal(merged[0], [1 + 2 + 3, 4 + 5 + 6, 7 + 8 + 9, 10 + 11])


def test_top_and_bottom_units_are_those_of_the_newest_row(run):
    rows = run.rows_of_epochs()
    for i, layer in layers(run):
        figure = plots.extreme_units(run, i)
        values = strength(run, i)
        order = np.argsort(values[-1], kind="stable")
        few = min(5, len(order) // 2)
        expected = [*order[::-1][:few], *order[:few]]
        assert len(figure.data) == len(expected)
        for trace, unit in zip(figure.data, expected):
            np.testing.assert_array_equal(trace.y, values[rows, unit])
            side = "largest" if trace.line.color == figures.BLUE else "smallest"
            assert trace.name == f"{side}: {view.unit_label(layer, unit)}"
        assert_labelled(figure)


def test_summary_shows_mean_range_and_fluctuation(run):
    rows = run.rows_of_epochs()
    for i, _ in layers(run):
        below, above, mean, low, high = plots.strength_summary(run, i).data
        fluctuation = run.read("/nodes/fluctuation")[rows, i]
        np.testing.assert_array_equal(mean.y, run.read("/nodes/strength_mean")[rows, i])
        np.testing.assert_array_equal(low.y, run.read("/nodes/strength_min")[rows, i])
        np.testing.assert_array_equal(high.y, run.read("/nodes/strength_max")[rows, i])
        np.testing.assert_array_equal(above.y, mean.y + fluctuation)
        np.testing.assert_array_equal(below.y, mean.y - fluctuation)


def test_maps_show_every_channel_as_the_file_has_it(run):
    drawn = 0
    for i, layer in layers(run):
        if len(layer.shape) == 1:
            with pytest.raises(dynascope.Error, match="no positions"):
                plots.strength_maps(run, i)
            continue
        figure = plots.strength_maps(run, i)
        channels, height, width = layer.shape
        grid = figure.data[0].z
        full = run.unit_map(i)
        across = (grid.shape[1] + 1) // (width + 1)
        for channel in range(channels):
            y, x = channel // across * (height + 1), channel % across * (width + 1)
            np.testing.assert_array_equal(grid[y:y + height, x:x + width], full[channel])
        assert np.isfinite(grid).sum() == layer.units
        assert figure.data[0].zmin == -figure.data[0].zmax
        assert_labelled(figure)
        drawn += 1
    assert drawn > 0


def test_network_has_a_box_per_node_layer_and_a_circle_per_connection(run):
    figure = plots.network(run)
    what = run.description
    assert len(figure.layout.shapes) == len(what.node_layers)
    boxes = [trace for trace in figure.data if trace.mode == "text" and trace.hovertext]
    assert all(layer.name in text for layer, text in zip(what.node_layers, boxes[0].text))
    circles = [text for trace in figure.data if trace.mode == "markers" and trace.hovertext for text in trace.hovertext]
    assert len(circles) == len(what.connections)
    for i, layer in enumerate(what.weight_layers):
        std = run.read("/links/std")[-1, i]
        assert any(layer.name in text and f"std {std:.3g}" in text for text in circles), layer.name


def test_arcs_that_pass_each_other_have_lanes_of_their_own():
    arcs = [dynascope.ConnectionInfo(*ends, -1) for ends in [(0, 2), (0, 5), (2, 4), (1, 3), (3, 9)]]
    lanes = graph.lanes(arcs)
    for i, a in enumerate(arcs):
        for j, b in enumerate(arcs[:i]):
            if a.source < b.target and b.source < a.target:
                assert lanes[i] != lanes[j], (a, b)
    assert lanes[0] == lanes[2] == 0
    for side in (1, -1):
        paths = graph._arcs(arcs, side)
        assert all((path[0] * side >= 1).all() for path in paths)
        assert [abs(paths[i][0]).max() < abs(paths[j][0]).max() for i, j in [(0, 1), (2, 1)]] == [True, True]


def test_many_layers_become_a_map():
    time = view.Axis(np.arange(4), np.arange(4), "epoch", 4)
    values = np.arange(400.0).reshape(4, 100)
    figure, = figures.over_time(time, values, [f"layer {i}" for i in range(100)], "fluctuation", "fluctuation")["data"]
    assert figure["type"] == "heatmap"
    np.testing.assert_array_equal(figure["z"], values.T)


def test_thinning_keeps_the_ends_and_says_how_much_there_is():
    for count in [1, 2, 3, 10, 1000]:
        for most in [2, 3, 7, 400]:
            kept = view.thinned(count, most)
            assert kept[0] == 0 and kept[-1] == count - 1 and len(kept) <= max(most, 2) and (np.diff(kept) > 0).all()
            assert len(kept) == min(count, most)
    axis = view.Axis(np.arange(1000), np.arange(1000) * 5, "step", 1000).thinned(10)
    assert len(axis.rows) == 10 and axis.available == 1000 and axis.values[-1] == 4995


def test_constant_and_non_finite_strengths_have_bins():
    for values in (np.zeros(3), np.full(3, np.nan), np.array([np.inf, 1e30, 1e30])):
        edges = view.bin_edges(values, values, 10)
        assert np.isfinite(edges).all() and (np.diff(edges) > 0).all()
        counts = view.count_units(values[None], np.array([1, 2, 3]), edges)
        assert counts.sum() == np.array([1, 2, 3])[np.isfinite(values)].sum()


def test_values_on_an_edge_are_counted_as_numpy_counts_them():
    edges = np.linspace(0, 1, 9)
    counts = view.count_units(edges[None], np.ones(9, int), edges)
    np.testing.assert_array_equal(counts[0], np.histogram(edges, edges)[0])


def test_a_layer_is_the_same_read_in_one_part_or_in_many(run, monkeypatch):
    axis, layer = view.time_axis(run), len(run.description.node_layers) - 1
    whole = view.look_at_layer(run, layer, axis, view.Limits())
    monkeypatch.setattr(view, "_BLOCK_BYTES", 3 * 4 * whole.info.stored_units)
    parts = view.look_at_layer(run, layer, axis, view.Limits())
    np.testing.assert_array_equal(whole.counts, parts.counts)
    np.testing.assert_array_equal(whole.lines, parts.lines)
    assert whole.constant == parts.constant
    np.testing.assert_array_equal(view.picked_rows(run, "/nodes/fluctuation", axis.rows, 1 << 23),
                                  run.read("/nodes/fluctuation")[axis.rows])


def test_units_that_only_return_to_where_they_were_are_not_constant(tmp_path):
    path = shutil.copy(RUNS / "mlp.h5", tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        changed = file["nodes/000_input/strength"]
        changed[:, :4] = 1
        changed[3, 2:4] = 2
    with dynascope.open(path) as run, dynascope.open(RUNS / "mlp.h5") as before:
        same = (strength(before, 0) == strength(before, 0)[-1]).all(axis=0)
        assert view.look_at_layer(run, 0, view.time_axis(run), view.Limits()).constant == same[4:].sum() + 2


def test_zero_and_constant_units_are_counted_as_numpy_counts_them(run):
    for i, layer in layers(run):
        values = np.stack([np.ravel(run.unit_map(i, row)) for row in range(run.rows)])
        seen = view.look_at_layer(run, i, view.time_axis(run), view.Limits())
        assert seen.zero == (values[-1] == 0).sum()
        assert seen.constant == (values == values[-1]).all(axis=0).sum()
        assert seen.nonfinite == (~np.isfinite(values[-1])).sum() == run.read("/nodes/nonfinite")[-1, i]


def test_names_cannot_bring_tags_into_a_figure():
    name = "<b>a</b><script>&\x1b"
    assert figures.label(name) == "&lt;b&gt;a&lt;/b&gt;&lt;script&gt;&amp;\ufffd"
    assert figures.short("x" * 50 + "<i>", 10) == "\u2026xxxxxx&lt;i&gt;"


def test_json_in_a_page_cannot_end_its_element_and_keeps_every_number():
    values = {"a": "</script><!--", "b": np.array([1.5, np.nan]), "c": np.array([[1, 2], [3, 400]]), "d": np.float64(2),
              "e": np.array([1e300]), "f": np.array([], int)}
    text = report.to_json(values)
    assert "<" not in text and ">" not in text and "&" not in text
    read = json.loads(text)
    assert read["a"] == values["a"] and read["d"] == 2
    for key, dtype in [("b", "f4"), ("c", "u2"), ("e", "f8"), ("f", "i4")]:
        got = np.frombuffer(base64.b64decode(read[key]["bdata"]), read[key]["dtype"])
        assert read[key]["dtype"] == dtype
        np.testing.assert_array_equal(got.reshape(read[key].get("shape", -1)), values[key])
    with pytest.raises(ValueError):
        report.to_json({"bare": float("nan")})
