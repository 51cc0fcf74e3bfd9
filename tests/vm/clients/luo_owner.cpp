// SPDX-License-Identifier: LGPL-2.1-or-later
// The owner of a LUO session, who preserves a memfd in it and takes it back by the kernel's ioctls
// (docs/dbus.md, OpenLUO).
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

#include "backend/liveupdate_abi.h"
#include "handover/handover.hpp"

namespace {

namespace abi = handover::backend::abi;
using handover::client::Connection;
using handover::client::Fd;

[[noreturn]] void die(const std::string& what) {
  std::cerr << "luo-owner: " << what << '\n';
  std::exit(1);  // NOLINT(concurrency-mt-unsafe): the only thread
}

template <typename T>
T must(handover::client::Result<T> result) {
  if (!result) die(result.error().name + ": " + result.error().message);
  return std::move(*result);
}

[[noreturn]] void die_of_errno(const std::string& what) { die(what + ": " + std::strerror(errno)); }

void keep(Connection& connection, const std::string& name, std::uint64_t token,
          const std::string& text) {
  auto session = must(connection.create_session(name));
  const Fd own = must(session.open_luo());
  const Fd memory(memfd_create("own", MFD_CLOEXEC));
  if (write(memory.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    die_of_errno("write");
  }
  abi::PreserveFd arguments = {sizeof arguments, memory.get(), token};
  if (ioctl(own.get(), abi::preserve_fd, &arguments) < 0) die_of_errno("preserve");
}

void take(Connection& connection, const std::string& name, std::uint64_t token) {
  auto session = must(connection.get_session(name));
  const Fd own = must(session.open_luo());
  abi::RetrieveFd arguments = {sizeof arguments, -1, token};
  if (ioctl(own.get(), abi::retrieve_fd, &arguments) < 0) die_of_errno("retrieve");
  const Fd memory(arguments.fd);
  std::string text(4096, '\0');
  const auto got = pread(memory.get(), text.data(), text.size(), 0);
  if (got < 0) die_of_errno("read");
  std::cout << text.substr(0, static_cast<std::size_t>(got)) << '\n';
  if (auto done = session.finish(); !done) die(done.error().message);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  auto connection = must(Connection::open({}));
  if (command == "keep" && argc == 5) {
    keep(connection, argv[2], std::strtoull(argv[3], nullptr, 10), argv[4]);
  } else if (command == "take" && argc == 4) {
    take(connection, argv[2], std::strtoull(argv[3], nullptr, 10));
  } else {
    die("usage: luo-owner keep SESSION TOKEN TEXT | take SESSION TOKEN");
  }
  return 0;
}
