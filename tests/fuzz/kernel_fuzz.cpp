// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever file is named as a kernel: inspect_kernel() and image_release() must not leave its
// bytes, and say what they make of it. As a file in memory, since they read one.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "core/unique_fd.h"
#include "require.h"
#include "system/kernel_image.h"

namespace {

using namespace handover;

UniqueFd file_of(const std::uint8_t* data, std::size_t size) {
  UniqueFd fd(memfd_create("kernel", MFD_CLOEXEC));
  require(fd.get() >= 0, "there is a file");
  require(::pwrite(fd.get(), data, size, 0) == static_cast<ssize_t>(size), "it takes the input");
  return fd;
}

void check(const Result<system::InspectedKernel>& inspected) {
  if (!inspected) {
    require(inspected.error().code == ErrorCode::not_a_kernel, "the error has its own code");
    require(inspected.error().message.starts_with("input "), "the error names the file");
    return;
  }
  require(inspected->image.path == "input", "the result names the file");
  require(inspected->image.cmdline_bytes > 0, "it takes a command line");
  for (const auto& abi : inspected->image.abi) {
    require(abi.find("-v") != std::string::npos, "an ABI has a version");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using system::Architecture;
  const auto fd = file_of(data, size);
  for (const auto architecture : {Architecture::x86_64, Architecture::arm64}) {
    check(system::inspect_kernel(fd.get(), "input", architecture));
  }
  require(system::image_release(fd.get(), "input").find(' ') == std::string::npos,
          "a release is a word");
  return 0;
}
