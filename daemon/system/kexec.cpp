// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/kexec.h"

#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "core/unique_fd.h"
#include "system/files.h"
#include "system/kexec_errors.h"
#include "system/regular_file.h"

namespace handover::system {
namespace {

// include/uapi/linux/kexec.h; older kernel headers on the build machine lack some of them.
constexpr unsigned long file_unload = 0x1;
constexpr unsigned long file_no_initramfs = 0x4;

constexpr std::uint64_t one_initrd_limit = UINT64_C(1) << 30;

long kexec_file_load(int kernel, int initrd, std::size_t cmdline_size, const char* cmdline,
                     unsigned long flags) {
  return ::syscall(SYS_kexec_file_load, kernel, initrd, cmdline_size, cmdline, flags);
}

Result<UniqueFd> open_file(const std::string& what, const std::string& path) {
  auto fd = open_regular(path);
  if (fd) return fd;
  if (fd.error().code == ErrorCode::invalid_argument) {
    return fail(ErrorCode::invalid_argument, "the " + what + " " + fd.error().message);
  }
  return fail_errno("cannot open the " + what + " " + path, fd.error().sys_errno,
                    ErrorCode::kernel_not_found);
}

std::int64_t nsec_of(const struct timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::optional<FileState> state_of(const UniqueFd& fd) {
  struct stat status = {};
  if (::fstat(fd.get(), &status) < 0) return std::nullopt;
  return FileState{static_cast<std::uint64_t>(status.st_size), nsec_of(status.st_mtim),
                   nsec_of(status.st_ctim)};
}

Result<void> check_one(const UniqueFd& fd, const std::optional<FileState>& then,
                       const std::string& path) {
  if (!then || state_of(fd) == then) return {};
  return fail(ErrorCode::kexec_load_failed,
              path + " was changed since it was looked at: update (or prepare) again");
}

}  // namespace

Result<void> check_unchanged(const KexecImage& image) {
  auto kernel = check_one(image.kernel, image.kernel_state, image.kernel_path);
  if (!kernel || !image.initrd) return kernel;
  return check_one(*image.initrd, image.initrd_state, image.initrd_path);
}

Result<KexecImage> open_kernel(const std::string& path) {
  auto fd = open_file("kernel", path);
  if (!fd && fd.error().code == ErrorCode::invalid_argument) {
    return fail(ErrorCode::not_a_kernel, path + " is not a regular file");
  }
  if (!fd) return fail(fd.error());
  KexecImage image;
  image.kernel = std::move(*fd);
  image.kernel_path = path;
  image.kernel_state = state_of(image.kernel);
  return image;
}

Result<void> open_initrd(KexecImage& image, const std::string& path) {
  image.initrd.reset();
  image.initrd_state.reset();
  image.initrd_path = path;
  if (path.empty()) return {};
  auto fd = open_file("initrd", path);
  if (!fd) return fail(fd.error());
  image.initrd = std::move(*fd);
  image.initrd_state = state_of(*image.initrd);
  return {};
}

Result<void> open_initrds(KexecImage& image, const std::vector<std::string>& paths) {
  if (paths.size() == 1) return open_initrd(image, paths.front());
  image.initrd.reset();
  image.initrd_state.reset();
  image.initrd_path.clear();
  std::vector<std::string> contents;
  for (const auto& path : paths) {
    const auto fd = open_file("initrd", path);
    if (!fd) return fail(fd.error());
    auto text = read_fd(fd->get(), one_initrd_limit);
    if (!text) return fail(text.error());
    if (text->size() >= one_initrd_limit) {
      return fail(ErrorCode::invalid_argument, "the initrd " + path + " is larger than " +
                                                   std::to_string(one_initrd_limit) + " bytes");
    }
    contents.push_back(std::move(*text));
    image.initrd_path += (image.initrd_path.empty() ? "" : ", ") + path;
  }
  if (contents.empty()) return {};
  auto joined = sealed_file("initrd", {contents.begin(), contents.end()});
  if (!joined) return fail(joined.error());
  image.initrd = std::move(*joined);
  return {};
}

Result<void> load_kernel(const KexecImage& image, const std::string& cmdline) {
  if (auto unchanged = check_unchanged(image); !unchanged) return unchanged;
  // cmdline_len counts the NUL (kexec_file_load(2)).
  if (kexec_file_load(image.kernel.get(), image.initrd ? image.initrd->get() : -1,
                      cmdline.size() + 1, cmdline.c_str(),
                      image.initrd ? 0 : file_no_initramfs) != 0) {
    return fail(kexec_load_error(image.kernel_path, errno));
  }
  // The kernel has read them in the meantime.
  auto unchanged = check_unchanged(image);
  if (!unchanged) {
    if (auto unloaded = unload_kernel(); !unloaded) return unloaded;
  }
  return unchanged;
}

Result<void> unload_kernel() {
  if (kexec_file_load(-1, -1, 0, nullptr, file_unload) != 0) {
    return fail_errno("cannot unload the kernel loaded for kexec");
  }
  return {};
}

Result<bool> kernel_loaded(const std::string& root) {
  auto text = read_file(root + "/sys/kernel/kexec_loaded");
  if (!text) return fail(text.error());
  return text->starts_with('1');
}

Error kexec_now() {
  ::reboot(RB_KEXEC);
  return kexec_call_error(errno);
}

}  // namespace handover::system
