# SPDX-License-Identifier: BSD-3-Clause
"""Every rule of docs/run-file.md and docs/population-file.md, checked with h5py on a closed file of either kind.

    check(path)           objects, types, shapes, attributes, scales, fill values, order of rows
    check_measured(path)  and the values that follow from others: summaries from strengths, histograms from counts

Both raise AssertionError with all violations, one per line. Knows nothing of the program that writes.
"""

import json
import pathlib
import re

import h5py
import numpy as np

ENUMS = {
    "backend": {"cpu", "cuda"},
    "bias": {"in", "none"},
    "boundary": {"one", "zero"},
    "padding": {"true-edges", "all-taps"},
    "granularity": {"unit", "channel"},
}
ROOT_TEXTS = {
    "schema", "schema_version", "definitions_version", "creator_version", "created", "run_id", "host", "command",
    "torch_version", "device", "config", "title", "source", "history", "Conventions", *ENUMS,
}
SCALE_ATTRIBUTES = {"CLASS", "NAME", "REFERENCE_LIST"}
NODE_COLUMNS = ["fluctuation", "strength_mean", "strength_min", "strength_max"]
LINK_COLUMNS = ["mean", "std", "min", "max", "abs_mean", "norm"]


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def group_name(position, count, name):
    width = max(3, len(str(max(count - 1, 0))))
    return f"{position:0{width}d}_{name.replace('/', '%2F')}"


def is_fixed_string(type_id):
    return isinstance(type_id, h5py.h5t.TypeStringID) and not type_id.is_variable_str()


