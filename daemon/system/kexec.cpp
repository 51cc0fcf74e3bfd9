// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/kexec.h"

#include <fcntl.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/unique_fd.h"
#include "system/files.h"
#include "system/kexec_errors.h"

namespace handover::system {
namespace {

// include/uapi/linux/kexec.h; older kernel headers on the build machine lack some of them.
constexpr unsigned long file_unload = 0x1;
constexpr unsigned long file_no_initramfs = 0x4;

long kexec_file_load(int kernel, int initrd, std::size_t cmdline_size, const char* cmdline,
                     unsigned long flags) {
  return ::syscall(SYS_kexec_file_load, kernel, initrd, cmdline_size, cmdline, flags);
}

}  // namespace

Result<void> load_kernel(const std::string& kernel, const std::string& initrd,
                         const std::string& cmdline) {
  const UniqueFd kernel_fd(::open(kernel.c_str(), O_RDONLY | O_CLOEXEC));
  if (!kernel_fd) {
    return fail_errno("cannot open the kernel " + kernel, errno, ErrorCode::kernel_not_found);
  }
  UniqueFd initrd_fd;
  if (!initrd.empty()) {
    initrd_fd.reset(::open(initrd.c_str(), O_RDONLY | O_CLOEXEC));
    if (!initrd_fd) {
      return fail_errno("cannot open the initrd " + initrd, errno, ErrorCode::kernel_not_found);
    }
  }
  // cmdline_len counts the NUL (kexec_file_load(2)).
  if (kexec_file_load(kernel_fd.get(), initrd_fd.get(), cmdline.size() + 1, cmdline.c_str(),
                      initrd_fd ? 0 : file_no_initramfs) != 0) {
    return fail(kexec_load_error(kernel, errno));
  }
  return {};
}

Result<void> unload_kernel() {
  if (kexec_file_load(-1, -1, 0, nullptr, file_unload) != 0) {
    return fail_errno("cannot unload the kernel loaded for kexec");
  }
  return {};
}

Result<bool> kernel_loaded() {
  auto text = read_file("/sys/kernel/kexec_loaded");
  if (!text) return fail(text.error());
  return text->starts_with('1');
}

void sync_file_systems() { ::sync(); }

Error kexec_now() {
  ::sync();
  ::reboot(RB_KEXEC);
  return kexec_call_error(errno);
}

}  // namespace handover::system
