// SPDX-License-Identifier: BSD-3-Clause
#include "declared.hpp"

#include "schema.hpp"

#include <dynascope/row_layout.hpp>

#include <algorithm>
#include <optional>

namespace dynascope {
namespace {

using Grows = Declared::Grows;

class Declarer {
 public:
  Declarer(const h5::InputFile& file, const FileKind& kind, Findings& findings)
      : file_(file), kind_(kind), findings_(findings) {
    made_.kind = &kind;
  }

  Declaration all() {
    rows();
    attempt("/nodes/layer", [&] { nodes(); });
    attempt("/links/link", [&] { links(); });
    attempt("/links/histogram", [&] { histogram(); });
    attempt("/graph/connection", [&] { graph(); });
    attempt("/skipped/item", [&] { skipped(); });
    attempt(kind_.scalars, [&] { scalars(); });
    if (kind_.one_training) {
      events();
      attempt("/parameters", [&] { parameters(); });
    }
    return std::move(made_);
  }

 private:
  template <class Check>
  void attempt(const std::string& object, Check check) {
    findings_.attempt(object, check);
  }

  void group(const std::string& path, std::set<std::string> attributes = {}) {
    made_.groups[path] = std::move(attributes);
  }
  void add(const std::string& path, Declared what) { made_.datasets[path] = std::move(what); }
  void constant(const std::string& path, Stored type, std::vector<DeclaredAxis> axes) {
    add(path, {type, Grows::kNot, std::move(axes), false, {}});
  }
  void scale(const std::string& path, int64_t size, Stored type = Stored::kInt64) {
    add(path, {type, Grows::kNot, {{size, path}}, true, {}});
  }
  void per_row(const std::string& path, Stored type, std::vector<DeclaredAxis> axes = {}) {
    add(path, {type, Grows::kRows, std::move(axes), false, {}});
  }

  static Stored stored(RowType type) {
    return type == RowType::kFloat32 ? Stored::kFloat32 : type == RowType::kFloat64 ? Stored::kFloat64 : Stored::kInt64;
  }

  int64_t length(const std::string& path) const {
    const h5::InputFile::Dataset dataset = file_.open(path);
    file_.check_rank(dataset, 1);
    return static_cast<int64_t>(dataset.dims[0]);
  }

  void rows() {
    constant("/committed", Stored::kUint64, {});
    for (const FileKind::Index& column : kind_.index) {
      if (const std::string_view of = group_of(column.path); !of.empty()) {
        group(std::string(of));
      }
      add(column.path, {column.type, Grows::kRows, {}, column.path == kind_.scale(), {}});
    }
    if (kind_.scale_in_root != nullptr) {
      add(kind_.scale_in_root, {kind_.index.front().type, Grows::kRows, {}, true, {}});
    }
  }

  void nodes() {
    group("/nodes");
    const auto names = file_.read_strings("/nodes/layer");
    const DeclaredAxis layer{static_cast<int64_t>(names.size()), "/nodes/layer"};
    scale(layer.scale, layer.size, Stored::kText);
    for (const auto& column : schema::kNodeColumns) {
      per_row("/nodes/" + std::string(column.name), stored(column.type), {layer});
    }
    for (size_t i = 0; i < names.size(); ++i) {
      const std::string path = node_layer_path(i, names.size(), names[i]);
      attempt(path, [&] { node_layer(path, names[i]); });
    }
  }

  std::vector<int64_t> sizes(hid_t at, const std::string& path, const char* name) {
    const auto found = file_.integers(at, path, name);
    if (!found || found->empty()) {
      file_.refuse("attribute " + std::string(name) + " must hold one integer per axis");
    }
    schema::product(*found, "attribute " + std::string(name));
    return *found;
  }

