// SPDX-License-Identifier: BSD-3-Clause
// Draws the figures of a report: those that stand still at once, those of a layer when it is chosen. Every figure comes as
// JSON; an array of numbers is {"dtype", "bdata", "shape"}, its bytes in base64.
"use strict";
(() => {
  const types = {
    i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array, f4: Float32Array,
    f8: Float64Array,
  };

  function numbers(coded) {
    const text = atob(coded.bdata);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; ++i) bytes[i] = text.charCodeAt(i);
    const all = new types[coded.dtype](bytes.buffer);
    if (!coded.shape) return all;
    const [rows, columns] = coded.shape;
    return Array.from({length: rows}, (_, row) => all.subarray(row * columns, (row + 1) * columns));
  }

  function decoded(value) {
    if (Array.isArray(value)) return value.map(decoded);
    if (value === null || typeof value !== "object") return value;
    if ("bdata" in value) return numbers(value);
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, decoded(part)]));
  }

  const read = id => JSON.parse(document.getElementById(id).textContent);
  // A finger on a figure scrolls the page.
  const touch = matchMedia("(pointer: coarse)").matches;
  const config = {
    responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };
  const drawn = new Map();  // element -> its figure, decoded

  function draw(element, coded) {
    const figure = decoded(coded);
    if (touch) figure.layout.dragmode = false;
    drawn.set(element, figure);
    return Plotly.react(element, figure.data, {...figure.layout, autosize: true}, config);
  }

  const page = read("page");
  const layers = document.getElementById("layer");
  const slider = document.getElementById("time");
  const shown = document.getElementById("time-shown");

  // The newest frame of a figure that is no later than the chosen one; a figure may have fewer than the slider.
  function frame_at(frames, time) {
    let best = frames[0];
    for (const frame of frames) if (Number(frame.name) <= time) best = frame;
    return best;
  }

  function show_time() {
    const time = page.times[slider.value];
    shown.textContent = time;
    for (const element of document.querySelectorAll("#layers .plot:not([hidden])")) {
      const figure = drawn.get(element);
      if (!figure || !figure.frames || !figure.frames.length) continue;
      const frame = frame_at(figure.frames, time);
      frame.data.forEach((part, i) => {
        const update = Object.fromEntries(Object.entries(part).map(([key, value]) => [key, [value]]));
        Plotly.restyle(element, update, [frame.traces[i]]);
      });
      element.dataset.frame = frame.name;
    }
  }

  function show_layer() {
    const layer = read("layer-" + layers.value);
    for (const card of document.querySelectorAll("#layers .card")) {
      const kind = card.dataset.figure;
      const figure = layer.figures[kind];
      card.hidden = !figure;
      const plot = card.querySelector(".plot");
      plot.hidden = !figure;
      card.querySelector(".note").textContent = layer.notes[kind] || "";
      if (figure) draw(plot, figure);
    }
    document.getElementById("layer-facts").textContent = layer.facts;
    show_time();
  }

  for (const [id, figure] of Object.entries(page.figures)) draw(document.getElementById(id), figure);
  if (layers) {
    layers.addEventListener("change", show_layer);
    slider.addEventListener("input", show_time);
    for (const link of document.querySelectorAll("a[data-layer]")) {
      link.addEventListener("click", () => { layers.value = link.dataset.layer; show_layer(); });
    }
    show_layer();
  }
  document.documentElement.dataset.ready = "yes";
})();
