// SPDX-License-Identifier: BSD-3-Clause
#include "object_rules.hpp"

#include "maker.hpp"

#include <algorithm>
#include <cmath>
#include <set>

namespace dynascope {
namespace {

using Grows = Declared::Grows;

const char* name_of(Stored type) {
  const char* const names[] = {"float32", "float64", "uint8", "int32", "int64", "uint64", "text", "float32 or float64"};
  return names[static_cast<int>(type)];
}

bool is_floating(Stored type) { return type == Stored::kFloat32 || type == Stored::kFloat64 || type == Stored::kFloat; }

bool fits(Stored wanted, hid_t type) {
  switch (wanted) {
    case Stored::kFloat32:
      return h5::same_type(type, H5T_IEEE_F32LE);
    case Stored::kFloat64:
      return h5::same_type(type, H5T_IEEE_F64LE);
    case Stored::kFloat:
      return h5::same_type(type, H5T_IEEE_F32LE) || h5::same_type(type, H5T_IEEE_F64LE);
    case Stored::kUint8:
      return h5::same_type(type, H5T_STD_U8LE);
    case Stored::kInt32:
      return h5::same_type(type, H5T_STD_I32LE);
    case Stored::kInt64:
      return h5::same_type(type, H5T_STD_I64LE);
    case Stored::kUint64:
      return h5::same_type(type, H5T_STD_U64LE);
    case Stored::kText:
      return H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0;
  }
  return false;
}

std::string listed(const std::set<std::string>& names) {
  std::string list;
  for (const std::string& name : names) {
    list += (list.empty() ? "" : ", ") + name;
  }
  return list;
}

class ObjectRules {
 public:
  ObjectRules(const h5::InputFile& file, const Declaration& declaration, uint64_t rows, uint64_t events,
              Findings& findings)
      : file_(file), declaration_(declaration), rows_(rows), events_(events), findings_(findings) {}

  void check() {
    walk("/");
    for (const auto& [path, declared] : declaration_.datasets) {
      require(found_.count(path) == 1, path, "is missing");
    }
    for (const auto& [path, attributes] : declaration_.groups) {
      require(found_.count(path) == 1, path, "is missing");
    }
  }

 private:
  std::string kind_name() const { return declaration_.kind->name; }

  bool require(bool holds, const std::string& object, const std::string& message) {
    return findings_.require(holds, object, message);
  }

  // What is not declared is not looked into, so that no cycle of links leads on for ever.
  void walk(const std::string& group) {
    const std::string folder = group == "/" ? group : group + "/";
    for (const std::string& name : file_.names(group)) {
      const std::string path = folder + name;
      const bool is_group = declaration_.groups.count(path) == 1;
      const auto dataset = declaration_.datasets.find(path);
      if (!require(is_group || dataset != declaration_.datasets.end(), path, "is not part of a " + kind_name())) {
        continue;
      }
      found_.insert(path);
      if (!require(h5::is_hard_link(file_.get(), path), path, "must be a hard link")) {
        continue;
      }
      findings_.attempt(path, [&] {
        if (is_group) {
          check_names(path, file_.group(path).get(), declaration_.groups.at(path), {});
          walk(path);
        } else {
          check_dataset(path, dataset->second);
        }
      });
    }
  }

  void check_names(const std::string& path, hid_t object, const std::set<std::string>& wanted,
                   const std::set<std::string>& allowed) {
    std::set<std::string> missing = wanted;
    std::set<std::string> extra;
    for (const std::string& name : h5::attribute_names(object)) {
      if (missing.erase(name) == 0 && allowed.count(name) == 0) {
        extra.insert(name);
      }
    }
    require(missing.empty(), path, "has no attribute " + listed(missing));
    require(extra.empty(), path, "has attributes that are not part of a " + kind_name() + ": " + listed(extra));
  }

  void check_dataset(const std::string& path, const Declared& declared) {
    const h5::InputFile::Dataset dataset = file_.open(path);
    const hid_t id = dataset.id.get();
    const h5::Shape shape = h5::shape_of(id);
    const h5::Id type = h5::type_of(id);
    require(fits(declared.type, type.get()), path,
            std::string("must hold ") + name_of(declared.type) + " (little-endian)");
    require(!(shape.filtered && file_.live()), path, "has a filter, which a file that grows must not have");
    check_shape(path, declared, shape);
    check_attributes(path, declared, id);
    check_fill(path, declared, id);
    if (shape.dims.size() == declared.axes.size() + (declared.grows == Grows::kNot ? 0 : 1)) {
      check_scales(path, declared, id);
    }
    if (declared.scale && declared.grows != Grows::kRows && declared.type == Stored::kInt64) {
      check_counts(dataset);
    }
  }

  void check_shape(const std::string& path, const Declared& declared, const h5::Shape& shape) {
    const size_t first = declared.grows == Grows::kNot ? 0 : 1;
    if (!require(shape.dims.size() == declared.axes.size() + first, path,
                 "must have " + std::to_string(declared.axes.size() + first) + " axes, has " +
                     std::to_string(shape.dims.size()))) {
      return;
    }
    for (size_t axis = 0; axis < declared.axes.size(); ++axis) {
      const auto size = static_cast<hsize_t>(declared.axes[axis].size);
      require(shape.dims[axis + first] == size, path,
              "axis " + std::to_string(axis + first) + " must be " + std::to_string(size) + " long, is " +
                  std::to_string(shape.dims[axis + first]));
    }
    if (declared.grows == Grows::kNot) {
      return;
    }
    const uint64_t least = declared.grows == Grows::kRows ? rows_ : events_;
    const char* what = declared.grows == Grows::kRows ? " rows, which are committed" : " events, which have a code";
    require(shape.limits[0] == H5S_UNLIMITED, path, "must be unlimited in its first axis");
    require(shape.dims[0] >= least, path,
            "must have the " + std::to_string(least) + what + ", has " + std::to_string(shape.dims[0]));
  }

