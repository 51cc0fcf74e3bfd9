// SPDX-License-Identifier: LGPL-2.1-or-later
// The errors a caller must handle: a documented code, a sentence, and the errno below it.
#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

#include "core/enum_words.h"

namespace handover {

/// Each code is one D-Bus error name, "org.handover1.Error." and its word.
enum class ErrorCode {
  invalid_argument,   ///< an argument is malformed; the sentence says which and what is allowed
  invalid_name,       ///< a session or client name breaks the rules of core/names.h
  name_taken,         ///< a session or client of that name exists
  no_such_session,    ///< no session of that name
  no_such_client,     ///< no client of that name
  no_such_token,      ///< the session holds nothing under that token
  token_taken,        ///< the session already holds something under that token
  no_such_backend,    ///< the backend named is unknown or not available here
  unsupported,        ///< the descriptor cannot be preserved by any backend here
  already_preserved,  ///< the same file is preserved already, here or in another session
  already_retrieved,  ///< a token can be retrieved once
  not_incoming,       ///< retrieve or finish on a session that holds nothing from an earlier kernel
  incoming,           ///< preserve on a session that still holds state from the earlier kernel
  access_denied,      ///< the caller is not the owner, or polkit said no
  busy,               ///< an update runs, or one asked for something the state forbids
  nothing_to_cancel,  ///< no update runs, or it is past the point of no return
  limit_exceeded,     ///< a per-user limit is reached
  dependency_cycle,   ///< clients need each other in a circle
  unknown_dependency,   ///< a client needs one that is not registered
  kernel_not_found,     ///< the target kernel image does not exist or cannot be read
  not_a_kernel,         ///< the target is no kernel image of this architecture
  kernel_incompatible,  ///< the target has no KHO or LUO, or speaks another ABI
  module_missing,       ///< the target has no companion module, and the one here holds state
  kexec_load_failed,    ///< kexec_file_load() refused the target
  kexec_failed,         ///< reboot(KEXEC) or the orderly shutdown returned
  vetoed,               ///< a client refused to prepare or to freeze
  timed_out,            ///< a client did not answer in its time limit
  client_gone,          ///< a client left the bus in the middle of an update
  cancelled,            ///< the update was cancelled on request
  manifest_invalid,  ///< the manifest is cut, garbled, of another version, or its checksum is wrong
  state_lost,        ///< preserved state did not come back; the sentence says whose
  io,                ///< the system refused an operation; the errno says why
  not_supported,     ///< this kernel or build lacks what was asked for
  internal,          ///< a bug; please report it
};

constexpr auto words(ErrorCode) {
  return std::to_array<Word<ErrorCode>>({{ErrorCode::invalid_argument, "InvalidArgument"},
                                         {ErrorCode::invalid_name, "InvalidName"},
                                         {ErrorCode::name_taken, "NameTaken"},
                                         {ErrorCode::no_such_session, "NoSuchSession"},
                                         {ErrorCode::no_such_client, "NoSuchClient"},
                                         {ErrorCode::no_such_token, "NoSuchToken"},
                                         {ErrorCode::token_taken, "TokenTaken"},
                                         {ErrorCode::no_such_backend, "NoSuchBackend"},
                                         {ErrorCode::unsupported, "Unsupported"},
                                         {ErrorCode::already_preserved, "AlreadyPreserved"},
                                         {ErrorCode::already_retrieved, "AlreadyRetrieved"},
                                         {ErrorCode::not_incoming, "NotIncoming"},
                                         {ErrorCode::incoming, "Incoming"},
                                         {ErrorCode::access_denied, "AccessDenied"},
                                         {ErrorCode::busy, "Busy"},
                                         {ErrorCode::nothing_to_cancel, "NothingToCancel"},
                                         {ErrorCode::limit_exceeded, "LimitExceeded"},
                                         {ErrorCode::dependency_cycle, "DependencyCycle"},
                                         {ErrorCode::unknown_dependency, "UnknownDependency"},
                                         {ErrorCode::kernel_not_found, "KernelNotFound"},
                                         {ErrorCode::not_a_kernel, "NotAKernel"},
                                         {ErrorCode::kernel_incompatible, "KernelIncompatible"},
                                         {ErrorCode::module_missing, "ModuleMissing"},
                                         {ErrorCode::kexec_load_failed, "KexecLoadFailed"},
                                         {ErrorCode::kexec_failed, "KexecFailed"},
                                         {ErrorCode::vetoed, "Vetoed"},
                                         {ErrorCode::timed_out, "TimedOut"},
                                         {ErrorCode::client_gone, "ClientGone"},
                                         {ErrorCode::cancelled, "Cancelled"},
                                         {ErrorCode::manifest_invalid, "ManifestInvalid"},
                                         {ErrorCode::state_lost, "StateLost"},
                                         {ErrorCode::io, "Io"},
                                         {ErrorCode::not_supported, "NotSupported"},
                                         {ErrorCode::internal, "Internal"}});
}

/// What becomes of the operation if it is tried again.
enum class Nature {
  refused,  ///< the same: the caller must change something
  passing,  ///< it may succeed: nothing is lost, so keep the record and try again
  damaged,  ///< the same, and state is lost
};
constexpr auto words(Nature) {
  return std::to_array<Word<Nature>>(
      {{Nature::refused, "refused"}, {Nature::passing, "passing"}, {Nature::damaged, "damaged"}});
}

/// What went wrong, in one sentence for a person that says what to do.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;
  int sys_errno = 0;  ///< errno of the failed system call, or 0
  Nature nature = Nature::refused;

  bool operator==(const Error&) const = default;
};

template <typename T>
using Result = tl::expected<T, Error>;

/// passing for an errno that says "not now" (EBUSY, EAGAIN, EINTR, ENOMEM, EMFILE, ENFILE, ENOSPC,
/// ETIMEDOUT), whatever the code; damaged for state_lost and manifest_invalid; else refused.
Nature nature_of(ErrorCode code, int sys_errno);

/// fail(ErrorCode::busy, "…") returns what any Result<T> converts from. Its nature is nature_of().
inline tl::unexpected<Error> fail(ErrorCode code, std::string message, int sys_errno = 0) {
  return tl::unexpected<Error>(
      Error{code, std::move(message), sys_errno, nature_of(code, sys_errno)});
}
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

/// The same error where the caller knows its nature better.
inline Error passing(Error error) {
  error.nature = Nature::passing;
  return error;
}
inline Error refused(Error error) {
  error.nature = Nature::refused;
  return error;
}
inline Error damaged(Error error) {
  error.nature = Nature::damaged;
  return error;
}

/// A failed system call: `what` names the operation and its object; strerror is appended.
tl::unexpected<Error> fail_errno(std::string_view what, int sys_errno = errno,
                                 ErrorCode code = ErrorCode::io);

}  // namespace handover
