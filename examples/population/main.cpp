// SPDX-License-Identifier: BSD-3-Clause
// Trains a population: thousands of small networks of one shape that differ in their start values, their optimizer, how
// long they train and how much data they see. Node strengths, layer fluctuations and link weights of every network are
// measured after every epoch and written, with its accuracy, to one population file. Killed and started again with the
// same options it goes on; with more --nets it adds to what is there. With one seed a CPU gives the same population
// again, whatever --jobs is.
#include "benchmark.hpp"
#include "initialiser.hpp"
#include "trainer.hpp"
#include "workers.hpp"

#include <dynascope/dynascope.hpp>
#include <dynascope/population_file.hpp>
#include <dynascope/row_layout.hpp>

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

struct Options {
  examples::Protocol protocol;
  std::string epochs = "1:5";
  std::string data = "digits";
  std::string data_root;
  int64_t nets = 100;
  int64_t at_once = 0;
  int64_t jobs = std::max<int64_t>(std::thread::hardware_concurrency(), 1);
  int64_t bins = 128;
  std::string out = "pop.h5";
  bool overwrite = false;
  bool benchmark = false;
};

void add_protocol(CLI::App& app, Options& options) {
  examples::Protocol& protocol = options.protocol;
  std::vector<std::string> initialisers = examples::initialiser_names();
  initialisers.emplace_back("any");
  app.add_option("--model", protocol.model,
                 "fc: H-H-200-10 with ReLU; cnn: two 3 x 3 convolutions of H channels, 200, 10")
      ->check(CLI::IsMember({"fc", "cnn"}))
      ->capture_default_str();
  app.add_option("--hidden", protocol.hidden, "H")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--init", protocol.init, "Start values of weights and biases; any: at random per network")
      ->check(CLI::IsMember(initialisers))
      ->capture_default_str();
  app.add_option("--scale", protocol.scale, "Standard deviation, limit, or scale of the variance of start values")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--epochs", options.epochs, "A:B, at random per network; or one number for all")
      ->capture_default_str();
  app.add_option("--optimizer", protocol.optimizer, "sgd (0.01), adam (0.001), or any: at random per network")
      ->check(CLI::IsMember({"sgd", "adam", "any"}))
      ->capture_default_str();
  app.add_option("--cut-nets", protocol.cut_nets, "Part of the networks that are trained on a cut of the images")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--cut-images", protocol.cut_images, "Part of the images that these see")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--batch-size", protocol.batch_size)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--seed", protocol.seed, "Seed of everything that is drawn")->capture_default_str();
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("--nets", options.nets, "How many networks")->check(CLI::PositiveNumber)->capture_default_str();
  add_protocol(app, options);
  app.add_option("--data", options.data, "digits (8 x 8, comes with the set-up) or mnist (28 x 28, or in its format)")
      ->check(CLI::IsMember({"digits", "mnist"}))
      ->capture_default_str();
  app.add_option("--data-root", options.data_root,
                 "Folder with the IDX files: all four, or the test pair alone, which is then split four to one\n"
                 "(default: " DYNASCOPE_DATA_DIR "/<data>)");
  app.add_option("--at-once", options.at_once, "Networks trained at once; 0: as many as suit the processor's cache")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--jobs", options.jobs, "Processes that train, one thread each")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--bins", options.bins, "Bins of the histograms of link weights")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--out", options.out, "Population file to write, or to go on with")->capture_default_str();
  app.add_flag("--overwrite", options.overwrite, "Replace an existing file instead of going on with it");
  app.add_flag("--benchmark", options.benchmark,
               "Write nothing: train the first networks at once and one by one, and print networks per minute");
  app.set_version_flag("--version", "dynascope-population " DYNASCOPE_VERSION);
}

