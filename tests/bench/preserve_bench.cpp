// SPDX-License-Identifier: LGPL-2.1-or-later
// What the collapse is worth: preserves and retrieves two memfds of 4 KiB pages through the luo
// backend, one collapsed before, in one run.
//
//   preserve-bench preserve MIB   makes both, preserves them, and kexecs the loaded kernel at once
//   preserve-bench retrieve       in the new kernel
//
// Prints lines "<what> <plain|collapsed> <microseconds>" on standard output.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

#include "backend/luo.h"
#include "system/collapse.h"
#include "system/kexec.h"

namespace {

using namespace handover;

template <typename T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::cerr << "preserve-bench: " << result.error().message << '\n';
  std::exit(1);
}

void must(const Result<void>& result) {
  if (result) return;
  std::cerr << "preserve-bench: " << result.error().message << '\n';
  std::exit(1);
}

/// Prints how long `act` took and returns what it returned.
template <typename Act>
auto timed(const char* what, const char* kind, Act act) {
  const auto begin = std::chrono::steady_clock::now();
  auto result = act();
  const auto took = std::chrono::steady_clock::now() - begin;
  std::cout << what << ' ' << kind << ' '
            << std::chrono::duration_cast<std::chrono::microseconds>(took).count() << std::endl;
  return must(std::move(result));
}

UniqueFd small_pages(const char* name, std::size_t size) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC));
  if (!fd || ftruncate(fd.get(), static_cast<off_t>(size)) != 0) std::exit(1);
  auto* memory =
      static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  if (memory == MAP_FAILED) std::exit(1);
  for (std::size_t at = 0; at < size; at += 4096) memory[at] = static_cast<char>(at >> 12U);
  munmap(memory, size);
  return fd;
}

int preserve(std::size_t size) {
  backend::Luo luo(backend::open_luo_device("/dev/liveupdate"));
  const auto plain = small_pages("plain", size);
  const auto collapsed = small_pages("collapsed", size);
  const std::atomic<bool> cancel{false};
  const auto pages = timed("collapse", "collapsed", [&] {
    return system::collapse_memfd(
        collapsed.get(), [](std::uint64_t) {}, cancel);
  });
  std::cout << "bytes-huge collapsed " << pages.bytes_huge << std::endl;
  auto first = must(luo.create("bench-plain", Keeper::luo, {}));
  auto second = must(luo.create("bench-collapsed", Keeper::luo, {}));
  timed("preserve", "plain", [&] { return first->preserve(1, plain.get()); });
  timed("preserve", "collapsed", [&] { return second->preserve(1, collapsed.get()); });
  std::cout << "end" << std::endl;
  sleep(1);  // until the harness has read all of it
  sync();
  std::cerr << system::kexec_now().message << '\n';
  return 1;
}

int retrieve() {
  backend::Luo luo(backend::open_luo_device("/dev/liveupdate"));
  for (const char* kind : {"plain", "collapsed"}) {
    backend::Adopted adopted;
    adopted.name = std::string("bench-") + kind;
    adopted.incoming = true;
    const auto session = must(luo.adopt(adopted)).session;
    const auto retrieved = timed("retrieve", kind, [&] { return session->retrieve(1); });
    const UniqueFd& fd = retrieved.fd;
    must(session->finish());
    const auto size = static_cast<std::size_t>(lseek(fd.get(), 0, SEEK_END));
    const auto* memory =
        static_cast<const char*>(mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0));
    if (memory == MAP_FAILED) return 1;
    for (std::size_t at = 0; at < size; at += 4096) {
      if (memory[at] != static_cast<char>(at >> 12U)) {
        std::cerr << "preserve-bench: the memory came back wrong\n";
        return 1;
      }
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "preserve" && argc == 3) return preserve(std::strtoull(argv[2], nullptr, 10) << 20U);
  if (what == "retrieve" && argc == 2) return retrieve();
  std::cerr << "usage: preserve-bench preserve MIB | retrieve\n";
  return 2;
}