  void node_layer(const std::string& path, const std::string& name) {
    group(path, {"name", "shape", "stored_shape", "role"});
    const h5::Id id = file_.group(path);
    const std::string role = file_.text(id.get(), path, "role").value_or("");
    findings_.require(file_.text(id.get(), path, "name") == name, path, "attribute name must be '" + name + "'");
    findings_.require(role == "input" || role == "hidden" || role == "output", path,
                      "attribute role must be input, hidden or output, is '" + role + "'");
    const auto shape = sizes(id.get(), path, "shape");
    const auto stored_shape = sizes(id.get(), path, "stored_shape");
    const DeclaredAxis unit{schema::product(stored_shape, path), path + "/unit"};
    scale(unit.scale, unit.size);
    constant(path + "/multiplicity", Stored::kInt64, {unit});
    const bool components = file_.has(path + "/in_strength") || file_.has(path + "/out_strength");
    for (size_t i = 0; i < (components ? std::size(schema::kUnitColumns) : 1); ++i) {
      per_row(path + "/" + schema::kUnitColumns[i].name, stored(schema::kUnitColumns[i].type), {unit});
    }
    if (findings_.require(shape.size() == stored_shape.size(), path, "shape and stored_shape must be of one length")) {
      classes(path, shape, stored_shape);
    }
  }

  // Classes where an axis is compressed, and multiplicities that count their coordinates.
  void classes(const std::string& path, const std::vector<int64_t>& shape, const std::vector<int64_t>& stored_shape) {
    const auto told = file_.read_all<int64_t>(path + "/multiplicity", 1);
    if (told.empty() || static_cast<int64_t>(told.size()) != schema::product(stored_shape, path)) {
      return;  // said where its shape is looked at; an attribute alone must not ask for memory
    }
    std::vector<int64_t> multiplicity{1};
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      const std::string dataset = path + "/class_" + std::to_string(axis);
      std::vector<int64_t> counts(static_cast<size_t>(stored_shape[axis]), 1);
      if (file_.has(dataset) || shape[axis] != stored_shape[axis]) {
        scale(dataset, shape[axis], Stored::kInt32);
        counts = coordinates(dataset, stored_shape[axis]);
      }
      std::vector<int64_t> outer;
      for (const int64_t so_far : multiplicity) {
        for (const int64_t count : counts) {
          outer.push_back(so_far * count);
        }
      }
      multiplicity = std::move(outer);
    }
    findings_.require(told == multiplicity, path + "/multiplicity",
                      "must be the number of units of each stored value's classes");
  }

  std::vector<int64_t> coordinates(const std::string& dataset, int64_t classes) {
    std::vector<int64_t> counts(static_cast<size_t>(classes), 0);
    bool inside = true;
    for (const int32_t one : file_.read_all<int32_t>(dataset, 1)) {
      inside = inside && one >= 0 && one < classes;
      counts[static_cast<size_t>(inside ? one : 0)] += classes > 0 ? 1 : 0;
    }
    findings_.require(inside && std::find(counts.begin(), counts.end(), 0) == counts.end(), dataset,
                      "must hold every class from 0 to " + std::to_string(classes - 1) + ", and no other");
    return counts;
  }

  void links() {
    group("/links");
    const auto names = file_.read_strings("/links/link");
    const DeclaredAxis link{static_cast<int64_t>(names.size()), "/links/link"};
    scale(link.scale, link.size, Stored::kText);
    constant("/links/count", Stored::kInt64, {link});
    for (const auto& column : schema::kLinkColumns) {
      per_row("/links/" + std::string(column.name), stored(column.type), {link});
    }
    for (size_t i = 0; i < names.size(); ++i) {
      const std::string path = weight_layer_path(i, names.size(), names[i]);
      if (file_.has(path)) {
        attempt(path, [&] { weight_layer(path, names[i]); });
      }
    }
  }

  void weight_layer(const std::string& path, const std::string& name) {
    group(path, {"name"});
    const h5::Id id = file_.group(path);
    findings_.require(file_.text(id.get(), path, "name") == name, path, "attribute name must be '" + name + "'");
    for (const std::string axis : {"row", "column"}) {
      const std::string units = std::string(path).append("/").append(axis);
      const std::string values = std::string(units).append("_sum");
      if (file_.has(units) || file_.has(values)) {
        const DeclaredAxis sums{length(units), units};
        scale(sums.scale, sums.size);
        per_row(values, Stored::kFloat32, {sums});
      }
    }
  }