void parse_epochs(Options& options) {
  const std::string& text = options.epochs;
  const size_t colon = text.find(':');
  const std::string last = colon == std::string::npos ? text : text.substr(colon + 1);
  const auto is_number = [](const std::string& digits) {
    return !digits.empty() && digits.size() < 7 && digits.find_first_not_of("0123456789") == std::string::npos;
  };
  const std::string first = text.substr(0, colon);
  if (is_number(first) && is_number(last)) {
    options.protocol.least_epochs = std::stoll(first);
    options.protocol.most_epochs = std::stoll(last);
  }
  if (!is_number(first) || !is_number(last) || options.protocol.least_epochs < 1 ||
      options.protocol.most_epochs < options.protocol.least_epochs) {
    throw std::invalid_argument("--epochs must be A:B or A with 1 <= A <= B, got '" + text + "'");
  }
}

// Two megabytes of parameters stay near the processor while a step reads and writes them several times; networks that
// are as large alone gain nothing from company (docs/performance.md).
int64_t default_at_once(const std::vector<examples::Layer>& layers) {
  constexpr int64_t kBytes = int64_t{2} << 20;
  return std::clamp<int64_t>(kBytes / (4 * examples::count_parameters(layers)), 1, 16);
}

// Tells one set of images from another, whatever folder it lies in.
std::string fingerprint(const examples::DataSet& data) {
  uint64_t mark = 0;
  for (const auto* part : {&data.train, &data.test}) {
    const at::Tensor images = part->images.contiguous();
    const float* pixels = images.const_data_ptr<float>();
    for (int64_t i = 0; i < images.numel(); i += 16) {
      mark = examples::mix(mark, static_cast<uint64_t>(pixels[i] * 255 + 0.5F) + 1);
    }
    mark = examples::mix(mark, static_cast<uint64_t>(images.numel()));
  }
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(mark));
  return text;
}

// What must be the same for a file to be gone on with; the number of networks may grow.
nlohmann::ordered_json config_of(const Options& options, const examples::DataSet& data, int64_t at_once) {
  const examples::Protocol& p = options.protocol;
  return {{"model", p.model},
          {"hidden", p.hidden},
          {"init", p.init},
          {"scale", p.scale},
          {"epochs", std::to_string(p.least_epochs) + ":" + std::to_string(p.most_epochs)},
          {"optimizer", p.optimizer},
          {"cut_nets", p.cut_nets},
          {"cut_images", p.cut_images},
          {"batch_size", p.batch_size},
          {"seed", p.seed},
          {"data", options.data},
          {"train_images", data.train.size()},
          {"test_images", data.test.size()},
          {"fingerprint of the images", fingerprint(data)},
          {"at_once", at_once},
          {"bins", options.bins},
          {"initialisers", examples::initialiser_names()}};
}

// The edges of the histograms in a file that is gone on with.
std::vector<double> edges_in(const std::string& path, const nlohmann::ordered_json& config) {
  const dynascope::PopulationFile file(path);
  const auto there = nlohmann::ordered_json::parse(file.description().config, nullptr, false);
  for (const auto& [key, value] : config.items()) {
    const std::string in_file = there.is_object() && there.contains(key) ? there[key].dump() : "unknown";
    if (in_file != value.dump()) {
      throw std::runtime_error(path + " is another population: its " + key + " is " + in_file + ", here " +
                               value.dump() + "; give its options, choose another --out, or --overwrite it");
    }
  }
  return file.description().histogram_edges;
}

class Population {
 public:
  explicit Population(Options options)
      : options_(std::move(options)),
        data_(examples::load_images(
            options_.data_root.empty() ? DYNASCOPE_DATA_DIR "/" + options_.data : options_.data_root,
            options_.protocol.seed)),
        trainer_(options_.protocol, data_),
        at_once_(options_.at_once > 0 ? options_.at_once : default_at_once(trainer_.layers())),
        groups_(examples::group(options_.protocol, options_.nets, at_once_)) {}

  void compare() { examples::compare_speed(trainer_, groups_.front(), 5); }

