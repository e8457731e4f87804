// SPDX-License-Identifier: BSD-3-Clause
// Torch's own recurrent, attention and table modules in all their options: every node layer, drawn by hand.
#include "sequence.hpp"

#include <algorithm>
#include <functional>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

namespace oracle {
namespace {

namespace F = torch::nn::functional;

class Modules : public Sequence {
 protected:
  bool has(const std::string& name) { return net.named_parameters().contains(name); }

  /// A bias, or nothing where there is none.
  Tensor bias(const std::string& name, int64_t units) {
    return has(name) ? gates(name, units) : Tensor(at::zeros({units}));
  }

  /// Incoming links of the hidden units of one direction, from its input and from themselves.
  Tensor written(const std::string& module, const std::string& suffix, int64_t units) {
    const auto name = [&](const std::string& what) { return module + "." + what + suffix; };
    return gates(name("weight_ih"), units) + gates(name("weight_hh"), units) + bias(name("bias_ih"), units) +
           bias(name("bias_hh"), units);
  }

  /// What layer `l` of a recurrent module adds to the out-strength of what it reads.
  Tensor read_by(const std::string& module, int64_t layer, bool both) {
    const std::string name = module + ".weight_ih_l" + std::to_string(layer);
    return columns(parameter(name)) + (both ? columns(parameter(name + "_reverse")) : at::zeros({}));
  }

  Expected recurrent(int64_t layers, bool both, int64_t units, bool projected, const nn::Linear& head) {
    Expected expected = {{"input", 1 + read_by("rnn", 0, both)}};
    for (int64_t l = 0; l < layers; ++l) {
      const std::string name = "rnn.l" + std::to_string(l);
      std::vector<Tensor> hidden, outputs;
      for (const std::string direction : {"", "_reverse"}) {
        const std::string suffix = "_l" + std::to_string(l) + direction;
        if (!both && !direction.empty()) {
          continue;
        }
        const Tensor again = columns(parameter("rnn.weight_hh" + suffix));
        if (projected) {
          const Tensor projection = parameter("rnn.weight_hr" + suffix);
          hidden.push_back(written("rnn", suffix, units) + columns(projection));
          outputs.push_back(rows(projection) + again);
        } else {
          outputs.push_back(written("rnn", suffix, units) + again);
        }
      }
      if (projected) {
        expected.emplace_back(name + ".hidden", at::cat(hidden));
      }
      expected.emplace_back(name,
                            at::cat(outputs) + (l + 1 < layers ? read_by("rnn", l + 1, both) : columns(head->weight)));
    }
    expected.emplace_back("head", in(head) + 1);
    return expected;
  }

  /// One attention of `width` units between `query` and `memory` node layers; adds its node layers to `expected`.
  /// @return rows of what it adds to the residual stream
  Tensor attention(const std::string& name, int64_t width, Expected& expected) {
    const Tensor w = parameter(name + ".in_proj_weight"), b = parameter(name + ".in_proj_bias");
    const Tensor out = parameter(name + ".out_proj.weight");
    for (int64_t part = 0; part < 3; ++part) {
      const int64_t first = part * width;
      const std::string range = "[" + std::to_string(first) + ":" + std::to_string(first + width) + "]";
      expected.emplace_back(name + range, rows(w.narrow(0, first, width)) + b.narrow(0, first, width) +
                                              (part == 2 ? columns(out) : at::zeros({width})));
    }
    return rows(out) + parameter(name + ".out_proj.bias");
  }

