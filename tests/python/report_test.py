# SPDX-License-Identifier: BSD-3-Clause
"""`dynascope report`: the page opens in a real browser without an error and without a request, every figure has marks, the
slider and the choice of layer change them, nothing is wider than the screen, and what is in the page is what is in the file.

DYNASCOPE_LONG_TESTS=1 (scripts/test --full) opens more pages and gives the verb more broken files.
"""

import base64
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

import dynascope
from browser import CHROMIUM, Browser

RUNS = pathlib.Path(os.environ["DYNASCOPE_RUNS"])
CLI, SAMPLE, DISPLAY = (os.environ[name] for name in ("DYNASCOPE_CLI", "SAMPLE_RUN", "DISPLAY_RUN"))
SCREENSHOTS = pathlib.Path(os.environ["DYNASCOPE_SCREENSHOTS"])
LONG = os.environ.get("DYNASCOPE_LONG_TESTS") == "1"
REAL = ["cnn", "killed"] + (["mlp", "steps"] if LONG else [])
MADE = {"large": [DISPLAY, "large", "75"], "hostile": [DISPLAY, "hostile", "4"]}
SAMPLES = ["sick", "finished"]
MARKS = ".scatterlayer path.js-line, .scatterlayer .points path, .barlayer .point path, .heatmaplayer image"


def report(*arguments, **environment):
    return subprocess.run([CLI, "report", *map(str, arguments)], capture_output=True, text=True, timeout=100,
                          env={**os.environ, **environment})


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    found = {name: RUNS / f"{name}.h5" for name in REAL}
    for name, (program, *arguments) in MADE.items():
        found[name] = folder / f"{name}.h5"
        subprocess.run([program, found[name], *arguments], check=True, timeout=100)
    for name in SAMPLES:
        found[name] = folder / f"{name}.h5"
        subprocess.run([SAMPLE, found[name], name], check=True, timeout=100)
    return found


@pytest.fixture(scope="session")
def pages(files, tmp_path_factory):
    """Made by the verb, each in the time and size that is promised."""
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for name, path in files.items():
        begun = time.monotonic()
        done = report(path, "-o", folder / f"{name}.html")
        spent = time.monotonic() - begun
        assert done.returncode == 0 and done.stdout == done.stderr == "", done.stderr
        made[name] = folder / f"{name}.html"
        print(f"{name}: {path.stat().st_size:,} bytes of run, {made[name].stat().st_size:,} of page, {spent:.2f} s")
        assert made[name].stat().st_size < 15e6 and spent < 30
    assert files["large"].stat().st_size > 100e6
    return made


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium: scripts/bootstrap installs it on Debian")
    with Browser() as opened:
        yield opened


def blocks(path):
    """The JSON in a page, by element."""
    found = re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', path.read_text(), re.DOTALL)
    return {name: json.loads(text) for name, text in found}


def array(coded):
    values = np.frombuffer(base64.b64decode(coded["bdata"]), coded["dtype"])
    return values.reshape(coded["shape"]) if "shape" in coded else values


def assert_fits(page, width):
    assert page.run("document.documentElement.scrollWidth") <= width
    # Tables and the bar of links scroll in boxes of their own; nothing else may stick out.
    wide = page.run("""[...document.querySelectorAll('main *, header *')].filter(e => !e.closest('.scroll, svg, nav'))
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + '.' + e.className)""")
    assert wide == []


def marks(page):
    return page.run(f"""Object.fromEntries([...document.querySelectorAll('.plot:not([hidden])')].map(
        e => [e.id || e.closest('.card').dataset.figure, e.querySelectorAll('{MARKS}').length]))""")


def assert_every_figure_has_marks_and_titles(page):
    found = marks(page)
    assert len(found) >= 8 and all(found.values()), found
    bare = page.run("""[...document.querySelectorAll('.plot:not([hidden])')].filter(e => e.id != 'graph' &&
        (!e.querySelector('.xtitle') || !e.querySelector('.ytitle'))).map(e => e.id || e.closest('.card').dataset.figure)""")
    assert bare == []


def move_slider(page, position):
    page.run(f"""(() => {{ const s = document.getElementById('time'); s.value = {position};
        s.dispatchEvent(new Event('input')); }})()""")