class Rules:
    """Of a run file."""

    schema = "dynascope-run"
    row_scale = "/step"

    def __init__(self, file, path):
        self.file = file
        self.violations = []
        self.expected = {}  # dataset path -> (dtype, shape, scales)
        self.groups = {}  # group path -> names of its attributes
        self.rows = file[self.row_scale].shape[0]
        with open(path, "rb") as raw:
            block = raw.read(12)
        self.require(block[8] == 3, f"superblock version must be 3, is {block[8]}")
        self.require(block[11] == 0, f"a closed file must not be marked as open, mark is {block[11]}")

    def require(self, condition, message):
        if not condition:
            self.violations.append(message)
        return condition

    # What must be there

    def dataset(self, path, dtype, shape, scales):
        self.expected[path] = (dtype, tuple(shape), scales)

    def growing(self, path, dtype, shape=(), scales=()):
        self.dataset(path, dtype, (self.rows, *shape), [self.row_scale, *scales])

    def scale(self, path, size, dtype="int64"):
        self.dataset(path, dtype, (size,), [path])

    def names(self, path):
        return [text(name) for name in self.file[path][...]]

    def expect_root(self):
        self.dataset("/committed", "uint64", (), [])
        for name, dtype in [("step", "int64"), ("epoch", "int64"), ("epoch_end", "uint8"), ("time", "float64"),
                            ("cost/snapshot", "float64"), ("cost/dropped", "int64")]:
            self.growing("/" + name, dtype)
        for group in ["nodes", "links", "graph", "scalars", "parameters", "skipped", "events", "cost"]:
            self.groups["/" + group] = set()
        self.expect_events()

    def expect_nodes(self):
        layers = self.names("/nodes/layer")
        self.scale("/nodes/layer", len(layers), "string")
        for name in NODE_COLUMNS:
            self.growing(f"/nodes/{name}", "float64", [len(layers)], ["/nodes/layer"])
        self.growing("/nodes/nonfinite", "int64", [len(layers)], ["/nodes/layer"])
        for position, layer in enumerate(layers):
            self.expect_node_layer("/nodes/" + group_name(position, len(layers), layer), layer)

    def expect_node_layer(self, path, layer):
        self.groups[path] = {"name", "shape", "stored_shape", "role"}
        if not self.require(path in self.file, f"{path} is missing"):
            return
        attributes = self.file[path].attrs
        shape, stored = (np.atleast_1d(attributes[key]) for key in ["shape", "stored_shape"])
        units, scale = int(np.prod(stored)), path + "/unit"
        self.scale(scale, units)
        self.dataset(path + "/multiplicity", "int64", [units], [scale])
        columns = ["strength"] + [c for c in ["in_strength", "out_strength"] if f"{path}/{c}" in self.file]
        self.require(len(columns) != 2, f"{path} must have both in_strength and out_strength or neither")
        for column in columns:
            self.growing(f"{path}/{column}", "float32", [units], [scale])
        per_axis = []
        for axis, (size, stored_size) in enumerate(zip(shape, stored)):
            classes = f"{path}/class_{axis}"
            if size == stored_size and classes not in self.file:
                per_axis.append(np.ones(size, dtype=np.int64))
                continue
            self.scale(classes, size, "int32")
            if self.require(classes in self.file, f"{classes} is missing"):
                values = self.file[classes][...]
                fits = set(values.tolist()) == set(range(stored_size))
                if self.require(fits, f"{classes} must hold the classes 0 to {stored_size - 1}, holds {set(values)}"):
                    per_axis.append(np.bincount(values))
        self.require(text(attributes["name"]) == layer, f"{path}: attribute name must be {layer}")
        self.require(text(attributes["role"]) in {"input", "hidden", "output"}, f"{path}: role {attributes['role']}")
        if len(per_axis) == len(shape):
            product = np.ones((), dtype=np.int64)
            for counts in per_axis:
                product = np.multiply.outer(product, counts)
            same = np.array_equal(self.file[path + "/multiplicity"][...], product.ravel())
            self.require(same, f"{path}/multiplicity must be the number of units of each class")

    def expect_links(self):
        links = self.names("/links/link")
        self.scale("/links/link", len(links), "string")
        self.dataset("/links/count", "int64", [len(links)], ["/links/link"])
        for name in LINK_COLUMNS:
            self.growing(f"/links/{name}", "float64", [len(links)], ["/links/link"])
        self.growing("/links/nonfinite", "int64", [len(links)], ["/links/link"])
        if "histogram" in self.file["/links"]:
            bins = self.file["/links/bin"].shape[0]
            self.growing("/links/histogram", "int64", [len(links), bins], ["/links/link", "/links/bin"])
            self.dataset("/links/histogram_edges", "float64", [len(links), bins - 1], ["/links/link", "/links/edge"])
            self.scale("/links/bin", bins)
            self.scale("/links/edge", bins - 1)
            edges = self.file["/links/histogram_edges"][...]
            self.require(np.all(np.diff(edges, axis=1) > 0), "/links/histogram_edges must rise")
        for position, link in enumerate(links):
            path = "/links/" + group_name(position, len(links), link)
            if path not in self.file:
                continue
            self.groups[path] = {"name"}
            self.require(text(self.file[path].attrs["name"]) == link, f"{path}: attribute name must be {link}")
            for axis in [a for a in ["row", "column"] if f"{path}/{a}_sum" in self.file]:
                size = self.file[f"{path}/{axis}"].shape[0]
                self.scale(f"{path}/{axis}", size)
                self.growing(f"{path}/{axis}_sum", "float32", [size], [f"{path}/{axis}"])

    def expect_lists(self):
        connections = self.file["/graph/connection"].shape[0]
        self.scale("/graph/connection", connections)
        for name in ["source", "target", "link"]:
            self.dataset(f"/graph/{name}", "int32", [connections], ["/graph/connection"])
        ends = {"source": (0, "nodes/layer"), "target": (0, "nodes/layer"), "link": (-1, "links/link")}
        for name, (least, of) in ends.items():
            values, size = self.file[f"/graph/{name}"][...], self.file[of].shape[0]
            inside = bool(np.all((values >= least) & (values < size)))
            self.require(inside, f"/graph/{name} must lie in {least} .. {size - 1}")
        skipped = self.file["/skipped/item"].shape[0]
        self.scale("/skipped/item", skipped)
        for name in ["name", "reason"]:
            self.dataset(f"/skipped/{name}", "string", [skipped], ["/skipped/item"])

    def expect_events(self):
        events = self.file["/events/event"].shape[0]
        self.scale("/events/event", events)
        for name, dtype in [("step", "int64"), ("time", "float64"), ("code", "int32"), ("value", "float64"),
                            ("message", "string")]:
            self.dataset(f"/events/{name}", dtype, [events], ["/events/event"])
        self.require(bool(np.all(self.file["/events/code"][...] >= 1)), "/events/code must be 1 or more")

    def expect_users(self):
        for name in self.file["/scalars"]:
            self.growing(f"/scalars/{name}", "float64")
        for name, dataset in self.file["/parameters"].items():
            dtype = "float64" if dataset.dtype.itemsize == 8 else "float32"
            self.dataset(f"/parameters/{name}", dtype, (self.rows, *dataset.shape[1:]), None)

    # What is there

    def check_attributes(self):
        attributes = self.file.attrs
        for name in ROOT_TEXTS:
            if self.require(name in attributes, f"attribute {name} is missing"):
                fixed = is_fixed_string(attributes.get_id(name).get_type())
                self.require(fixed, f"attribute {name} must be a fixed-length string")
        extra = set(attributes) - ROOT_TEXTS - {"ddof"}
        self.require(not extra, f"undeclared attributes {sorted(extra)}")
        value = {name: text(attributes.get(name, "")) for name in ROOT_TEXTS}
        for name, allowed in ENUMS.items():
            self.require(value[name] in allowed, f"attribute {name} must be one of {allowed}, is {value[name]!r}")
        self.require(value["schema"] == self.schema, f"schema is {value['schema']!r}")
        self.require(value["schema_version"] == "1.0", f"schema_version is {value['schema_version']!r}")
        self.require(value["definitions_version"] == "1.0", f"definitions_version is {value['definitions_version']!r}")
        for name, pattern in [("created", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), ("Conventions", r"CF-1\.\d+"),
                              ("run_id", r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
                              ("creator_version", r"\d+\.\d+\.\d+"), ("torch_version", r".+"), ("device", r".+"),
                              ("host", r".+"), ("command", r".+"), ("history", r".+"), ("title", r".+"),
                              ("source", r".+")]:
            self.require(re.fullmatch(pattern, value[name], re.DOTALL), f"attribute {name} must match {pattern}, is {value[name]!r}")
        self.require(attributes.get("ddof") == 0 and attributes["ddof"].dtype.kind == "i", "ddof must be the integer 0")
        try:
            self.require(isinstance(json.loads(value["config"]), dict), "config must be a JSON object")
        except json.JSONDecodeError as error:
            self.require(False, f"config is no JSON: {error}")

    def check_objects(self):
        found = set()

        def visit(path):
            for name in self.file[path]:
                here = path.rstrip("/") + "/" + name
                link = self.file.get(here, getlink=True)
                if not self.require(type(link) is h5py.HardLink, f"{here} must be a hard link"):
                    continue
                found.add(here)
                if isinstance(self.file[here], h5py.Group):
                    visit(here)
                    extra = set(self.file[here].attrs) ^ self.groups.get(here, set())
                    self.require(not extra, f"{here}: attributes too many or missing: {sorted(extra)}")
                else:
                    self.check_dataset(here, self.file[here])

        visit("/")
        declared = set(self.expected) | set(self.groups)
        self.require(not found - declared, f"undeclared objects {sorted(found - declared)}")
        self.require(not declared - found, f"missing objects {sorted(declared - found)}")

    def check_dataset(self, path, dataset):
        if path not in self.expected:
            return
        dtype, shape, scales = self.expected[path]
        if dtype == "string":
            self.require(is_fixed_string(dataset.id.get_type()), f"{path} must hold fixed-length strings")
        else:
            self.require(dataset.dtype == np.dtype(dtype), f"{path} must be {dtype}, is {dataset.dtype}")
        self.require(dataset.shape == shape, f"{path} must have shape {shape}, has {dataset.shape}")
        creation = dataset.id.get_create_plist()
        self.require(not dataset.is_virtual and creation.get_external_count() == 0, f"{path} keeps data elsewhere")
        for name in ["long_name", "units"]:
            if self.require(name in dataset.attrs, f"{path} has no {name}"):
                fixed = is_fixed_string(dataset.attrs.get_id(name).get_type())
                self.require(fixed and text(dataset.attrs[name]), f"{path}: {name} must be a fixed-length string")
        self.check_fill(path, dataset, creation)
        self.check_references(path, dataset)
        if scales is not None:
            self.check_scales(path, dataset, scales)
        if shape and shape[0] == self.rows and scales != [path] and (scales or [self.row_scale])[0] == self.row_scale:
            self.require(dataset.maxshape[0] is None, f"{path} must be unlimited in rows")

    def check_fill(self, path, dataset, creation):
        kind = dataset.dtype.kind
        self.require(("_FillValue" in dataset.attrs) == (kind == "f"), f"{path}: _FillValue on float datasets only")
        if kind == "f":
            value = dataset.attrs["_FillValue"]
            self.require(np.all(np.isnan(value)) and value.dtype == dataset.dtype, f"{path}: _FillValue must be NaN")
        if kind in "fiu":
            fill = dataset.fillvalue
            right = np.isnan(fill) if kind == "f" else fill == (-1 if kind == "i" else 0)
            self.require(creation.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED and right,
                         f"{path}: fill value must be NaN, -1 or 0, is {fill}")

    def check_references(self, path, dataset):
        for name in dataset.attrs:
            kind = dataset.attrs.get_id(name).get_type().get_class()
            if kind in (h5py.h5t.REFERENCE, h5py.h5t.VLEN, h5py.h5t.COMPOUND):
                self.require(name in {"DIMENSION_LIST", "REFERENCE_LIST"}, f"{path}: attribute {name} holds references")

    def check_scales(self, path, dataset, scales):
        if scales == [path]:
            self.require(dataset.is_scale, f"{path} must be a dimension scale")
            size = dataset.shape[0]
            if dataset.dtype == np.int64 and path.rsplit("/", 1)[1] not in {"step"}:
                self.require(np.array_equal(dataset[...], np.arange(size)), f"{path} must count from 0")
            return
        self.require(not dataset.is_scale, f"{path} must not be a dimension scale")
        for axis, scale in enumerate(scales):
            # By the object: a scale may have two names.
            attached = list(dataset.dims[axis].values())
            self.require(len(attached) == 1 and attached[0] == self.file[scale],
                         f"{path}: axis {axis} must have the scale {scale}, has {[one.name for one in attached]}")

    def check_rows(self):
        file = self.file
        step, epoch, end = (file[name][...] for name in ["/step", "/epoch", "/epoch_end"])
        self.require(file["/committed"][()] == self.rows, f"/committed must be {self.rows}, is {file['/committed'][()]}")
        self.require(bool(np.all(np.diff(step) >= 0)), "/step must not fall")
        self.require(bool(np.all(np.diff(epoch) >= 0)), "/epoch must not fall")
        self.require(len(set(zip(step.tolist(), epoch.tolist()))) == self.rows, "(step, epoch) pairs must be unique")
        self.require(set(end.tolist()) <= {0, 1}, "/epoch_end must be 0 or 1")
        self.require(self.rows == 0 or end[0] == 1, "row 0 must be an epoch end")
        self.require(bool(np.all(np.diff(file["/time"][...]) >= 0)), "/time must not fall")
        if self.rows and step[0] == 0:
            self.require(epoch[0] == 0, "step 0 is before training, so epoch 0")

    def check_all(self):
        self.expect_root()
        self.expect_nodes()
        self.expect_links()
        self.expect_lists()
        self.expect_users()
        self.check_attributes()
        self.check_objects()
        self.check_rows()


class PopulationRules(Rules):
    """Of a population file."""

    schema = "dynascope-population"
    row_scale = "/member/member"
    index = ["net", "epoch", "step", "seed"]

    def expect_root(self):
        self.dataset("/committed", "uint64", (), [])
        for name in [self.row_scale, "/all_members"]:  # one dataset of two names
            self.dataset(name, "int64", [self.rows], [name])
        self.require(self.file[self.row_scale] == self.file["/all_members"], "/all_members must be the scale")
        for name in self.index:
            self.growing(f"/member/{name}", "int64")
        for group in ["member", "nodes", "links", "graph", "skipped"]:
            self.groups["/" + group] = set()

    def expect_users(self):
        for name in set(self.file["/member"]) - set(self.index) - {"member"}:
            self.growing(f"/member/{name}", "float64")
        if "histogram" in self.file["/links"]:
            recorded = text(self.file["/links/histogram"].attrs["recorded"])
            self.require(recorded == "every-row", f"histograms must be of every-row, are of {recorded}")

    def check_rows(self):
        net, epoch, step, seed = (self.file[f"/member/{name}"][...] for name in self.index)
        committed = self.file["/committed"][()]
        self.require(committed == self.rows, f"/committed must be {self.rows}, is {committed}")
        self.require(all(bool(np.all(values >= 0)) for values in (net, epoch, step)), "net, epoch, step: 0 or more")
        self.require(len(set(zip(net.tolist(), epoch.tolist()))) == self.rows, "(net, epoch) pairs must be unique")
        seeds = len(set(zip(net.tolist(), seed.tolist())))
        self.require(seeds == len(set(net.tolist())), "a net must have one seed")


def check(path):
    with h5py.File(path) as file:
        kinds = {kind.schema: kind for kind in (Rules, PopulationRules)}
        rules = kinds.get(text(file.attrs.get("schema", "")), Rules)(file, path)
        rules.check_all()
    assert not rules.violations, f"{pathlib.Path(path).name}:\n" + "\n".join(rules.violations)


def check_measured(path):
    check(path)
    problems = []
    with h5py.File(path) as file:
        layers = [text(name) for name in file["/nodes/layer"][...]]
        for position, layer in enumerate(layers):
            problems += summary_problems(file, position, file["/nodes/" + group_name(position, len(layers), layer)])
        if "histogram" in file["/links"]:
            problems += histogram_problems(file["/links"])
    assert not problems, f"{pathlib.Path(path).name}:\n" + "\n".join(problems)


def summary_problems(file, position, group):
    strength = group["strength"][...].astype(np.float64)
    times = group["multiplicity"][...]
    for row, values in enumerate(strength):
        finite = np.isfinite(values)
        told = {name: file[f"/nodes/{name}"][row, position] for name in [*NODE_COLUMNS, "nonfinite"]}
        mean = np.average(values, weights=times) if finite.all() and values.size else np.nan
        spread = np.sqrt(np.average((values - mean) ** 2, weights=times)) if values.size else np.nan
        least, most = (values[finite].min(), values[finite].max()) if finite.any() else (np.nan, np.nan)
        scale = np.abs(values[finite]).max() if finite.any() else 1.0
        wanted = {"strength_mean": mean, "fluctuation": spread, "strength_min": least, "strength_max": most,
                  "nonfinite": int(times[~finite].sum())}
        for name, value in wanted.items():
            # Summaries are taken before strengths are rounded to float32.
            if not np.isclose(told[name], value, rtol=1e-6, atol=2e-7 * scale, equal_nan=True):
                yield f"{group.name}: row {row} has {name} {told[name]}, strengths say {value}"
        if "in_strength" in group:
            both = group["in_strength"][row].astype(np.float64) + group["out_strength"][row]
            largest = np.abs([group["in_strength"][row], group["out_strength"][row]]).max(initial=0)
            if not np.allclose(both, values, rtol=1e-6, atol=4e-7 * largest, equal_nan=True):
                yield f"{group.name}: row {row} has a strength that is not in-strength plus out-strength"


def histogram_problems(links):
    counts = links["histogram"][...]
    whole = links["count"][...] - links["nonfinite"][...]
    for row, (per_link, expected) in enumerate(zip(counts, whole)):
        if not (np.all(per_link == -1) or np.array_equal(per_link.sum(axis=1), expected)):
            yield f"/links/histogram: row {row} holds {per_link.sum(axis=1)} weights, finite ones are {expected}"
