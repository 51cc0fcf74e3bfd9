// SPDX-License-Identifier: LGPL-2.1-or-later
// Many clients in one process, each with descriptors of known contents: what the vm tests update.
//
//   scripted-clients COUNT DESCRIPTORS SIZE_KIB [FIRST]
//
// Client c0, c1, …: ci needs c(i/2), and all are on one connection. With FIRST they are cFIRST and
// on: each needs nobody, and has a connection and a thread of its own. /run/scripted/log gets a
// line for each call in its order, "<call> <client>"; /run/scripted/bad one for each byte range
// that came back wrong. While /run/scripted/veto-prepare or veto-freeze exists, the last client
// vetoes with what it says; while ignore-freeze exists, it does not answer.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iostream>
#include <iterator>
#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "handover/handover.hpp"

namespace {

namespace client = handover::client;

const std::string folder = "/run/scripted/";

void log(const std::string& file, const std::string& line) {
  std::ofstream(folder + file, std::ios::app) << line << std::endl;
}

std::optional<std::string> command(const std::string& name) {
  std::ifstream file(folder + name);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

[[noreturn]] void die(const std::string& what, const client::Error& error) {
  std::cerr << "scripted-clients: " << what << ": " << error.message << std::endl;
  std::exit(1);
}

/// The byte at `offset` of descriptor `token` of client `index`.
unsigned char expected(int index, std::uint64_t token, std::size_t offset) {
  const auto mixed = (static_cast<std::uint64_t>(index) * 131 + token * 31 + offset) *
                     UINT64_C(0x9e3779b97f4a7c15);
  return static_cast<unsigned char>(mixed >> 56U);
}

std::vector<unsigned char> contents(int index, std::uint64_t token, std::size_t size) {
  std::vector<unsigned char> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = expected(index, token, i);
  return bytes;
}

class Scripted {
 public:
  Scripted(client::Connection& connection, int index, std::vector<std::string> needs, bool last,
           std::uint64_t descriptors, std::size_t size)
      : connection_(connection), index_(index), last_(last), count_(descriptors), size_(size) {
    client::Client::Options options;
    options.needs = std::move(needs);
    client::Client::Callbacks callbacks;
    callbacks.prepare = [this](client::Call call) { prepare(std::move(call)); };
    callbacks.cancel = [this](client::Call call) { note("cancel", std::move(call)); };
    callbacks.freeze = [this](client::Call call) { freeze(std::move(call)); };
    callbacks.thaw = [this](client::Call call) { note("thaw", std::move(call)); };
    callbacks.restore = [this](client::Call call) { restore(std::move(call)); };
    auto made = client::Client::register_client(connection, name(), options, std::move(callbacks));
    if (!made) die("register " + name(), made.error());
    client_.emplace(std::move(*made));
    if (client_->state() == HANDOVER_CLIENT_NEW) preserve_all();
  }

 private:
  [[nodiscard]] std::string name() const { return "c" + std::to_string(index_); }

  void note(const std::string& what, client::Call call) {
    log("log", what + " " + name());
    call.done();
  }

  void preserve_all() {
    auto session = connection_.create_session(name(), "", name());
    if (!session) die("session " + name(), session.error());
    for (std::uint64_t token = 1; token <= count_; ++token) {
      if (fds_.size() < token) {
        client::Fd fd(memfd_create(name().c_str(), MFD_CLOEXEC));
        const auto bytes = contents(index_, token, size_);
        if (!fd ||
            write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
          die("memfd", {"", "cannot be written", 0});
        }
        fds_.push_back(std::move(fd));
      }
      if (auto done = session->preserve(token, fds_[token - 1].get()); !done) {
        die("preserve " + name(), done.error());
      }
    }
    preserved_ = true;
  }

  void prepare(client::Call call) {
    log("log", "prepare " + name());
    if (const auto why = last_ ? command("veto-prepare") : std::nullopt) {
      call.fail(*why);
      return;
    }
    if (!preserved_) preserve_all();
    call.done();
  }

  void freeze(client::Call call) {
    log("log", "freeze " + name());
    if (const auto why = last_ ? command("veto-freeze") : std::nullopt) {
      call.fail(*why);
    } else if (last_ && command("ignore-freeze")) {
      ignored_.push_back(std::move(call));
    } else {
      call.done();
    }
  }

  void restore(client::Call call) {
    log("log", "restore " + name());
    auto session = connection_.get_session(name());
    if (!session) {
      log("bad", name() + ": " + session.error().message);
      call.fail(session.error().message);
      return;
    }
    fds_.clear();
    for (std::uint64_t token = 1; token <= count_; ++token) {
      auto fd = session->retrieve(token);
      if (!fd) {
        log("bad", name() + ": " + fd.error().message);
        call.fail(fd.error().message);
        return;
      }
      check(token, fd->get());
      fds_.push_back(std::move(*fd));
    }
    preserved_ = false;
    call.done();
  }

  void check(std::uint64_t token, int fd) const {
    std::vector<unsigned char> bytes(size_ + 1);
    const auto got = pread(fd, bytes.data(), bytes.size(), 0);
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    if (bytes != contents(index_, token, size_)) {
      log("bad", name() + ": token " + std::to_string(token) + " came back wrong");
    }
  }

  client::Connection& connection_;
  int index_;
  bool last_;
  std::uint64_t count_;
  std::size_t size_;
  bool preserved_ = false;
  std::vector<client::Fd> fds_;
  std::vector<client::Call> ignored_;
  std::optional<client::Client> client_;
};

struct Arguments {
  int first = 0;
  int end = 0;  ///< behind the last one
  std::uint64_t descriptors = 0;
  std::size_t size = 0;
  bool alone = false;
};

/// Serves the clients `first` and on, before `end`, on one connection.
[[noreturn]] void serve(const Arguments& arguments, int first, int end, std::latch& registered) {
  client::Connection::Options options;
  options.timeout_usec = UINT64_C(60'000'000);
  auto connection = client::Connection::open(options);
  if (!connection) die("connect", connection.error());
  std::deque<Scripted> clients;
  for (int i = first; i < end; ++i) {
    std::vector<std::string> needs;
    if (!arguments.alone && i > 0) needs.push_back("c" + std::to_string(i / 2));
    clients.emplace_back(*connection, i, std::move(needs), i == arguments.end - 1,
                         arguments.descriptors, arguments.size);
  }
  registered.count_down();
  for (;;) {
    connection->wait(UINT64_MAX);
    connection->process();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    std::cerr << "usage: scripted-clients COUNT DESCRIPTORS SIZE_KIB [FIRST]\n";
    return 2;
  }
  mkdir(folder.c_str(), 0755);
  Arguments arguments;
  arguments.alone = argc == 5;
  arguments.first = arguments.alone ? std::atoi(argv[4]) : 0;
  arguments.end = arguments.first + std::atoi(argv[1]);
  arguments.descriptors = std::strtoull(argv[2], nullptr, 10);
  arguments.size = std::strtoull(argv[3], nullptr, 10) << 10U;
  // As if each were a program of its own: one that registers does not keep another from answering.
  const int each = arguments.alone ? 1 : arguments.end - arguments.first;
  std::latch registered((arguments.end - arguments.first) / each);
  std::vector<std::thread> threads;
  for (int i = arguments.first; i < arguments.end; i += each) {
    threads.emplace_back([&, i] { serve(arguments, i, i + each, registered); });
  }
  registered.wait();
  sd_notify(0, "READY=1");
  for (auto& thread : threads) thread.join();
}