def choose_layer(page, position):
    page.run(f"""(() => {{ const s = document.getElementById('layer'); s.value = {position};
        s.dispatchEvent(new Event('change')); }})()""")


def bars(page, kind="strength"):
    return page.run(f"""[...document.querySelector('[data-figure={kind}] .plot').data[0].y]""")


@pytest.mark.parametrize("name", [*REAL, *MADE, *(SAMPLES if LONG else [])])
def test_page_opens_without_errors_and_requests_and_its_slider_works(pages, browser, name):
    page = browser.open(pages[name], 1280, 900)
    page.wait("document.documentElement.dataset.ready === 'yes'")
    assert_every_figure_has_marks_and_titles(page)
    assert_fits(page, 1280)
    page.screenshot(SCREENSHOTS / f"{name}-1280.png")

    layer = blocks(pages[name])[f"layer-{page.run('document.getElementById(`layer`).value')}"]["figures"]
    frames = layer["strength"]["frames"]
    for position in (len(frames) - 1, 0, len(frames) // 2):
        move_slider(page, position)
        assert bars(page) == array(frames[position]["data"][0]["y"]).tolist()
        assert page.run("document.getElementById('time-shown').textContent") == frames[position]["name"]
    assert_every_figure_has_marks_and_titles(page)

    layers = page.run("document.getElementById('layer').length")
    for position in {0, layers // 2, layers - 1}:
        begun = time.monotonic()
        choose_layer(page, position)
        spent = time.monotonic() - begun
        assert spent < 3, f"layer {position} took {spent:.1f} s"
        assert_every_figure_has_marks_and_titles(page)

    # A phone, in the same page: figures follow the width.
    page.ask("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    page.wait("[...document.querySelectorAll('.plot:not([hidden]) .main-svg')].every(e => e.getBoundingClientRect().width < 390)")
    assert_fits(page, 390)
    assert_every_figure_has_marks_and_titles(page)
    page.screenshot(SCREENSHOTS / f"{name}-390.png")

    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [f"file://{pages[name]}"]
    page.close()


def test_names_in_the_file_cannot_become_part_of_the_page(pages, browser):
    page = browser.open(pages["hostile"], 1280, 900)
    page.wait("document.documentElement.dataset.ready === 'yes'")
    assert page.run("typeof window.hacked") == "undefined"
    assert page.run("document.querySelectorAll('img, iframe, object, embed, a[href^=http]').length") == 0
    assert page.run("document.scripts.length") == 3 + 4
    # The names are there, as text.
    assert "<img src=x" in page.run("document.querySelector('h1').textContent")
    assert "<img src=x" in page.run("document.getElementById('layer').options[0].textContent")
    assert "&lt;" not in page.run("document.getElementById('graph').textContent")
    # Even a script that got in would not run, nor reach the network.
    page.run("""(() => { const s = document.createElement('script'); s.textContent = 'window.hacked = 1';
        document.body.append(s); const i = new Image(); i.src = 'http://127.0.0.1:9/x'; document.body.append(i); })()""")
    assert page.run("typeof window.hacked") == "undefined"
    assert len(page.complaints) >= 1 and all("Content Security Policy" in complaint for complaint in page.complaints)
    page.close()


@pytest.mark.parametrize("name", REAL)
def test_page_holds_the_numbers_of_the_file(files, pages, name):
    found = blocks(pages[name])
    with dynascope.open(files[name]) as run:
        rows = run.rows_of_epochs()
        figures = found["page"]["figures"]
        assert found["page"]["times"] == run.row_index().epoch[rows].tolist()
        for i, trace in enumerate(figures["fluctuation"]["data"]):
            np.testing.assert_array_equal(array(trace["y"]), run.read("/nodes/fluctuation")[rows, i].astype("f4"))
        for i, trace in enumerate(figures["links"]["data"]):
            np.testing.assert_array_equal(array(trace["y"]), run.read("/links/std")[rows, i].astype("f4"))
        np.testing.assert_array_equal(array(figures["scalar-0"]["data"][0]["y"]), run.scalar("accuracy")[rows].astype("f4"))
        assert len(found) == 1 + len(run.description.node_layers)
        for i, layer in enumerate(run.description.node_layers):
            heat, = found[f"layer-{i}"]["figures"]["distribution"]["data"]
            assert array(heat["z"]).sum() == layer.units * len(rows)
            assert ("maps" in found[f"layer-{i}"]["figures"]) == (len(layer.shape) > 1)
        text = pages[name].read_text()
        for word in [run.provenance.run_id, *(layer.name for layer in run.description.weight_layers)]:
            assert word in text


def test_page_of_a_large_run_says_what_it_left_out(pages):
    text = pages["large"].read_text()
    assert "Thinned for display: of 75 epochs, lines show 60" in text and "of 75 epochs" in blocks(
        pages["large"])["layer-0"]["notes"]["maps"]
    assert "All 13 epochs are shown" in pages["cnn"].read_text()


def test_page_flags_units_that_are_not_finite_or_never_change(pages, files):
    text = pages["sick"].read_text()
    assert "Not finite first in step 15 (epoch 2): 1 units of conv/a" in text
    assert "first non-finite value in fc.weight" in text
    with dynascope.open(files["cnn"]) as run:
        constant = sum((run.read(run.node_layer_path(i) + "/strength") == run.read(
            run.node_layer_path(i) + "/strength", run.rows - 1, 1)).all(axis=0).any()
            for i in range(len(run.description.node_layers)))
    section = pages["cnn"].read_text().split('id="flags"')[1].split("</section>")[0]
    assert section.count("data-layer=") == constant > 0


def test_page_needs_nothing_from_elsewhere(pages):
    text = pages["cnn"].read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none';") and "http" not in policy
    page_only = re.sub(r"<script nonce.*?</script>", "", text, flags=re.DOTALL)
    assert "http://" not in page_only and "https://" not in page_only and "@import" not in page_only


def test_a_run_that_still_trains_has_a_report(tmp_path):
    path = tmp_path / "growing.h5"
    writer = subprocess.Popen([SAMPLE, path, "growing"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert writer.stdout.readline() == b"ready\n"
        assert report(path, "-o", tmp_path / "page.html").returncode == 0
        assert "<b>training</b>" in (tmp_path / "page.html").read_text()
        assert len(blocks(tmp_path / "page.html")["page"]["times"]) == 13
    finally:
        writer.communicate()
    assert writer.returncode == 0
    assert "<b>left behind (killed)</b>" in subprocess.run(
        [CLI, "report", RUNS / "killed.h5", "-o", "-"], capture_output=True, text=True, check=True).stdout


def test_report_goes_to_standard_output(files):
    done = report(files["cnn"], "-o", "-")
    assert done.returncode == 0 and done.stdout.startswith("<!DOCTYPE html>") and done.stdout.endswith("</html>\n")


def test_time_is_counted_in_steps_where_asked(tmp_path):
    path = RUNS / "steps.h5"
    assert report(path, "-o", tmp_path / "page.html", "--by", "step").returncode == 0
    with dynascope.open(path) as run:
        assert blocks(tmp_path / "page.html")["page"]["times"] == run.row_index().step.tolist()


def assert_refused(done, *words):
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("dynascope: ") and all(word in done.stderr for word in words), done.stderr


def test_refusals_are_one_line_and_leave_nothing_behind(files, tmp_path):
    text = tmp_path / "text.h5"
    text.write_text("no run")
    assert_refused(report(text, "-o", tmp_path / "page.html"), "no HDF5 file")
    assert_refused(report(tmp_path / "missing.h5", "-o", tmp_path / "page.html"), "No such file")
    population = shutil.copy(files["cnn"], tmp_path / "population.h5")
    with h5py.File(population, "r+") as file:
        file.attrs["schema"] = np.bytes_("dynascope-population")
    assert_refused(report(population, "-o", tmp_path / "page.html"), "it is no run file", "dynascope-population")
    empty = tmp_path / "empty.h5"
    subprocess.run([SAMPLE, empty, "empty"], check=True)
    assert_refused(report(empty, "-o", tmp_path / "page.html"), "no row yet")
    assert_refused(report(files["cnn"], "-o", tmp_path / "nowhere" / "page.html"), "cannot write", "No such file")
    assert_refused(report(files["cnn"], "-o", tmp_path), "cannot write", "directory")
    assert_refused(report(files["cnn"], "-o", "/dev/full"), "cannot write /dev/full", "No space left")
    assert_refused(report(files["cnn"], "-o", files["cnn"]), "it is the run itself")
    with open("/dev/full", "w") as full:
        done = subprocess.run([CLI, "report", files["cnn"], "-o", "-"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "No space left" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.h5", "population.h5", "text.h5"]
    assert report(files["cnn"]).returncode == 2


def test_missing_python_or_package_is_one_line_with_what_to_install(files, tmp_path):
    page = tmp_path / "page.html"
    remedy = ("h5py, numpy and plotly", "pip install", "DYNASCOPE_PYTHON")
    assert_refused(report(files["cnn"], "-o", page, DYNASCOPE_PYTHON="/nowhere/python"), "/nowhere/python", *remedy)
    for module in ["plotly", "h5py", "numpy"]:
        folder = tmp_path / module
        folder.mkdir()
        (folder / f"{module}.py").write_text(f"raise ModuleNotFoundError('no {module} here')")
        bare = tmp_path / f"python-{module}"
        bare.write_text(f"#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} \"$@\"\n")
        bare.chmod(0o755)
        assert_refused(report(files["cnn"], "-o", page, DYNASCOPE_PYTHON=bare), f"no {module} here", *remedy)
    assert not page.exists()


def test_modules_in_the_users_folder_are_not_taken(files, tmp_path):
    for name in ["numpy.py", "h5py.py", "json.py", "dynascope.py"]:
        (tmp_path / name).write_text("raise SystemExit('taken from the wrong folder')")
    done = subprocess.run([CLI, "report", files["cnn"], "-o", "page.html"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "page.html").exists(), done.stderr


def test_program_finds_its_package_where_it_is_installed(files, tmp_path):
    """A copy of bin and share, moved; the interpreter is the one of the PATH."""
    (tmp_path / "bin").mkdir()
    program = shutil.copy(CLI, tmp_path / "bin" / "dynascope")
    shutil.copytree(pathlib.Path(dynascope.__file__).parent, tmp_path / "share" / "dynascope" / "python" / "dynascope")
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "DYNASCOPE_PYTHON")}
    done = subprocess.run([program, "report", files["cnn"], "-o", tmp_path / "page.html"], capture_output=True, text=True,
                          env={**clean, "PATH": f"{pathlib.Path(sys.executable).parent}:{clean['PATH']}"})
    assert done.returncode == 0 and (tmp_path / "page.html").stat().st_size > 1e6, done.stderr


def test_broken_files_give_a_page_or_one_line(tmp_path):
    whole = (RUNS / "cnn.h5").read_bytes()
    seed = 20261124
    refused = 0
    for turn in range(300 if LONG else 6):
        chance = random.Random(f"{seed}, turn {turn}")
        changed = bytearray(whole)
        for _ in range(chance.randint(1, 16)):
            changed[chance.randrange(len(whole))] = chance.randrange(256)
        path = tmp_path / "changed.h5"
        path.write_bytes(changed)
        done = report(path, "-o", tmp_path / "page.html")
        if done.returncode != 0:
            refused += 1
            assert_refused(done)
        for left in tmp_path.glob("page.html*"):
            assert done.returncode == 0, f"seed {seed}, turn {turn} left {left}"
            left.unlink()
    print(f"seed {seed}: {refused} refused")


def test_a_file_that_lies_about_its_size_is_refused_within_the_limits(tmp_path):
    path = shutil.copy(RUNS / "cnn.h5", tmp_path / "lie.h5")
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        name = next(name for name in file["nodes"] if name.endswith("_conv1"))
        del file[f"nodes/{name}/strength"]
        units = file[f"nodes/{name}/unit"].shape[0]
        file.create_dataset(f"nodes/{name}/strength", shape=(2**40, units), chunks=(1024, units), dtype="f4")
        del file["step"]
        file.create_dataset("step", shape=(2**40,), chunks=(1024,), dtype="i8")
        file["committed"][()] = 2**40
    begun = time.monotonic()
    assert_refused(report(path, "-o", tmp_path / "page.html"))
    assert time.monotonic() - begun < 20