  void make() {
    examples::Workers workers(trainer_, groups_, options_.jobs);
    dynascope::PopulationWriter writer(
        options_.out, dynascope::PopulationOptions().overwrite(options_.overwrite).resume(!options_.overwrite));
    writer.open(describe(workers));
    const std::vector<int64_t> missing = missing_groups(writer);
    int64_t members = 0;
    int64_t nets = 0;
    for (const int64_t position : missing) {
      for (const examples::Net& net : groups_[static_cast<size_t>(position)]) {
        members += net.epochs;
        ++nets;
      }
    }
    const auto begin = std::chrono::steady_clock::now();
    dynascope::ProgressBar progress(members);
    progress.on_train_begin();
    workers.train(
        missing, writer_description_,
        [&](int64_t made) {
          for (; made > 0; --made) {
            progress.on_epoch_end({});
          }
        },
        [&](const examples::Trained& trained) { write(writer, trained); });
    progress.on_train_end();
    writer.close();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    std::cout << nets << " networks trained, " << written_ << " members added to " << options_.out << ", "
              << non_finite_ << " of them not finite";
    if (nets > 0) {
      std::cout << "; " << static_cast<int64_t>(60 * static_cast<double>(nets) / taken.count()) << " networks a minute";
    }
    std::cout << '\n';
  }

 private:
  dynascope::RunDescription describe(examples::Workers& workers) {
    const auto config = config_of(options_, data_, at_once_);
    dynascope::RunDescription description = trainer_.describe();
    description.config = config.dump();
    description.title = options_.protocol.model + " networks on " + options_.data;
    description.source = "weights of a population of neural networks, measured by dynascope";
    if (!options_.overwrite && std::ifstream(options_.out).good()) {
      description.histogram = dynascope::Histogram::kEveryRow;
      description.histogram_bins = options_.bins;
      description.histogram_edges = edges_in(options_.out, config);
    } else {
      workers.train(
          {0}, description, [](int64_t) {},
          [&](const examples::Trained& pilot) {
            description = examples::with_histograms(description, pilot, options_.bins);
          });
    }
    writer_description_ = description;
    layout_ = dynascope::RowLayout(description);
    return description;
  }

  std::vector<int64_t> missing_groups(const dynascope::PopulationWriter& writer) const {
    std::vector<int64_t> missing;
    for (size_t i = 0; i < groups_.size(); ++i) {
      const bool whole = std::all_of(groups_[i].begin(), groups_[i].end(),
                                     [&](const examples::Net& net) { return writer.has(net.number, net.epochs); });
      if (!whole) {
        missing.push_back(static_cast<int64_t>(i));
      }
    }
    return missing;
  }

  void write(dynascope::PopulationWriter& writer, const examples::Trained& trained) {
    std::vector<dynascope::Member> members;
    for (size_t i = 0; i < trained.members.size(); ++i) {
      if (!writer.has(trained.members[i].net, trained.members[i].epoch)) {
        members.push_back(trained.members[i]);
        members.back().values = trained.blocks[i].data();
        non_finite_ += is_finite(trained.blocks[i]) ? 0 : 1;
      }
    }
    writer.write(members);
    writer.flush();
    written_ += static_cast<int64_t>(members.size());
  }

  bool is_finite(const std::vector<std::byte>& block) const {
    const dynascope::Span& span = layout_.at("/links/nonfinite");
    const std::byte* first = block.data() + span.offset;
    return std::all_of(first, first + span.count * 8, [](std::byte byte) { return byte == std::byte{0}; });
  }

  Options options_;
  examples::DataSet data_;
  examples::Trainer trainer_;
  int64_t at_once_;
  std::vector<examples::Group> groups_;
  dynascope::RunDescription writer_description_;
  dynascope::RowLayout layout_;
  int64_t written_ = 0;
  int64_t non_finite_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Trains a population of small networks and writes their node strengths, layer fluctuations and accuracies.",
      "dynascope-population");
  add_options(app, options);
  try {
    app.parse(argc, argv);
    parse_epochs(options);
    at::set_num_threads(1);  // before anything runs: no thread may be there when the workers are forked
    Population population(options);
    options.benchmark ? population.compare() : population.make();
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::cerr << "dynascope-population: " << error.what() << '\n';
    return 2;
  }
}
