// SPDX-License-Identifier: LGPL-2.1-or-later
// The sentences for what the companion module answers, each with what to do about it.
#pragma once

#include <cstdint>
#include <string>

#include "backend/descriptor.h"
#include "core/error.h"

namespace handover::backend {

/// The errno of opening /dev/handover, of an ioctl on it, or of creating or retrieving a session.
Error tracker_error(const std::string& what, const std::string& session, int sys_errno);
/// HANDOVER_SESSION_PRESERVE_FD's errno.
Error tracker_preserve_error(const std::string& session, std::uint64_t token, const FileType& type,
                             int sys_errno);
/// HANDOVER_SESSION_RETRIEVE's errno.
Error tracker_retrieve_error(const std::string& session, std::uint64_t token, int sys_errno);

}  // namespace handover::backend
