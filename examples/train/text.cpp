// SPDX-License-Identifier: BSD-3-Clause
#include "text.hpp"

#include <torch/torch.h>

#include <random>
#include <string>
#include <vector>

namespace examples {
namespace {

constexpr const char* kAlphabet = "abcdefghijklmnopqrstuvwxyz. ";

std::string number(uint64_t n) {
  static const std::vector<std::string> kNames = {
      "zero", "one",    "two",    "three",    "four",     "five",    "six",     "seven",     "eight",    "nine",
      "ten",  "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
  return n < 20 ? kNames[n] : "twenty";
}

/// Windows one after the other; the text is one character longer than they are.
LabelledImages windows(std::mt19937_64& random, int64_t count, int64_t length) {
  const std::string alphabet = kAlphabet;
  std::vector<int64_t> text;
  while (static_cast<int64_t>(text.size()) <= count * length) {
    const uint64_t a = random() % 11, b = random() % 11;
    for (const char c : number(a) + " plus " + number(b) + " is " + number(a + b) + ". ") {
      text.push_back(static_cast<int64_t>(alphabet.find(c)));
    }
  }
  const torch::Tensor all = torch::tensor(text, torch::kLong);
  return {all.slice(0, 0, count * length).view({count, length}).clone(),
          all.slice(0, 1, count * length + 1).view({count, length}).clone()};
}

}  // namespace

DataSet make_text(uint64_t seed) {
  constexpr int64_t kLength = 64;
  std::mt19937_64 random(seed);
  DataSet data;
  data.train = windows(random, 1500, kLength);
  data.test = windows(random, 300, kLength);
  data.classes = static_cast<int64_t>(std::string(kAlphabet).size());
  return data;
}

}  // namespace examples
