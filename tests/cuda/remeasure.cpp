// SPDX-License-Identifier: BSD-3-Clause

// Measures the parameters that a run file recorded once more, on the CPU or by the kernels on the host stand-in, and
// compares every value of every row with the file's, bit by bit.
//
//   cuda_remeasure RUN.h5 --model mlp --side 28 [--backend cpu|host_device]
//
// Exit status: 0 equal, 1 different (each dataset is named), 2 it could not be done.

#include "support/host_device_backend.hpp"
#include "train/models.hpp"

#include <dynascope/run_file.hpp>
#include <dynascope/trace.hpp>

#include <CLI/CLI.hpp>
#include <torch/torch.h>

#include <cstring>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace dynascope::test {
namespace {

struct Request {
  std::string run, model = "mlp", backend = "cpu";
  int64_t side = 28, classes = 10;
};

void set_parameters(torch::nn::Module& model, const RunFile& file, int64_t row) {
  const torch::NoGradGuard no_grad;
  for (const auto& parameter : model.named_parameters()) {
    const std::vector<double> values = file.read("/parameters/" + escape_name(parameter.key()), row, 1);
    const torch::Tensor& target = parameter.value();
    if (static_cast<int64_t>(values.size()) != target.numel()) {
      throw std::runtime_error(parameter.key() + " has " + std::to_string(values.size()) + " values in the run, but " +
                               std::to_string(target.numel()) + " in the network");
    }
    target.copy_(torch::tensor(values, torch::kDouble).view(target.sizes()));
  }
}

double value_at(const std::byte* at, RowType type) {
  if (type == RowType::kFloat32) {
    float value = 0;
    std::memcpy(&value, at, sizeof value);
    return static_cast<double>(value);
  }
  if (type == RowType::kInt64) {
    int64_t value = 0;
    std::memcpy(&value, at, sizeof value);
    return static_cast<double>(value);
  }
  double value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// float32 and counts are exact as doubles, so equal doubles are equal bits.
int64_t differences(const Span& span, const std::byte* row, const std::vector<double>& recorded) {
  int64_t different = 0;
  for (int64_t i = 0; i < span.count; ++i) {
    const double value = value_at(row + span.offset + i * size_of(span.type), span.type);
    const double& other = recorded.at(static_cast<size_t>(i));
    different += std::memcmp(&value, &other, sizeof value) == 0 ? 0 : 1;
  }
  return different;
}

int run(const Request& request) {
  const RunFile file(request.run);
  const auto model = examples::make_model(request.model, request.side, request.classes);
  const Network network = trace(*model, [&] {
    return model->forward(torch::zeros({1, 1, request.side, request.side}));
  });
  engine::PlanOptions options;
  options.metrics = file.description().metrics;
  options.components = file.description().components;
  options.histogram = Histogram::kEveryRow;
  options.histogram_bins = file.description().histogram_bins;
  engine::Plan plan(network, options);
  plan.set_histogram_edges(file.description().histogram_edges);
  const auto backend = request.backend == "cpu" ? engine::make_backend(plan, 1) : make_host_device_backend(plan, 1);

  std::map<std::string, int64_t> different;
  int64_t values = 0;
  for (int64_t row = 0; row < file.rows(); ++row) {
    set_parameters(*model, file, row);
    const bool counted = file.read("/links/histogram", row, 1).at(0) >= 0;
    backend->measure(0, counted);
    backend->wait(0);
    for (const Span& span : plan.layout().spans()) {
      values += span.count;
      if (const int64_t count = differences(span, backend->row(0), file.read(span.path, row, 1)); count > 0) {
        different[span.path] += count;
      }
    }
  }
  for (const auto& [path, count] : different) {
    std::cout << path << ": " << count << " values differ\n";
  }
  std::cout << file.rows() << " rows, " << values << " values of " << file.description().device << " measured again by "
            << backend->name() << ", " << (different.empty() ? "equal in every bit" : "not equal") << '\n';
  if (file.rows() == 0) {
    throw std::runtime_error("the run has no rows");
  }
  return different.empty() ? 0 : 1;
}

}  // namespace
}  // namespace dynascope::test

int main(int argc, char** argv) {
  dynascope::test::Request request;
  CLI::App app("Measures recorded parameters again and compares bit by bit");
  app.add_option("RUN", request.run)->required();
  app.add_option("--model", request.model);
  app.add_option("--side", request.side, "Of the images");
  app.add_option("--backend", request.backend)->check(CLI::IsMember({"cpu", "host_device"}));
  CLI11_PARSE(app, argc, argv);
  try {
    return dynascope::test::run(request);
  } catch (const std::exception& error) {
    std::cerr << "cuda_remeasure: " << error.what() << '\n';
    return 2;
  }
}
