// SPDX-License-Identifier: BSD-3-Clause
#include "workers.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iterator>
#include <poll.h>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace examples {
namespace {

// What goes through a socket: this, then `bytes` bytes.
struct Header {
  enum Kind : int64_t { kGroup, kEpoch, kTrained, kFailed };
  int64_t kind;
  int64_t number;  ///< of a group, or of members
  int64_t bytes;
};

// False where the other side is gone.
bool send_all(int socket, const void* data, size_t bytes) {
  const auto* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t sent = ::send(socket, from, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) {
      return false;
    }
    from += std::max<ssize_t>(sent, 0);
    bytes -= static_cast<size_t>(std::max<ssize_t>(sent, 0));
  }
  return true;
}

bool receive_all(int socket, void* data, size_t bytes) {
  auto* to = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t got = ::recv(socket, to, bytes, 0);
    if (got == 0 || (got < 0 && errno != EINTR)) {
      return false;
    }
    to += std::max<ssize_t>(got, 0);
    bytes -= static_cast<size_t>(std::max<ssize_t>(got, 0));
  }
  return true;
}

bool send(int socket, Header::Kind kind, int64_t number, const std::string& body = {}) {
  const Header header{kind, number, static_cast<int64_t>(body.size())};
  return send_all(socket, &header, sizeof header) && send_all(socket, body.data(), body.size());
}

// Both sides are one program: values go as they are in memory.
class Packed {
 public:
  Packed() = default;
  explicit Packed(std::string bytes) : bytes_(std::move(bytes)) {}

  template <class T>
  void put(const T* values, size_t count) {
    bytes_.append(reinterpret_cast<const char*>(values), count * sizeof(T));
  }
  template <class T>
  void get(T* values, size_t count) {
    std::memcpy(values, bytes_.data() + position_, count * sizeof(T));
    position_ += count * sizeof(T);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
  size_t position_ = 0;
};

std::string packed(const Trained& trained) {
  Packed body;
  const int64_t sizes[] = {static_cast<int64_t>(trained.members.size()),
                           trained.blocks.empty() ? 0 : static_cast<int64_t>(trained.blocks[0].size())};
  body.put(sizes, 2);
  for (size_t i = 0; i < trained.members.size(); ++i) {
    const dynascope::Member& member = trained.members[i];
    const int64_t index[] = {member.net, member.epoch, member.step, member.seed};
    body.put(index, 4);
    body.put(member.scalars.data(), member.scalars.size());
    body.put(trained.blocks[i].data(), trained.blocks[i].size());
  }
  return body.bytes();
}

Trained unpacked(std::string bytes) {
  Packed body(std::move(bytes));
  int64_t sizes[2] = {};
  body.get(sizes, 2);
  Trained trained;
  for (int64_t i = 0; i < sizes[0]; ++i) {
    int64_t index[4] = {};
    body.get(index, 4);
    dynascope::Member member{index[0], index[1], index[2], index[3], std::vector<double>(kMemberScalars.size()),
                             nullptr};
    body.get(member.scalars.data(), member.scalars.size());
    trained.members.push_back(std::move(member));
    trained.blocks.emplace_back(static_cast<size_t>(sizes[1]));
    body.get(trained.blocks.back().data(), trained.blocks.back().size());
  }
  return trained;
}

// The life of a worker: groups in, members out, until the other side is gone.
void serve(int socket, const Trainer& trainer, const std::vector<Group>& groups) {
  const dynascope::RunDescription plain = trainer.describe();
  Header header{};
  while (receive_all(socket, &header, sizeof header)) {
    std::string body(static_cast<size_t>(header.bytes), '\0');
    if (!receive_all(socket, body.data(), body.size())) {
      return;
    }
    dynascope::RunDescription description = plain;
    description.histogram_edges.resize(body.size() / sizeof(double));
    Packed(std::move(body)).get(description.histogram_edges.data(), description.histogram_edges.size());
    if (!description.histogram_edges.empty()) {
      description.histogram = dynascope::Histogram::kEveryRow;
      description.histogram_bins =
          static_cast<int64_t>(description.histogram_edges.size() / description.weight_layers.size()) - 1;
    }
    try {
      const Trained trained = trainer.train(groups[static_cast<size_t>(header.number)], description,
                                            [&](int64_t members) { send(socket, Header::kEpoch, members); });
      send(socket, Header::kTrained, header.number, packed(trained));
    } catch (const std::exception& error) {
      send(socket, Header::kFailed, header.number, error.what());
    }
  }
}

}  // namespace

