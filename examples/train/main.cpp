// SPDX-License-Identifier: BSD-3-Clause
// Trains a network on real handwritten digits, or a transformer on text, and records how its node strengths and layer
// fluctuations develop. It uses the library as any program would: a model, an optimizer and a data loader go into a
// TrainingLoop, a Monitor and a ProgressBar are registered as callbacks, and the accuracy on the test set is logged
// with every epoch. With one seed the CPU gives the same run again.
#include "data.hpp"
#include "models.hpp"
#include "text.hpp"

#include <dynascope/dynascope.hpp>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <torch/torch.h>

#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

struct Options {
  std::string model = "mlp";
  std::string data = "digits";
  std::string data_root;
  int64_t epochs = 10;
  int64_t batch_size = 32;
  std::string optimizer = "sgd";
  std::optional<double> lr;
  uint64_t seed = 1;
  std::string device = "auto";
  std::string out = "run.h5";
  int64_t every_n_steps = 0;
  std::string granularity = "unit";
  bool components = false;
  bool record_parameters = false;
  bool overwrite = false;

  double learning_rate() const { return lr.value_or(optimizer == "adam" ? 0.001 : 0.1); }
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("--model", options.model, "Network: mlp, cnn, resnet18, lstm or transformer")->capture_default_str();
  app.add_option("--data", options.data,
                 "digits (8 x 8, comes with the set-up), mnist (28 x 28), or text (made with the seed; for a\n"
                 "transformer that guesses the next character)")
      ->check(CLI::IsMember({"digits", "mnist", "text"}))
      ->capture_default_str();
  app.add_option("--data-root", options.data_root,
                 "Folder with the IDX files: all four, or the test pair alone, which is then split four to one\n"
                 "(default: " DYNASCOPE_DATA_DIR "/<data>)");
  app.add_option("--epochs", options.epochs)->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--batch-size", options.batch_size)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--optimizer", options.optimizer, "sgd or adam")
      ->check(CLI::IsMember({"sgd", "adam"}))
      ->capture_default_str();
  app.add_option("--lr", options.lr, "Learning rate (default: 0.1 for sgd, 0.001 for adam)")
      ->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "Seed of start values, order and split")->capture_default_str();
  app.add_option("--device", options.device, "auto takes the GPU where there is one")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--out", options.out, "Run file to write")->capture_default_str();
  app.add_option("--every-n-steps", options.every_n_steps, "A row every N steps beside those at epoch ends; 0: none")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--granularity", options.granularity, "A node of a convolution: unit or channel")
      ->check(CLI::IsMember({"unit", "channel"}))
      ->capture_default_str();
  app.add_flag("--components", options.components, "Store in-strength and out-strength too");
  app.add_flag("--record-parameters", options.record_parameters, "Store all parameters in every row");
  app.add_flag("--overwrite", options.overwrite, "Replace an existing run file");
  app.set_version_flag("--version", "dynascope-train " DYNASCOPE_VERSION);
}

torch::Device choose_device(const std::string& name) {
  const bool available = torch::cuda::is_available();
  if (name == "cuda" && !available) {
    throw std::runtime_error("--device cuda needs a GPU that LibTorch can use, found none; use cpu or auto");
  }
  return name == "cpu" || !available ? torch::kCPU : torch::kCUDA;
}

examples::DataSet load_data(const Options& options, torch::Device device) {
  const std::string root = options.data_root.empty() ? DYNASCOPE_DATA_DIR "/" + options.data : options.data_root;
  examples::DataSet data =
      options.data == "text" ? examples::make_text(options.seed) : examples::load_images(root, options.seed);
  for (auto* part : {&data.train, &data.test}) {
    part->images = part->images.to(device);
    part->labels = part->labels.to(device);
  }
  return data;
}

// Whole batches by one index_select: an image at a time costs more than the training of networks this small.
class Batches final : public torch::data::datasets::BatchDataset<Batches, torch::data::Example<>> {
 public:
  explicit Batches(examples::LabelledImages data) : data_(std::move(data)) {}