  Tensor written_by(const std::string& linear) {
    return rows(parameter(linear + ".weight")) + parameter(linear + ".bias");
  }
  Tensor read_by_linear(const std::string& linear) { return columns(parameter(linear + ".weight")); }
};

TEST_F(Modules, RecurrentLayersInAllTheirOptions) {
  const int64_t units = 4;
  for (const std::string kind : {"lstm", "gru", "tanh", "relu"}) {
    for (int64_t options = 0; options < 32; ++options) {
      const bool two = options & 1, both = options & 2, biased = options & 4, batch_first = options & 8;
      const bool projected = options & 16;
      if (projected && kind != "lstm") {
        continue;
      }
      SCOPED_TRACE(kind + " " + std::to_string(options));
      SetUp();
      net = nn::Module();
      const Tensor x = torch::randn({5, 2, 3});
      std::function<Tensor()> run;
      const auto configure = [&](auto given) {
        return given.num_layers(two ? 2 : 1).bidirectional(both).bias(biased).batch_first(batch_first);
      };
      if (kind == "lstm") {
        auto rnn =
            net.register_module("rnn", nn::LSTM(configure(nn::LSTMOptions(3, units)).proj_size(projected ? 2 : 0)));
        run = [=]() mutable { return std::get<0>(rnn->forward(x)); };
      } else if (kind == "gru") {
        auto rnn = net.register_module("rnn", nn::GRU(configure(nn::GRUOptions(3, units))));
        run = [=]() mutable { return std::get<0>(rnn->forward(x)); };
      } else {
        auto given = configure(nn::RNNOptions(3, units));
        kind == "tanh" ? given.nonlinearity(torch::kTanh) : given.nonlinearity(torch::kReLU);
        auto rnn = net.register_module("rnn", nn::RNN(given));
        run = [=]() mutable { return std::get<0>(rnn->forward(x)); };
      }
      auto head = linear("head", (projected ? 2 : units) * (both ? 2 : 1), 2);
      const auto network = dynascope::trace(net, [&] { return head(torch::relu(run())); });
      expect_network(network, recurrent(two ? 2 : 1, both, units, projected, head));
    }
  }
}

TEST_F(Modules, PackedSequencesAreTheSameLayers) {
  auto rnn = net.register_module("rnn", nn::LSTM(nn::LSTMOptions(3, 4).num_layers(2).bidirectional(true)));
  auto head = linear("head", 8, 2);
  const Tensor x = torch::randn({5, 3, 3}), lengths = torch::tensor({5, 3, 2});
  const auto network = dynascope::trace(net, [&] {
    const auto packed = nn::utils::rnn::pack_padded_sequence(x, lengths);
    const auto made = std::get<0>(rnn->forward_with_packed_input(packed));
    return head(std::get<0>(nn::utils::rnn::pad_packed_sequence(made)));
  });
  const Expected expected = recurrent(2, true, 4, false, head);
  for (const auto& [name, strength] : expected) {
    SCOPED_TRACE(name);
    if (name != "head" && name != "rnn.l1" && name != "input") {
      expect_close(units_of(network, name), strength);
    }
  }
}

TEST_F(Modules, CellsOfEveryKindInALoop) {
  for (const bool biased : {true, false}) {
    SetUp();
    net = nn::Module();
    auto lstm = net.register_module("lstm", nn::LSTMCell(nn::LSTMCellOptions(3, 4).bias(biased)));
    auto gru = net.register_module("gru", nn::GRUCell(nn::GRUCellOptions(4, 5).bias(biased)));
    auto tanh = net.register_module("tanh", nn::RNNCell(nn::RNNCellOptions(5, 6).bias(biased)));
    auto relu =
        net.register_module("relu", nn::RNNCell(nn::RNNCellOptions(6, 2).bias(biased).nonlinearity(torch::kReLU)));
    const Tensor x = torch::randn({4, 2, 3});
    const auto network = dynascope::trace(net, [&] {
      std::tuple<Tensor, Tensor> state;
      Tensor a, b, c;
      std::vector<Tensor> outputs;
      for (int64_t t = 0; t < x.size(0); ++t) {
        state = t == 0 ? lstm->forward(x[t]) : lstm->forward(x[t], state);
        a = gru->forward(std::get<0>(state), a);
        b = tanh->forward(a, b);
        c = relu->forward(b, c);
        outputs.push_back(c);
      }
      return torch::stack(outputs);
    });
    const auto layer = [&](const std::string& name, int64_t units, const std::string& reader) {
      return written(name, "", units) + columns(parameter(name + ".weight_hh")) +
             (reader.empty() ? at::ones({units}) : columns(parameter(reader + ".weight_ih")));
    };
    expect_network(network, {{"input", 1 + columns(parameter("lstm.weight_ih"))},
                             {"lstm", layer("lstm", 4, "gru")},
                             {"gru", layer("gru", 5, "tanh")},
                             {"tanh", layer("tanh", 6, "relu")},
                             {"relu", layer("relu", 2, "")}});
  }
}

TEST_F(Modules, AttentionWithConstantsMasksAndOneMemory) {
  const Tensor x = torch::randn({5, 2, 6}), memory = torch::randn({7, 2, 6});
  const Tensor mask = torch::zeros({5, 7}), padding = torch::zeros({2, 7}, at::kBool);
  struct Case {
    std::string name;
    nn::MultiheadAttentionOptions options;
    bool self, weights;
  };
  const nn::MultiheadAttentionOptions plain(6, 2);
  const std::vector<Case> cases = {
      {"itself", plain, true, true},
      {"itself, no weights", plain, true, false},
      {"memory", plain, false, true},
      {"constant keys", nn::MultiheadAttentionOptions(plain).add_bias_kv(true), false, true},
      {"zero keys", nn::MultiheadAttentionOptions(plain).add_zero_attn(true), false, true},
      {"both, itself", nn::MultiheadAttentionOptions(plain).add_bias_kv(true).add_zero_attn(true), true, false}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    SetUp();
    net = nn::Module();
    auto attn = net.register_module("attn", nn::MultiheadAttention(c.options));
    auto head = linear("head", 6, 2);
    const auto network = dynascope::trace(net, [&] {
      const Tensor& keys = c.self ? x : memory;
      const Tensor hidden = c.self ? Tensor() : padding;
      return head(std::get<0>(attn->forward(x, keys, keys, hidden, c.weights, c.self ? Tensor() : mask)));
    });
    Expected expected;
    const Tensor out = attention("attn", 6, expected);
    const Tensor w = parameter("attn.in_proj_weight");
    if (c.self) {
      expected.emplace_back("input", 1 + columns(w));
    } else {
      expected.emplace_back("input0", 1 + columns(w.narrow(0, 0, 6)));
      expected.emplace_back("input1", 1 + columns(w.narrow(0, 6, 12)));
    }
    expected.emplace_back("attn.out_proj", out + columns(head->weight));
    expected.emplace_back("head", in(head) + 1);
    expect_network(network, expected);
  }
}

TEST_F(Modules, EncoderLayersAddToOneStream) {
  const auto layer =
      nn::TransformerEncoderLayer(nn::TransformerEncoderLayerOptions(6, 2).dim_feedforward(5).activation(torch::kGELU));
  auto encoder = net.register_module("encoder", nn::TransformerEncoder(nn::TransformerEncoderOptions(layer, 2).norm(
                                                    nn::AnyModule(nn::LayerNorm(nn::LayerNormOptions({6}))))));
  auto head = linear("head", 6, 2);
  const Tensor x = torch::randn({4, 3, 6});
  const auto network = dynascope::trace(net, [&] { return head(encoder->forward(x)); });
  Expected expected;
  std::string stream = "input";
  Tensor written = at::ones({6}, at::kDouble);
  for (int64_t l = 0; l < 2; ++l) {
    const std::string name = "encoder.layers." + std::to_string(l);
    expected.emplace_back(stream, written + columns(parameter(name + ".self_attn.in_proj_weight")) + 1);
    const Tensor attended = attention(name + ".self_attn", 6, expected);
    expected.emplace_back("add" + std::to_string(2 * l), attended + 1 + read_by_linear(name + ".linear1") + 1);
    expected.emplace_back(name + ".linear1", written_by(name + ".linear1") + read_by_linear(name + ".linear2"));
    stream = "add" + std::to_string(2 * l + 1);
    written = written_by(name + ".linear2") + 1;
  }
  expected.emplace_back(stream, written + columns(head->weight));
  expected.emplace_back("head", in(head) + 1);
  expect_network(network, expected);
}

TEST_F(Modules, DecoderLayersReadTheMemoryBeside) {
  auto decoder = net.register_module(
      "decoder", nn::TransformerDecoder(
                     nn::TransformerDecoderLayer(nn::TransformerDecoderLayerOptions(6, 2).dim_feedforward(5)), 2));
  auto head = linear("head", 6, 2);
  const Tensor x = torch::randn({4, 3, 6}), memory = torch::randn({7, 3, 6});
  const auto network = dynascope::trace(net, [&] { return head(decoder->forward(x, memory)); });
  Expected expected;
  std::string stream = "input0";
  Tensor written = at::ones({6}, at::kDouble), remembered = at::ones({6}, at::kDouble);
  for (int64_t l = 0; l < 2; ++l) {
    const std::string name = "decoder.layers." + std::to_string(l), number = std::to_string(l);
    const auto add = [&](int64_t i) { return "add" + std::to_string(3 * l + i); };
    const Tensor cross = parameter(name + ".multihead_attn.in_proj_weight");
    expected.emplace_back(stream, written + columns(parameter(name + ".self_attn.in_proj_weight")) + 1);
    const Tensor attended = attention(name + ".self_attn", 6, expected);
    expected.emplace_back(add(0), attended + 1 + columns(cross.narrow(0, 0, 6)) + 1);
    remembered = remembered + columns(cross.narrow(0, 6, 12));
    const Tensor looked_up = attention(name + ".multihead_attn", 6, expected);
    expected.emplace_back(add(1), looked_up + 1 + read_by_linear(name + ".linear1") + 1);
    expected.emplace_back(name + ".linear1", written_by(name + ".linear1") + read_by_linear(name + ".linear2"));
    stream = add(2);
    written = written_by(name + ".linear2") + 1;
  }
  expected.emplace_back("input1", remembered);
  expected.emplace_back(stream, written + columns(head->weight));
  expected.emplace_back("head", in(head) + 1);
  expect_network(network, expected);
}

TEST_F(Modules, TablesInAllTheirModes) {
  const Tensor words = torch::randint(7, {3, 4}), flat = torch::randint(7, {6}), offsets = torch::tensor({0, 2});
  const Tensor factors = torch::rand({6});
  const nn::EmbeddingBagOptions options(7, 5);
  const auto bag = [&](auto mode) {
    return net.register_module("table", nn::EmbeddingBag(nn::EmbeddingBagOptions(options).mode(mode)));
  };
  // Registers the table and says how it is used.
  const std::vector<std::pair<std::string, std::function<std::function<Tensor()>()>>> cases = {
      {"embedding",
       [&] {
         return [&, m = net.register_module("table", nn::Embedding(7, 5))]() mutable { return m->forward(words); };
       }},
      {"padding entry",
       [&] {
         return
             [&, m = net.register_module("table", nn::Embedding(nn::EmbeddingOptions(7, 5).padding_idx(2)))]() mutable {
               return m->forward(words);
             };
       }},
      {"sum", [&] { return [&, m = bag(torch::kSum)]() mutable { return m->forward(flat, offsets); }; }},
      {"mean", [&] { return [&, m = bag(torch::kMean)]() mutable { return m->forward(words); }; }},
      {"max", [&] { return [&, m = bag(torch::kMax)]() mutable { return m->forward(words); }; }},
      {"weighted", [&] { return [&, m = bag(torch::kSum)]() mutable { return m->forward(flat, offsets, factors); }; }},
      {"functional", [&] {
         return [&, w = net.register_parameter("weights", torch::randn({7, 5}))] { return F::embedding(words, w); };
       }}};
  for (const auto& [name, look_up] : cases) {
    SCOPED_TRACE(name);
    SetUp();
    net = nn::Module();
    auto head = linear("head", 5, 2);
    const auto run = look_up();
    const bool functional = name == "functional";
    const Tensor table = parameter(functional ? "weights" : "table.weight");
    const auto network = dynascope::trace(net, [&] { return head(torch::relu(run())); });
    expect_network(network, {{"input", 1 + rows(table)},
                             {functional ? "weights" : "table", columns(table) + columns(head->weight)},
                             {"head", in(head) + 1}});
  }
}

/// Rule 8 for what is not placed: nothing of a cell written by hand is counted once per step, and the reason is said.
TEST_F(Modules, CellsWrittenByHandAreNamedAndNotMeasuredPerStep) {
  const Tensor x = torch::randn({4, 2, 3});
  const Tensor start = net.register_buffer("start", torch::zeros({2, 5}));
  auto before = linear("before", 3, 3), ih = linear("ih", 3, 5), hh = linear("hh", 5, 5), head = linear("head", 5, 2);
  auto both = linear("both", 8, 5);
  const Tensor w = net.register_parameter("cell_w", torch::randn({20, 3}));
  const Tensor u = net.register_parameter("cell_u", torch::randn({20, 5}));
  const auto loop = [&](const std::function<Tensor(const Tensor&, const Tensor&)>& step) {
    return [&, step] {
      Tensor h = start;
      const Tensor y = before(x);
      for (int64_t t = 0; t < x.size(0); ++t) {
        h = step(y[t], h);
      }
      return head(h);
    };
  };
  Tensor c;
  const std::vector<std::tuple<std::string, std::function<Tensor(const Tensor&, const Tensor&)>, std::string>> cells = {
      {"two modules", [&](const Tensor& now, const Tensor& h) { return torch::tanh(ih(now) + hh(h)); }, "hh.weight"},
      {"joined",
       [&](const Tensor& now, const Tensor& h) {
         return torch::tanh(both(torch::cat({now, h}, 1)));
       },
       "both.weight"},
      {"gates",
       [&](const Tensor& now, const Tensor& h) {
         const auto gates = (torch::linear(now, w) + torch::linear(h, u)).chunk(4, 1);
         const Tensor fresh = torch::sigmoid(gates[0]) * torch::tanh(gates[1]);
         c = h.is_same(start) ? fresh : torch::sigmoid(gates[2]) * c + fresh;
         return torch::sigmoid(gates[3]) * torch::tanh(c);
       },
       "cell_u"}};
  for (const auto& [name, step, weight] : cells) {
    SCOPED_TRACE(name);
    const auto network = dynascope::trace(net, loop(step));
    std::ostringstream text;
    text << network;
    SCOPED_TRACE(text.str());
    const auto said = std::find_if(network.skipped.begin(), network.skipped.end(),
                                   [&, own = weight](const auto& skipped) { return skipped.name == own; });
    ASSERT_NE(said, network.skipped.end());
    EXPECT_NE(said->reason.find("recurrent layer"), std::string::npos) << said->reason;
    EXPECT_EQ(node_names(network), (std::vector<std::string>{"input", "head"}));
    expect_close(units_of(network, "input"), 1 + columns(before->weight));
    expect_close(units_of(network, "head"), in(head) + 1);
    std::vector<std::string> weights = weight_names(network);
    EXPECT_TRUE(std::none_of(weights.begin(), weights.end(), [](const std::string& own) {
      return own.find('#') != std::string::npos;
    })) << "a step in time is no layer of its own";
  }
}

}  // namespace
}  // namespace oracle
