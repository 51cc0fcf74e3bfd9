// SPDX-License-Identifier: LGPL-2.1-or-later
// The sentences for what a backend refuses or the kernel answers, each with what to do about it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "backend/descriptor.h"
#include "core/error.h"
#include "core/words.h"

namespace handover::backend {

/// "token 7 of session "vm"".
std::string token_of(const std::string& session, std::uint64_t token);

/// unsupported: `type` is nothing that survives a kexec here.
Error unsupported(const FileType& type, int sys_errno = 0);
Error token_taken(const std::string& session, std::uint64_t token);
Error already_preserved(const FileType& type);
/// unsupported: a preserved file must keep its size. For the emulated backend; the kernel refuses
/// to change it.
Error size_changed(const std::string& session, std::uint64_t token, std::uint64_t preserved,
                   std::uint64_t now);
Error no_such_token(const std::string& session, std::uint64_t token);
Error already_retrieved(const std::string& session, std::uint64_t token);
/// The session holds state from the earlier kernel, `what` needs an outgoing one.
Error is_incoming_error(const std::string& session, const std::string& what);
Error not_incoming_error(const std::string& session);
Error session_name_taken(const std::string& session);
/// no_such_backend: the session is of backend `has` only.
Error other_backend(const std::string& session, Keeper has, Keeper wanted);

/// LIVEUPDATE_SESSION_PRESERVE_FD's errno (luo_preserve_file() in kernel/liveupdate/luo_file.c and
/// memfd_luo_preserve() in mm/memfd_luo.c).
Error preserve_error(const std::string& session, std::uint64_t token, const FileType& type,
                     int sys_errno);
/// passing: the owner's cgroup does not let it be preserved in time.
Error owner_too_slow(const std::string& what, const std::string& cgroup);
/// passing: so many descriptors of the session are not preserved at present; the daemon has them.
Error not_preserved_now(const std::string& session, std::size_t descriptors,
                        const std::string& cause, int sys_errno);
/// state_lost: the kernel will never restore `what`.
Error cannot_restore(const std::string& what, int sys_errno);
/// The errno of opening /dev/liveupdate, or of creating or retrieving a session through it.
Error device_error(const std::string& what, const std::string& session, int sys_errno);

}  // namespace handover::backend
