# SPDX-License-Identifier: BSD-3-Clause
"""The plots of a run: every curve and every histogram holds the file's numbers."""

import os
import pathlib
import subprocess
import sys

import h5py
import numpy
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import plot_run  # noqa: E402

SAMPLE = os.environ["SAMPLE_RUN"]


@pytest.fixture(scope="module", params=["finished", "killed"])
def run(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("plots") / f"{request.param}.h5"
    subprocess.run([SAMPLE, str(path), request.param], check=True)
    return path


def test_fluctuation_plot_has_the_curves_of_the_file_and_labelled_axes(run):
    figure = plot_run.plot_fluctuation(plot_run.read_run(run))
    left, right = figure.axes
    with h5py.File(run, "r", swmr=True) as file:
        epoch = file["epoch"][: int(file["committed"][()])]
        rows = [int(numpy.flatnonzero(epoch == e)[-1]) for e in range(13)]
        for i, line in enumerate(left.get_lines()):
            assert line.get_label() == file["nodes/layer"][i].decode()
            numpy.testing.assert_array_equal(line.get_ydata(), file["nodes/fluctuation"][rows, i])
            numpy.testing.assert_array_equal(line.get_xdata(), range(13))
        numpy.testing.assert_array_equal(right.get_lines()[0].get_ydata(), file["scalars/accuracy"][rows])
    assert len(left.get_lines()) == 3
    assert "dimensionless" in left.get_ylabel() and "fraction" in right.get_ylabel() and "epoch" in left.get_xlabel()
    plot_run.pyplot.close(figure)


def test_strength_plot_compares_first_and_last_epoch(run):
    data = plot_run.read_run(run)
    figure = plot_run.plot_strength(data)
    with h5py.File(run, "r", swmr=True) as file:
        last = int(file["committed"][()]) - 1
        group = file["nodes/001_conv%2Fa"]
        numpy.testing.assert_array_equal(data.first[1], group["strength"][0])
        numpy.testing.assert_array_equal(data.last[1], group["strength"][last])
        units = int(group["multiplicity"][:].sum())
    assert [panel.get_title() for panel in figure.axes][1] == f"conv/a ({units} units)"
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["epoch 0", "epoch 12"]
    plot_run.pyplot.close(figure)


def test_densities_count_units_and_integrate_to_one():
    first, last = numpy.array([0.0, 1.0, 3.0]), numpy.array([2.0, numpy.nan, 4.0])
    edges, before, after = plot_run.densities(first, last, numpy.array([1, 2, 5]))
    width = numpy.diff(edges)
    assert (edges[0], edges[-1]) == (0, 4)
    assert (before * width).sum() == pytest.approx(1) and (after * width).sum() == pytest.approx(1)
    # 5 of 8 units are at 3; of those that are finite at the end 5 of 6 are at 4.
    assert (before * width)[numpy.searchsorted(edges, 3, "right") - 1] == pytest.approx(5 / 8)
    assert (after * width)[-1] == pytest.approx(5 / 6)


def test_constant_and_non_finite_strengths_are_drawn():
    for values in (numpy.zeros(3), numpy.full(3, numpy.nan)):
        edges, before, _ = plot_run.densities(values, values, numpy.ones(3, int))
        assert numpy.isfinite(edges).all() and numpy.isfinite(before).all() and edges[0] < edges[-1]


def test_program_writes_both_pictures_and_names_a_bad_file(run, tmp_path):
    script = plot_run.__file__
    done = subprocess.run([sys.executable, script, str(run), "-o", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for kind in ("fluctuation", "strength"):
        picture = tmp_path / f"{run.stem}-{kind}.png"
        assert str(picture) in done.stdout and picture.read_bytes().startswith(b"\x89PNG")
    text = tmp_path / "text.h5"
    text.write_text("no run")
    failed = subprocess.run([sys.executable, script, str(text)], capture_output=True, text=True)
    assert failed.returncode == 1 and "text.h5 is no readable run file" in failed.stderr