  void check_attributes(const std::string& path, const Declared& declared, hid_t id) {
    std::set<std::string> wanted = declared.attributes;
    wanted.insert({"long_name", "units"});
    std::set<std::string> allowed{"DIMENSION_LIST"};
    if (is_floating(declared.type)) {
      wanted.insert("_FillValue");
    }
    if (declared.scale) {
      wanted.insert({"CLASS", "NAME"});
      allowed = {"REFERENCE_LIST"};
    }
    check_names(path, id, wanted, allowed);
    check_kind(path, id, "DIMENSION_LIST", H5T_VLEN);
    check_kind(path, id, "REFERENCE_LIST", H5T_COMPOUND);
    for (const char* name : {"long_name", "units"}) {
      const auto text = file_.text(id, path, name);
      require(!text || !text->empty(), path, std::string("attribute ") + name + " must not be empty");
    }
  }

  // The two attributes that HDF5 keeps its dimension scales in.
  void check_kind(const std::string& path, hid_t id, const char* name, H5T_class_t kind) {
    const h5::Id attribute = h5::find_attribute(id, name);
    require(!attribute || H5Tget_class(h5::attribute_type(attribute.get()).get()) == kind, path,
            std::string("attribute ") + name + " must be what HDF5 keeps of dimension scales");
  }

  void check_fill(const std::string& path, const Declared& declared, hid_t id) {
    if (declared.type == Stored::kText) {
      return;
    }
    const bool is_unsigned = declared.type == Stored::kUint8 || declared.type == Stored::kUint64;
    const std::string wanted = is_floating(declared.type) ? "NaN" : is_unsigned ? "0" : "-1";
    const auto right = [&](double value) {
      return is_floating(declared.type) ? std::isnan(value) : value == (is_unsigned ? 0 : -1);
    };
    const auto fill = h5::fill_of(id);
    require(fill && right(*fill), path,
            "its fill value must be " + wanted + ", is " + (fill ? std::to_string(*fill) : "none"));
    const h5::Id attribute = h5::find_attribute(id, "_FillValue");
    if (attribute) {
      const bool typed = h5::same_type(h5::attribute_type(attribute.get()).get(), h5::type_of(id).get());
      double value = 0;
      if (typed && h5::attribute_shape(attribute.get()).count == 1) {
        h5::read_attribute(attribute.get(), H5T_NATIVE_DOUBLE, &value, "_FillValue");
      }
      require(std::isnan(value), path, "attribute _FillValue must be one NaN of the dataset's type");
    }
  }

  void check_scales(const std::string& path, const Declared& declared, hid_t id) {
    require(h5::is_scale(id) == declared.scale, path,
            declared.scale ? "must be a dimension scale" : "must not be a dimension scale");
    if (declared.scale) {
      return;
    }
    std::vector<std::string> scales;
    // A parameter with axes of its own has no scale at all.
    const bool bare = !declared.axes.empty() && declared.axes.front().scale.empty();
    if (declared.grows != Grows::kNot) {
      const std::string& rows = declaration_.kind->scale();
      scales.push_back(bare ? "" : declared.grows == Grows::kRows ? rows : "/events/event");
    }
    for (const DeclaredAxis& axis : declared.axes) {
      scales.push_back(axis.scale);
    }
    for (size_t axis = 0; axis < scales.size(); ++axis) {
      const std::string& scale = scales[axis];
      const bool attached = scale.empty() ? h5::scales_on(id, axis) == 0 : is_attached(id, scale, axis);
      require(attached, path,
              "axis " + std::to_string(axis) + " must have " + (scale.empty() ? "no scale" : "the scale " + scale));
    }
  }

  bool is_attached(hid_t id, const std::string& scale, size_t axis) {
    const auto [at, added] = scales_.try_emplace(scale);
    if (added && file_.has(scale)) {
      at->second = h5::open_dataset(file_.get(), scale);
    }
    return at->second && h5::is_scale(at->second.get()) && h5::is_only_scale(id, at->second.get(), axis);
  }

  void check_counts(const h5::InputFile::Dataset& dataset) {
    const auto values =
        file_.read_rows<int64_t>(dataset, 0, dataset.path == "/events/event" ? events_ : dataset.dims[0]);
    for (size_t i = 0; i < values.size(); ++i) {
      if (!require(values[i] == static_cast<int64_t>(i), dataset.path,
                   "must count from 0, holds " + std::to_string(values[i]) + " at " + std::to_string(i))) {
        return;
      }
    }
  }

  const h5::InputFile& file_;
  const Declaration& declaration_;
  const uint64_t rows_, events_;
  Findings& findings_;
  std::set<std::string> found_;
  std::map<std::string, h5::Id> scales_;
};

}  // namespace

void check_objects(const h5::InputFile& file, const Declaration& declaration, uint64_t rows, uint64_t events,
                   Findings& findings) {
  ObjectRules(file, declaration, rows, events, findings).check();
}

}  // namespace dynascope
