// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/error.h"

#include <system_error>

namespace handover {

std::string_view error_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "InvalidArgument";
    case ErrorCode::invalid_name:
      return "InvalidName";
    case ErrorCode::name_taken:
      return "NameTaken";
    case ErrorCode::no_such_session:
      return "NoSuchSession";
    case ErrorCode::no_such_client:
      return "NoSuchClient";
    case ErrorCode::no_such_token:
      return "NoSuchToken";
    case ErrorCode::token_taken:
      return "TokenTaken";
    case ErrorCode::no_such_backend:
      return "NoSuchBackend";
    case ErrorCode::unsupported:
      return "Unsupported";
    case ErrorCode::already_preserved:
      return "AlreadyPreserved";
    case ErrorCode::already_retrieved:
      return "AlreadyRetrieved";
    case ErrorCode::not_incoming:
      return "NotIncoming";
    case ErrorCode::incoming:
      return "Incoming";
    case ErrorCode::access_denied:
      return "AccessDenied";
    case ErrorCode::busy:
      return "Busy";
    case ErrorCode::nothing_to_cancel:
      return "NothingToCancel";
    case ErrorCode::limit_exceeded:
      return "LimitExceeded";
    case ErrorCode::dependency_cycle:
      return "DependencyCycle";
    case ErrorCode::unknown_dependency:
      return "UnknownDependency";
    case ErrorCode::kernel_not_found:
      return "KernelNotFound";
    case ErrorCode::not_a_kernel:
      return "NotAKernel";
    case ErrorCode::kernel_incompatible:
      return "KernelIncompatible";
    case ErrorCode::module_missing:
      return "ModuleMissing";
    case ErrorCode::kexec_load_failed:
      return "KexecLoadFailed";
    case ErrorCode::kexec_failed:
      return "KexecFailed";
    case ErrorCode::vetoed:
      return "Vetoed";
    case ErrorCode::timed_out:
      return "TimedOut";
    case ErrorCode::client_gone:
      return "ClientGone";
    case ErrorCode::cancelled:
      return "Cancelled";
    case ErrorCode::manifest_invalid:
      return "ManifestInvalid";
    case ErrorCode::state_lost:
      return "StateLost";
    case ErrorCode::io:
      return "Io";
    case ErrorCode::not_supported:
      return "NotSupported";
    case ErrorCode::internal:
      return "Internal";
  }
  return "Internal";  // a value outside of the enum: a bug of the caller, named as one
}

tl::unexpected<Error> fail_errno(std::string_view what, int sys_errno, ErrorCode code) {
  std::string message(what);
  message += ": ";
  // Not strerror(), which is not safe in threads (strerror(3)).
  message += std::generic_category().message(sys_errno);
  return fail(code, std::move(message), sys_errno);
}

}  // namespace handover
