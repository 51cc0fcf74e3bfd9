// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/kexec_errors.h"

#include <system_error>

namespace handover::system {
namespace {

/// Sources: kexec_file_load(2); kernel/kexec_file.c, arch/x86/kernel/kexec-bzimage64.c and
/// kernel/liveupdate/kexec_handover.c of Linux 7.3.
std::string load_advice(int sys_errno) {
  switch (sys_errno) {
    case EPERM:
      return "handoverd needs CAP_SYS_BOOT, kernel.kexec_load_disabled must be 0, and lockdown "
             "must not forbid it";
    case ENOEXEC:
      return "the running kernel cannot load an image of this kind";
    case ENOMEM:
    case EADDRNOTAVAIL:
      return "there is no room for it: with kho=on it must fit in KHO's scratch area, so give a "
             "larger kho_scratch= on the kernel command line or a smaller initrd";
    case ENODATA:
      // verify_pefile_signature(): there is none.
      return "it has no signature, and this kernel loads only what is signed with a key that it "
             "knows (KEXEC_SIG, Secure Boot): install a signed kernel";
    case ENOPKG:
      return "its signature is made in a way that this kernel cannot check: install a kernel that "
             "is signed otherwise";
    case ELIBBAD:
      return "its signature does not fit it, or it is damaged: install it again";
    case ETXTBSY:
      return "somebody has it, or its initrd, open for writing: wait until the installation is "
             "over";
    case EKEYREJECTED:
    case ENOKEY:
    case EBADMSG:
      return "its signature is missing or not trusted by this kernel: install a kernel signed "
             "with an enrolled key";
    case EBUSY:
      return "another kexec load runs, or a crash kernel is being loaded: try again";
    case ENOSYS:
      return "this kernel was built without CONFIG_KEXEC_FILE";
    case EINVAL:
      return "its initrd is empty, its command line is too long for it, or a flag is not known "
             "here";
    default:
      return "see the kernel log";
  }
}

std::string call_advice(int sys_errno) {
  switch (sys_errno) {
    case EINVAL:
      return "no kernel is loaded";
    case EPERM:
      return "handoverd needs CAP_SYS_BOOT";
    case EBUSY:
      return "another kexec runs";
    default:
      // LUO's serialization and freeze run inside this call and undo themselves
      // (liveupdate_reboot() in kernel/liveupdate/luo_core.c).
      return "a preserved descriptor could not be frozen or serialized; the kernel log names it";
  }
}

}  // namespace

Error kexec_load_error(const std::string& kernel, int sys_errno) {
  return Error{ErrorCode::kexec_load_failed,
               "cannot load " + kernel + ": " + std::generic_category().message(sys_errno) + "; " +
                   load_advice(sys_errno),
               sys_errno};
}

Error kexec_call_error(int sys_errno) {
  return Error{ErrorCode::kexec_failed,
               "the kernel did not kexec: " + std::generic_category().message(sys_errno) + "; " +
                   call_advice(sys_errno),
               sys_errno};
}

}  // namespace handover::system
