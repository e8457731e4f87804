// SPDX-License-Identifier: BSD-3-Clause
#include "graph.hpp"

#include <dynascope/trace.hpp>

#include <torch/torch.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

namespace oracle {
namespace {

using Kind = GraphNode::Kind;

/// Channels of one source, as some reader sees them.
struct Piece {
  size_t source;
  std::vector<size_t> resampled;  ///< nodes, first to last
  int64_t first, count;
};
using View = std::vector<Piece>;

/// One reader of a source: the reading node, and which of its operands.
using Reader = std::pair<size_t, size_t>;

struct Site {
  int64_t first, count;
  bool part;
  std::set<Reader> readers;
  bool unread = false;  ///< some of its channels have no reader
};

class Expectation {
 public:
  explicit Expectation(const Graph& graph) : graph_(graph), views_(graph.nodes.size()) {
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      add_view(i);
    }
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      if (is_source(i)) {
        sites_[i] = sites_of(i);
      }
    }
  }

  std::vector<ExpectedLayer> run() {
    // Readers in execution order make the node layers; what nobody reads is one too.
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (reads(i)) {
        for (const size_t argument : graph_.nodes[i].arguments) {
          for (const Piece& piece : views_[argument]) {
            note_variant(piece);
          }
        }
      }
    }
    std::vector<ExpectedLayer> layers;
    at::Tensor objective = torch::zeros({}, at::kDouble);
    std::vector<std::tuple<std::string, at::Tensor, at::Tensor, bool, bool>> found;
    for (const auto& [source, sites] : sites_) {
      for (size_t s = 0; s < sites.size(); ++s) {
        if (is_absorbed(source, sites[s])) {
          continue;
        }
        auto& variants = variants_[{source, s}];
        if (variants.empty()) {
          variants.push_back({});
        }
        for (const auto& resampled : variants) {
          const at::Tensor written = resample(written_by(source), resampled);
          const at::Tensor own = written.narrow(1, sites[s].first, sites[s].count);
          const bool input = graph_.nodes[source].kind == Kind::kInput;
          if (!input) {
            objective = objective + own.sum();
          }
          const at::Tensor bias = resample(bias_of(source), resampled).narrow(1, sites[s].first, sites[s].count);
          found.emplace_back(name_of(source, sites[s], variants, resampled, own),
                             input ? torch::ones_like(own) : (own + bias).detach(), leaf(source, resampled),
                             is_output(source, sites[s], resampled), sites[s].part);
          ranges_.emplace_back(sites[s].first, sites[s].count);
        }
      }
    }
    if (objective.requires_grad()) {
      objective.backward();
    }
    for (size_t i = 0; i < found.size(); ++i) {
      const auto& [name, in, units, output, part] = found[i];
      at::Tensor out = units.grad().defined() ? units.grad() : torch::zeros_like(units);
      out = out.narrow(1, ranges_[i].first, ranges_[i].second) + (output ? 1.0 : 0.0);
      layers.push_back({name, (in + out)[0]});
    }
    return layers;
  }

 private:
  bool is_source(size_t node) const {
    const Kind kind = graph_.nodes[node].kind;
    return kind == Kind::kInput || kind == Kind::kWeight || kind == Kind::kSum;
  }
  bool reads(size_t node) const {
    const Kind kind = graph_.nodes[node].kind;
    return kind == Kind::kWeight || kind == Kind::kSum || kind == Kind::kOutput;
  }

  /// Equal resamplings make one node layer, whatever operators they are.
  size_t first_alike(size_t i) const {
    size_t first = 0;
    while (graph_.nodes[first].kind != Kind::kResampling || !alike(first, i)) {
      ++first;
    }
    return first;
  }

  bool alike(size_t a, size_t b) const {
    const auto cells = [this](size_t i) {
      std::vector<int64_t> sizes = graph_.nodes[graph_.nodes[i].arguments[0]].sizes;
      sizes[0] = std::accumulate(sizes.begin() + 2, sizes.end(), int64_t{1}, std::multiplies<>());
      sizes[1] = 1;
      return sizes;
    };
    if (cells(a) != cells(b)) {
      return false;
    }
    const at::Tensor each = torch::eye(cells(a)[0], at::kDouble).view(cells(a));
    const at::Tensor of_a = graph_.nodes[a].map(each), of_b = graph_.nodes[b].map(each);
    return of_a.sizes() == of_b.sizes() && of_a.allclose(of_b);
  }

  void add_view(size_t i) {
    const GraphNode& node = graph_.nodes[i];
    View& view = views_[i];
    if (is_source(i)) {
      view = {{i, {}, 0, node.sizes[1]}};
      return;
    }
    int64_t skipped = 0;
    for (const size_t argument : node.arguments) {
      for (Piece piece : views_[argument]) {
        if (node.kind == Kind::kResampling) {
          piece.resampled.push_back(first_alike(i));
        }
        if (node.kind == Kind::kSlice) {
          const int64_t begin = std::max(node.first - skipped, int64_t{0});
          const int64_t end = std::min(node.first + node.count - skipped, piece.count);
          skipped += piece.count;
          if (begin >= end) {
            continue;
          }
          piece.first += begin;
          piece.count = end - begin;
        }
        view.push_back(piece);
      }
    }
  }

  /// Rule 2: ranges of channels are apart where their readers are, or where they end in nothing.
  std::vector<Site> sites_of(size_t source) const {
    const int64_t channels = graph_.nodes[source].sizes[1];
    std::vector<std::set<Reader>> readers(static_cast<size_t>(channels));
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      for (size_t a = 0; reads(i) && a < graph_.nodes[i].arguments.size(); ++a) {
        for (const Piece& piece : views_[graph_.nodes[i].arguments[a]]) {
          for (int64_t c = 0; piece.source == source && c < piece.count; ++c) {
            readers[static_cast<size_t>(piece.first + c)].insert({i, a});
          }
        }
      }
    }
    std::vector<size_t> group(readers.size());
    std::iota(group.begin(), group.end(), 0);
    for (size_t a = 0; a < readers.size(); ++a) {
      for (size_t b = 0; b < a; ++b) {
        std::vector<Reader> common;
        std::set_intersection(readers[a].begin(), readers[a].end(), readers[b].begin(), readers[b].end(),
                              std::back_inserter(common));
        if (!common.empty() || (readers[a].empty() && readers[b].empty())) {
          std::replace(group.begin(), group.end(), size_t{group[a]}, size_t{group[b]});
        }
      }
    }
    std::vector<Site> sites;
    std::set<size_t> seen;
    bool ranges = graph_.nodes[source].kind != Kind::kInput;
    for (size_t c = 0; c < group.size(); ++c) {
      if (sites.empty() || group[c] != group[c - 1]) {
        ranges = ranges && seen.insert(group[c]).second;
        sites.push_back({static_cast<int64_t>(c), 0, true, {}});
      }
      ++sites.back().count;
      sites.back().readers.insert(readers[c].begin(), readers[c].end());
      sites.back().unread = sites.back().unread || readers[c].empty();
    }
    if (!ranges || sites.size() == 1) {
      Site whole{0, channels, false, {}};
      for (const Site& site : sites) {
        whole.readers.insert(site.readers.begin(), site.readers.end());
        whole.unread = whole.unread || site.unread;
      }
      return {whole};
    }
    return sites;
  }

  /// Rule 5. An input stays a node layer, and so does what has unread units that no range parts off.
  bool is_absorbed(size_t source, const Site& site) const {
    return graph_.nodes[source].kind != Kind::kInput && site.readers.size() == 1 && !site.unread &&
           graph_.nodes[site.readers.begin()->first].kind == Kind::kSum;
  }

  size_t site_at(size_t source, int64_t channel) const {
    const std::vector<Site>& sites = sites_.at(source);
    size_t s = 0;
    while (channel >= sites[s].first + sites[s].count) {
      ++s;
    }
    return s;
  }

  void note_variant(const Piece& piece) {
    for (int64_t c = piece.first; c < piece.first + piece.count; ++c) {
      auto& variants = variants_[{piece.source, site_at(piece.source, c)}];
      if (std::find(variants.begin(), variants.end(), piece.resampled) == variants.end()) {
        variants.push_back(piece.resampled);
      }
    }
  }

  at::Tensor resample(at::Tensor x, const std::vector<size_t>& nodes) const {
    for (const size_t node : nodes) {
      x = graph_.nodes[node].map(x);
    }
    return x;
  }

  /// Units of a source as readers behind `resampled` see them, each 1.
  at::Tensor leaf(size_t source, const std::vector<size_t>& resampled) {
    at::Tensor& units = leaves_[{source, resampled}];
    if (!units.defined()) {
      const torch::NoGradGuard no_grad;
      const at::Tensor like = resample(torch::ones(graph_.nodes[source].sizes, at::kDouble), resampled);
      units = torch::ones_like(like).requires_grad_(true);
    }
    return units;
  }

  /// What readers of a view get: units, or, in a sum, what absorbed operands are written by.
  at::Tensor gather(const View& view, bool sum, bool bias) {
    std::vector<at::Tensor> parts;
    for (const Piece& piece : view) {
      for (int64_t c = piece.first; c < piece.first + piece.count; ++c) {
        const Site& site = sites_.at(piece.source)[site_at(piece.source, c)];
        const bool absorbed = sum && is_absorbed(piece.source, site);
        at::Tensor whole;
        if (bias) {
          whole = absorbed ? resample(bias_of(piece.source), piece.resampled)
                           : torch::zeros_like(leaf(piece.source, piece.resampled));
        } else {
          whole = absorbed ? resample(written_by(piece.source), piece.resampled) : leaf(piece.source, piece.resampled);
        }
        parts.push_back(whole.narrow(1, c, 1));
      }
    }
    return at::cat(parts, 1);
  }

  at::Tensor written_by(size_t source) {
    at::Tensor& written = written_[source];
    const GraphNode& node = graph_.nodes[source];
    if (!written.defined() && node.kind == Kind::kInput) {
      written = torch::ones(node.sizes, at::kDouble);
    } else if (!written.defined() && node.kind == Kind::kWeight) {
      written = node.map(gather(views_[node.arguments[0]], false, false));
    } else if (!written.defined()) {
      written = gather(views_[node.arguments[0]], true, false) + gather(views_[node.arguments[1]], true, false);
    }
    return written;
  }

  at::Tensor bias_of(size_t source) {
    const GraphNode& node = graph_.nodes[source];
    if (node.kind == Kind::kSum) {
      return gather(views_[node.arguments[0]], true, true) + gather(views_[node.arguments[1]], true, true);
    }
    at::Tensor bias = torch::zeros(node.sizes, at::kDouble);
    if (node.bias.defined()) {
      std::vector<int64_t> shape(node.sizes.size(), 1);
      shape[1] = -1;
      bias = bias + node.bias.detach().to(at::kDouble).reshape(shape);
    }
    return bias;
  }

  bool is_output(size_t source, const Site& site, const std::vector<size_t>& resampled) const {
    for (const GraphNode& node : graph_.nodes) {
      for (size_t a = 0; node.kind == Kind::kOutput && a < node.arguments.size(); ++a) {
        for (const Piece& piece : views_[node.arguments[a]]) {
          if (piece.source == source && piece.resampled == resampled && piece.first < site.first + site.count &&
              site.first < piece.first + piece.count) {
            return true;
          }
        }
      }
    }
    return false;
  }

  std::string name_of(size_t source, const Site& site, const std::vector<std::vector<size_t>>& variants,
                      const std::vector<size_t>& resampled, const at::Tensor& units) {
    const GraphNode& node = graph_.nodes[source];
    std::string name = node.name;
    if (node.kind == Kind::kSum) {
      size_t number = 0;
      for (size_t i = 0; i < source; ++i) {
        const bool counts = graph_.nodes[i].kind == Kind::kSum && graph_.nodes[i].name == node.name &&
                            std::any_of(sites_.at(i).begin(), sites_.at(i).end(),
                                        [&](const Site& other) { return !is_absorbed(i, other); });
        number += counts ? 1 : 0;
      }
      name += std::to_string(number);
    }
    if (site.part) {
      name += "[" + std::to_string(site.first) + ":" + std::to_string(site.first + site.count) + "]";
    }
    if (resampled != variants[0]) {
      for (int64_t d = 2; d < units.dim(); ++d) {
        name += (d == 2 ? "@" : "x") + std::to_string(units.size(d));
      }
    }
    const int clash = ++taken_[name];
    return clash > 1 ? name + "#" + std::to_string(clash) : name;
  }

  const Graph& graph_;
  std::vector<View> views_;
  std::map<size_t, std::vector<Site>> sites_;
  std::map<std::pair<size_t, size_t>, std::vector<std::vector<size_t>>> variants_;
  std::map<std::pair<size_t, std::vector<size_t>>, at::Tensor> leaves_;
  std::map<size_t, at::Tensor> written_;
  std::map<std::string, int> taken_;
  std::vector<std::pair<int64_t, int64_t>> ranges_;
};

}  // namespace

at::Tensor Graph::forward(const at::Tensor& x) const {
  std::vector<at::Tensor> values;
  for (const GraphNode& node : nodes) {
    std::vector<at::Tensor> arguments;
    for (const size_t argument : node.arguments) {
      arguments.push_back(values[argument]);
    }
    values.push_back(node.kind == Kind::kInput ? x : node.run(arguments));
  }
  return values.back();
}

dynascope::Network Graph::trace() const {
  std::vector<int64_t> sizes = nodes[0].sizes;
  sizes[0] = 2;
  const at::Tensor x = torch::randn(sizes);
  return dynascope::trace(const_cast<torch::nn::Module&>(module), [&] { return forward(x); });
}

std::vector<ExpectedLayer> expected_layers(const Graph& graph) { return Expectation(graph).run(); }

}  // namespace oracle
