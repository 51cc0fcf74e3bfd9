// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/update_options.h"

#include "core/kernel_cmdline.h"

namespace handover {

UpdateOptions going_on(UpdateOptions asked, const UpdateOptions& prepared) {
  if (!asked.mode) asked.mode = prepared.mode;
  if (names_another_kernel(asked, prepared)) return asked;
  // Its initrds may be several, which only the entry names.
  asked.kernel = prepared.entry.empty() ? prepared.kernel : prepared.entry;
  if (!asked.initrd) asked.initrd = prepared.initrd;
  if (asked.cmdline.empty()) asked.cmdline = prepared.cmdline;
  asked.allow.insert(prepared.allow.begin(), prepared.allow.end());
  return asked;
}

bool names_another_kernel(const UpdateOptions& asked, const UpdateOptions& have) {
  return !asked.kernel.empty() && asked.kernel != have.kernel && asked.kernel != have.entry;
}

bool asks_for_another_target(const UpdateOptions& asked, const UpdateOptions& have) {
  // What is asked for becomes this when it is looked at.
  const bool other_cmdline = !asked.cmdline.empty() && asked.cmdline != have.cmdline &&
                             ensure_cmdline(asked.cmdline) != have.cmdline;
  return names_another_kernel(asked, have) || other_cmdline ||
         (asked.mode && asked.mode != have.mode) || (asked.initrd && asked.initrd != have.initrd);
}

}  // namespace handover