  torch::data::Example<> get_batch(c10::ArrayRef<size_t> indices) override {
    const std::vector<int64_t> wanted(indices.begin(), indices.end());
    const auto chosen = torch::tensor(wanted, torch::kLong).to(data_.labels.device());
    return {data_.images.index_select(0, chosen), data_.labels.index_select(0, chosen)};
  }

  std::optional<size_t> size() const override { return static_cast<size_t>(data_.size()); }

 private:
  examples::LabelledImages data_;
};

std::unique_ptr<torch::optim::Optimizer> make_optimizer(const Options& options, torch::nn::Module& model) {
  if (options.optimizer == "adam") {
    return std::make_unique<torch::optim::Adam>(model.parameters(), options.learning_rate());
  }
  return std::make_unique<torch::optim::SGD>(model.parameters(), options.learning_rate());
}

double accuracy(examples::Classifier& model, const examples::LabelledImages& data) {
  constexpr int64_t kBatch = 1000;
  const torch::NoGradGuard no_gradients;
  int64_t right = 0;
  for (int64_t first = 0; first < data.size(); first += kBatch) {
    const auto guess = model.forward(data.images.slice(0, first, first + kBatch)).argmax(1);
    right += guess.eq(data.labels.slice(0, first, first + kBatch)).sum().item<int64_t>();
  }
  return static_cast<double>(right) / static_cast<double>(data.labels.numel());
}

dynascope::MonitorOptions monitor_options(const Options& options) {
  const nlohmann::json config{{"model", options.model},
                              {"data", options.data},
                              {"epochs", options.epochs},
                              {"batch_size", options.batch_size},
                              {"optimizer", options.optimizer},
                              {"lr", options.learning_rate()},
                              {"seed", options.seed}};
  return dynascope::MonitorOptions(options.out)
      .scalars({"loss", "accuracy"})
      .every_n_steps(options.every_n_steps)
      .granularity(options.granularity == "unit" ? dynascope::Granularity::kUnit : dynascope::Granularity::kChannel)
      .components(options.components)
      .record_parameters(options.record_parameters)
      .overwrite(options.overwrite)
      .title(options.model + " on " + options.data)
      .config(config.dump());
}

void train(const Options& options) {
  torch::manual_seed(options.seed);
  const torch::Device device = choose_device(options.device);
  const examples::DataSet data = load_data(options, device);
  const int64_t length = data.train.images.size(-1);
  const auto model = options.data == "text" ? examples::make_text_model(options.model, length, data.classes)
                                            : examples::make_model(options.model, length, data.classes);
  model->to(device);
  const auto optimizer = make_optimizer(options, *model);
  auto loader = torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
      Batches(data.train), torch::data::DataLoaderOptions().batch_size(static_cast<size_t>(options.batch_size)));

  dynascope::Monitor monitor(model, monitor_options(options));
  monitor.trace([&] { return model->forward(data.train.images.slice(0, 0, 1)); });
  const int64_t steps = (data.train.size() + options.batch_size - 1) / options.batch_size;
  dynascope::ProgressBar progress(options.epochs, steps);

  dynascope::TrainingLoop loop(model, *optimizer, torch::nn::CrossEntropyLoss(), loader);
  loop.register_callback(monitor).register_callback(progress);
  loop.evaluate([&] { return dynascope::Scalars{{"accuracy", accuracy(*model, data.test)}}; });
  loop.run(options.epochs);

  const dynascope::MonitorStatus status = monitor.status();
  std::cout << status.rows_written << " rows in " << options.out << '\n';
  if (!status.first_error.empty()) {
    throw std::runtime_error("the recording is not complete: " + status.first_error);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains a network on handwritten digits or text and records its node strengths and layer fluctuations.",
               "dynascope-train");
  add_options(app, options);
  try {
    app.parse(argc, argv);
    train(options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::cerr << "dynascope-train: " << error.what() << '\n';
    return 2;
  }
}
