// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Published networks on tokens and sequences, and tied ones.

#include "convolutional.hpp"

#include <cmath>

namespace dynascope::test::zoo {

/// Pre-norm transformer block with one projection for q, k and v.
struct Block : Model {
  nn::LayerNorm norm1, norm2;
  nn::Linear qkv, out, wide, narrow;
  int64_t heads;
  bool causal;
  Block(int64_t width, int64_t head_count, bool is_causal)
      : norm1(register_module("norm1", nn::LayerNorm(nn::LayerNormOptions({width})))),
        norm2(register_module("norm2", nn::LayerNorm(nn::LayerNormOptions({width})))),
        qkv(linear("qkv", width, 3 * width)),
        out(linear("out", width, width)),
        wide(linear("wide", width, 4 * width)),
        narrow(linear("narrow", 4 * width, width)),
        heads(head_count),
        causal(is_causal) {}
  Tensor attend(const Tensor& x) {
    const int64_t batch = x.size(0), tokens = x.size(1), width = x.size(2);
    std::vector<Tensor> parts;
    for (const Tensor& part : qkv(x).chunk(3, -1)) {
      parts.push_back(part.view({batch, tokens, heads, width / heads}).transpose(1, 2));
    }
    Tensor scores = torch::matmul(parts[0], parts[1].transpose(-2, -1)) / std::sqrt(double(width / heads));
    if (causal) {
      const Tensor mask = torch::ones({tokens, tokens}, x.options()).tril();
      scores = scores.masked_fill(mask == 0, -1e9);
    }
    const Tensor mixed = torch::matmul(scores.softmax(-1), parts[2]);
    return out(mixed.transpose(1, 2).contiguous().view({batch, tokens, width}));
  }
  Tensor forward(const Tensor& x) override {
    const Tensor h = x + attend(norm1(x));
    return h + narrow(torch::gelu(wide(norm2(h))));
  }
};

/// GPT-2 small (Radford et al. 2019), its head tied to the token table.
struct Gpt2 : Model {
  nn::Embedding tokens = register_module("wte", nn::Embedding(50257, 768));
  nn::Embedding positions = register_module("wpe", nn::Embedding(1024, 768));
  std::vector<std::shared_ptr<Block>> blocks;
  nn::LayerNorm last = register_module("ln_f", nn::LayerNorm(nn::LayerNormOptions({768})));
  Gpt2() {
    for (int i = 0; i < 12; ++i) {
      blocks.push_back(register_module("h" + std::to_string(i), std::make_shared<Block>(768, 12, true)));
    }
  }
  Tensor forward(const Tensor& text) override {
    const Tensor where = torch::arange(text.size(1), text.options());
    Tensor h = tokens(text) + positions(where);
    for (const auto& block : blocks) {
      h = block->forward(h);
    }
    return nn::functional::linear(last(h), tokens->weight);
  }
};

/// ViT-B/16 (Dosovitskiy et al. 2020) for 224 x 224 images and 1,000 classes.
struct VitB16 : Model {
  nn::Conv2d patches = conv("patches", nn::Conv2dOptions(3, 768, 16).stride(16));
  Tensor class_token = register_parameter("class_token", torch::zeros({1, 1, 768}));
  Tensor positions = register_parameter("positions", torch::randn({1, 197, 768}));
  std::vector<std::shared_ptr<Block>> blocks;
  nn::LayerNorm last = register_module("norm", nn::LayerNorm(nn::LayerNormOptions({768})));
  nn::Linear head = linear("head", 768, 1000);
  VitB16() {
    for (int i = 0; i < 12; ++i) {
      blocks.push_back(register_module("block" + std::to_string(i), std::make_shared<Block>(768, 12, false)));
    }
  }
  Tensor forward(const Tensor& x) override {
    const Tensor cells = patches(x).flatten(2).transpose(1, 2);
    Tensor h = torch::cat({class_token.expand({x.size(0), -1, -1}), cells}, 1) + positions;
    for (const auto& block : blocks) {
      h = block->forward(h);
    }
    return head(last(h).select(1, 0));
  }
};

/// Torch's own encoder and decoder (Vaswani et al. 2017), small.
struct EncoderDecoder : Model {
  nn::Embedding source = register_module("source", nn::Embedding(20, 16));
  nn::Embedding target = register_module("target", nn::Embedding(30, 16));
  nn::Transformer transformer = register_module(
      "transformer",
      nn::Transformer(nn::TransformerOptions(16, 4).num_encoder_layers(2).num_decoder_layers(2).dim_feedforward(32)));
  nn::Linear head = linear("head", 16, 30);
  Tensor forward(const Tensor& text) override {
    return head(transformer->forward(source(text), target(text.slice(0, 0, 3))));
  }
};

/// Two bidirectional LSTM layers over embedded words, classified by their last states.
struct BiLstm : Model {
  nn::Embedding words = register_module("words", nn::Embedding(50, 12));
  nn::LSTM lstm =
      register_module("lstm", nn::LSTM(nn::LSTMOptions(12, 8).num_layers(2).bidirectional(true).batch_first(true)));
  nn::Linear head = linear("head", 16, 3);
  Tensor forward(const Tensor& text) override {
    const auto states = std::get<1>(lstm->forward(words(text)));
    const Tensor last = std::get<0>(states);
    return head(torch::cat({last[-2], last[-1]}, 1));
  }
};

/// Decoder weights are the encoder's, transposed.
struct TiedAutoencoder : Model {
  nn::Linear wide = linear("wide", 64, 32), code = linear("code", 32, 8);
  Tensor back1 = register_parameter("back1", torch::zeros({32})),
         back2 = register_parameter("back2", torch::zeros({64}));
  Tensor forward(const Tensor& x) override {
    const Tensor z = code(torch::relu(wide(x)));
    const Tensor h = torch::relu(nn::functional::linear(z, code->weight.t(), back1));
    return nn::functional::linear(h, wide->weight.t(), back2);
  }
};

}  // namespace dynascope::test::zoo