  void histogram() {
    const std::string path = "/links/histogram";
    if (!file_.has(path) && !file_.has(path + "_edges")) {
      return;
    }
    const DeclaredAxis link{length("/links/link"), "/links/link"};
    const DeclaredAxis edge{length("/links/edge"), "/links/edge"};
    const DeclaredAxis bin{edge.size + 1, "/links/bin"};
    scale(edge.scale, edge.size);
    scale(bin.scale, bin.size);
    constant(path + "_edges", Stored::kFloat64, {link, edge});
    add(path, {Stored::kInt64, Grows::kRows, {link, bin}, false, {"recorded"}});
    const std::string recorded = file_.text(file_.open(path).id.get(), path, "recorded").value_or("");
    findings_.require(recorded == "every-row" || (kind_.one_training && recorded == "epoch-ends"), path,
                      std::string("attribute recorded must be ") + (kind_.one_training ? "epoch-ends or " : "") +
                          "every-row, is '" + recorded + "'");
    const h5::InputFile::Dataset edges = file_.open_rows(path + "_edges", {edge.size});
    const auto values = file_.read_rows<double>(edges, 0, edges.dims[0]);
    bool rising = true;
    for (size_t i = 1; i < values.size(); ++i) {
      rising = rising && (i % static_cast<size_t>(edge.size) == 0 || values[i] > values[i - 1]);
    }
    findings_.require(rising, path + "_edges", "must rise");
  }

  void graph() {
    group("/graph");
    const DeclaredAxis connection{length("/graph/connection"), "/graph/connection"};
    scale(connection.scale, connection.size);
    for (const char* name : {"source", "target", "link"}) {
      constant("/graph/" + std::string(name), Stored::kInt32, {connection});
    }
    inside("/graph/source", 0, length("/nodes/layer"));
    inside("/graph/target", 0, length("/nodes/layer"));
    inside("/graph/link", -1, length("/links/link"));
  }

  void inside(const std::string& path, int64_t least, int64_t end) {
    for (const int32_t value : file_.read_all<int32_t>(path, 1)) {
      findings_.require(value >= least && value < end, path,
                        "must lie in " + std::to_string(least) + " to " + std::to_string(end - 1) + ", holds " +
                            std::to_string(value));
    }
  }

  void skipped() {
    group("/skipped");
    const DeclaredAxis item{length("/skipped/item"), "/skipped/item"};
    scale(item.scale, item.size);
    constant("/skipped/name", Stored::kText, {item});
    constant("/skipped/reason", Stored::kText, {item});
  }

  void events() {
    group("/events");
    add("/events/event", {Stored::kInt64, Grows::kEvents, {}, true, {}});
    const auto column = [&](const char* name, Stored type) {
      add("/events/" + std::string(name), {type, Grows::kEvents, {}, false, {}});
    };
    column("step", Stored::kInt64);
    column("time", Stored::kFloat64);
    column("code", Stored::kInt32);
    column("value", Stored::kFloat64);
    column("message", Stored::kText);
  }

  // Both kinds are named by the user: an attribute tells the true name.
  void check_name(const std::string& path, const std::string& link) {
    const std::string name = file_.text(file_.open(path).id.get(), path, "name").value_or("");
    findings_.require(escape_name(name) == link, path,
                      "attribute name must be the name in the path, is '" + name + "'");
  }

  void scalars() {
    group(kind_.scalars);
    for (const std::string& link : file_.names(kind_.scalars)) {
      const std::string path = std::string(kind_.scalars) + "/" + link;
      if (!kind_.is_scalar(path)) {
        continue;
      }
      add(path, {Stored::kFloat64, Grows::kRows, {}, false, {"name"}});
      attempt(path, [&] { check_name(path, link); });
    }
  }

  // Axes of their own, which no scale names; then the row axis has none either.
  void parameters() {
    group("/parameters");
    for (const std::string& link : file_.names("/parameters")) {
      const std::string path = "/parameters/" + link;
      attempt(path, [&] {
        std::vector<DeclaredAxis> axes;
        const h5::InputFile::Dataset dataset = file_.open(path);
        for (size_t axis = 1; axis < dataset.dims.size(); ++axis) {
          axes.push_back({static_cast<int64_t>(dataset.dims[axis]), ""});
        }
        add(path, {Stored::kFloat, Grows::kRows, axes, false, {"name"}});
        check_name(path, link);
      });
    }
  }

  const h5::InputFile& file_;
  const FileKind& kind_;
  Findings& findings_;
  Declaration made_;
};

}  // namespace

Declaration declare(const h5::InputFile& file, const FileKind& kind, Findings& findings) {
  return Declarer(file, kind, findings).all();
}

}  // namespace dynascope