Workers::Workers(const Trainer& trainer, const std::vector<Group>& groups, int64_t jobs) {
  const pid_t parent = ::getpid();
  for (int64_t job = 0; job < jobs; ++job) {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      throw std::runtime_error(std::string("cannot start a worker: ") + std::strerror(errno));
    }
    const pid_t process = ::fork();
    if (process < 0) {
      throw std::runtime_error(std::string("cannot start a worker: ") + std::strerror(errno));
    }
    if (process == 0) {
      ::close(ends[0]);
      for (const Worker& other : workers_) {
        ::close(other.socket);
      }
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() == parent) {
        serve(ends[1], trainer, groups);
      }
      ::_exit(0);
    }
    ::close(ends[1]);
    workers_.push_back({ends[0], process, std::nullopt});
  }
}

Workers::~Workers() {
  for (const Worker& worker : workers_) {
    ::close(worker.socket);
    ::kill(worker.process, SIGKILL);
    ::waitpid(worker.process, nullptr, 0);
  }
}

void Workers::assign(Worker& worker, int64_t position, const dynascope::RunDescription& description) {
  const auto& edges = description.histogram_edges;
  const std::string body(reinterpret_cast<const char*>(edges.data()), edges.size() * sizeof(double));
  worker.group = position;
  send(worker.socket, Header::kGroup, position, body);  // one that is gone is noticed when it does not answer
}

void Workers::receive(Worker& worker, const std::function<void(int64_t)>& on_epoch, std::map<int64_t, Trained>& ready) {
  Header header{};
  std::string body;
  bool whole = receive_all(worker.socket, &header, sizeof header);
  if (whole) {
    body.resize(static_cast<size_t>(header.bytes));
    whole = receive_all(worker.socket, body.data(), body.size());
  }
  const std::string group = std::to_string(*worker.group);
  if (!whole) {
    throw std::runtime_error(
        "the worker that trained group " + group +
        " died; what was written is kept: start again to go on, with fewer --jobs if memory ran out");
  }
  if (header.kind == Header::kFailed) {
    throw std::runtime_error("group " + group + " could not be trained: " + body);
  }
  if (header.kind == Header::kEpoch) {
    on_epoch(header.number);
    return;
  }
  ready.emplace(*worker.group, unpacked(std::move(body)));
  worker.group.reset();
}

void Workers::train(const std::vector<int64_t>& positions, const dynascope::RunDescription& description,
                    const std::function<void(int64_t)>& on_epoch, const std::function<void(const Trained&)>& take) {
  std::map<int64_t, Trained> ready;
  size_t assigned = 0;
  for (size_t taken = 0; taken < positions.size();) {
    std::vector<pollfd> waited;
    std::vector<Worker*> busy;
    for (Worker& worker : workers_) {
      if (!worker.group && assigned < positions.size()) {
        assign(worker, positions[assigned++], description);
      }
      if (worker.group) {
        waited.push_back({worker.socket, POLLIN, 0});
        busy.push_back(&worker);
      }
    }
    if (::poll(waited.data(), waited.size(), -1) < 0 && errno != EINTR) {
      throw std::runtime_error(std::string("cannot wait for the workers: ") + std::strerror(errno));
    }
    for (size_t i = 0; i < waited.size(); ++i) {
      if (waited[i].revents != 0) {
        receive(*busy[i], on_epoch, ready);
      }
    }
    for (auto next = ready.begin(); taken < positions.size() && (next = ready.find(positions[taken])) != ready.end();
         ++taken) {
      take(next->second);
      ready.erase(next);
    }
  }
}

}  // namespace examples
