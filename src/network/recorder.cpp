// SPDX-License-Identifier: BSD-3-Clause
// Compiled with NDEBUG always: the class at::RecordFunction has another layout without it than in LibTorch.
#include "recorder.hpp"

#include "value_table.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <unordered_set>
#include <utility>

namespace dynascope::network {
namespace {

/// What the start of an operator hands to its end.
struct Running : at::ObserverContext {
  bool counted = false;  ///< parts of it are not recorded
  bool recorded = false;
  Operation operation;
  std::vector<at::Tensor> written;
  std::unordered_set<const void*> operands;
};

class Recorder {
 public:
  Recorder(const ModuleTree& tree, const RecorderOptions& options) : options_(options), table_(tree) {
    for (const at::Tensor& input : options.inputs) {
      table_.values[static_cast<size_t>(table_.find(input))].given = true;
    }
  }

  Recording run(const std::function<std::vector<at::Tensor>()>& forward);

 private:
  static std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction& function);
  static void on_end(const at::RecordFunction& function, at::ObserverContext* context);

  void start(const at::RecordFunction& function, Running& running);
  void finish(const at::RecordFunction& function, Running& running);
  void read_argument(const c10::Argument& argument, const c10::IValue& value, Running& running);
  void add_output(const at::Tensor& tensor, Running& running);

  static thread_local Recorder* current;

  const RecorderOptions& options_;
  ValueTable table_;
  std::vector<Operation> operations_;
  int depth_ = 0;
  std::exception_ptr error_;  // torch swallows what a callback throws
};

thread_local Recorder* Recorder::current = nullptr;

std::vector<at::Tensor> tensors_of(const c10::IValue& value) {
  if (value.isTensor()) {
    return {value.toTensor()};
  }
  std::vector<at::Tensor> tensors;
  if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) {
      tensors.push_back(tensor);
    }
  } else if (value.isList()) {
    for (const c10::IValue& item : value.toListRef()) {
      if (item.isTensor()) {
        tensors.push_back(item.toTensor());
      } else if (item.isNone()) {
        tensors.emplace_back();
      }
    }
  }
  return tensors;
}

bool holds_tensors(const c10::Argument& argument) { return argument.type()->str().find("Tensor") != std::string::npos; }

void Recorder::read_argument(const c10::Argument& argument, const c10::IValue& value, Running& running) {
  Argument read;
  read.name = argument.name();
  read.tensors = holds_tensors(argument);
  read.list = value.isList();
  if (!read.tensors) {
    read.other = value;
  } else {
    const bool writes = argument.alias_info() != nullptr && argument.alias_info()->isWrite();
    for (const at::Tensor& tensor : tensors_of(value)) {
      if (!tensor.defined()) {
        read.values.push_back(-1);
        continue;
      }
      const ValueId id = table_.find(tensor);
      read.values.push_back(id);
      running.operands.insert(tensor.unsafeGetTensorImpl());
      if (writes) {
        running.operation.written.push_back(id);
        running.written.push_back(tensor);
        if (const at::Tensor owner = table_.owner_of(tensor); owner.defined()) {
          options_.before_write(owner);
        }
      }
    }
  }
  running.operation.arguments.push_back(std::move(read));
}

void Recorder::start(const at::RecordFunction& function, Running& running) {
  if (depth_ > 0) {
    ++depth_;
    running.counted = true;
    return;
  }
  const auto name = function.operator_name();
  if (!name.has_value()) {
    return;  // a range that the user marked
  }
  const auto handle = c10::Dispatcher::singleton().findSchema(*name);
  if (!handle.has_value()) {
    return;
  }
  if (!options_.is_whole(name->name) && handle->hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd)) {
    return;  // its parts are recorded instead
  }
  ++depth_;
  running.counted = true;
  running.recorded = true;
  running.operation.name = name->name;
  running.operation.overload = name->overload_name;
  const at::DisableRecordFunctionGuard quiet;
  const auto& arguments = handle->schema().arguments();
  const auto inputs = function.inputs();
  for (size_t i = 0; i < arguments.size() && i < inputs.size(); ++i) {
    read_argument(arguments[i], inputs[i], running);
  }
}

void Recorder::add_output(const at::Tensor& tensor, Running& running) {
  const auto is_this = [&](const at::Tensor& other) { return other.is_same(tensor); };
  const bool written = std::any_of(running.written.begin(), running.written.end(), is_this);
  if (!written && running.operands.count(tensor.unsafeGetTensorImpl()) != 0) {
    running.operation.outputs.push_back(table_.find(tensor));
    return;
  }
  running.operation.outputs.push_back(table_.make(tensor));
  if (written) {
    const auto renewed = table_.renew_aliases(tensor);
    running.operation.aliases.insert(running.operation.aliases.end(), renewed.begin(), renewed.end());
  }
}

void Recorder::finish(const at::RecordFunction& function, Running& running) {
  if (running.counted) {
    --depth_;
  }
  if (!running.recorded) {
    return;
  }
  const at::DisableRecordFunctionGuard quiet;
  std::unordered_set<const void*> done;
  for (const c10::IValue& output : function.outputs()) {
    for (const at::Tensor& tensor : tensors_of(output)) {
      if (tensor.defined() && done.insert(tensor.unsafeGetTensorImpl()).second) {
        add_output(tensor, running);
      }
    }
  }
  for (const at::Tensor& tensor : running.written) {
    if (done.insert(tensor.unsafeGetTensorImpl()).second) {
      add_output(tensor, running);
    }
  }
  operations_.push_back(std::move(running.operation));
}

std::unique_ptr<at::ObserverContext> Recorder::on_start(const at::RecordFunction& function) {
  auto running = std::make_unique<Running>();
  if (current != nullptr && current->error_ == nullptr) {
    try {
      current->start(function, *running);
    } catch (...) {
      current->error_ = std::current_exception();
    }
  }
  return running;
}

void Recorder::on_end(const at::RecordFunction& function, at::ObserverContext* context) {
  if (current != nullptr && current->error_ == nullptr && context != nullptr) {
    try {
      current->finish(function, static_cast<Running&>(*context));
    } catch (...) {
      current->error_ = std::current_exception();
    }
  }
}

Recording Recorder::run(const std::function<std::vector<at::Tensor>()>& forward) {
  struct Listening {
    explicit Listening(Recorder* recorder)
        : before(current),
          handle(at::addThreadLocalCallback(at::RecordFunctionCallback(on_start, on_end)
                                                .needsInputs(true)
                                                .needsOutputs(true)
                                                .scopes({at::RecordScope::FUNCTION}))) {
      current = recorder;
    }
    ~Listening() {
      at::removeCallback(handle);
      current = before;
    }
    Listening(const Listening&) = delete;
    Listening& operator=(const Listening&) = delete;
    Recorder* before;
    at::CallbackHandle handle;
  };

  std::vector<at::Tensor> outputs;
  {
    const at::RecordFunctionGuard enabled(true);
    const Listening listening(this);
    outputs = forward();
  }
  if (error_ != nullptr) {
    std::rethrow_exception(error_);
  }
  Recording recording;
  for (const at::Tensor& output : outputs) {
    if (output.defined()) {
      recording.outputs.push_back(table_.find(output));
    }
  }
  recording.operations = std::move(operations_);
  recording.values = std::move(table_.values);
  return recording;
}

}  // namespace

Recording record(const ModuleTree& tree, const std::function<std::vector<at::Tensor>()>& forward,
                 const RecorderOptions& options) {
  return Recorder(tree, options).run(forward);
}

}  // namespace dynascope::network
