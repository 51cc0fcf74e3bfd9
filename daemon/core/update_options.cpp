// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/update_options.h"

namespace handover {

UpdateOptions going_on(UpdateOptions asked, const UpdateOptions& prepared) {
  if (!asked.mode) asked.mode = prepared.mode;
  if (!asked.kernel.empty() && asked.kernel != prepared.kernel) return asked;
  asked.kernel = prepared.kernel;
  if (!asked.initrd) asked.initrd = prepared.initrd;
  if (asked.cmdline.empty()) asked.cmdline = prepared.cmdline;
  asked.allow.insert(prepared.allow.begin(), prepared.allow.end());
  return asked;
}

}  // namespace handover
