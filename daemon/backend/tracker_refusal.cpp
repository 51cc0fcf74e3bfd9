// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/tracker_refusal.h"

#include <cerrno>
#include <utility>

#include "backend/refusal.h"

namespace handover::backend {
namespace {

/// "token 7 of session "vm""; one of the two may be missing.
std::string object_words(const std::string& session) {
  return session.empty() ? "the companion module" : "session \"" + session + "\"";
}

std::string token_words(const std::string& session, std::uint64_t token) {
  return "token " + std::to_string(token) + " of " + object_words(session);
}

}  // namespace

Error tracker_error(const std::string& what, const std::string& session, int sys_errno) {
  const std::string object = object_words(session);
  const std::string cannot = "cannot " + what + " " + object;
  switch (sys_errno) {
    case ENODEV:
      return Error{ErrorCode::no_such_backend,
                   cannot + ": the companion module is not loaded; run: modprobe handover",
                   sys_errno};
    case EEXIST:
      return Error{ErrorCode::name_taken,
                   "the companion module has a " + object +
                       " already: choose another name, or finish or discard that one first",
                   sys_errno};
    case ENOENT:
      return Error{ErrorCode::no_such_session, "the companion module has no " + object, sys_errno};
    case EOPNOTSUPP:
      return Error{ErrorCode::not_supported,
                   cannot +
                       ": kexec handover is off; boot a kernel with CONFIG_KEXEC_HANDOVER and "
                       "kho=on",
                   sys_errno};
    case EBUSY:
      return passing({ErrorCode::busy,
                      cannot +
                          ": its tables are sealed for an update, or another kernel module holds "
                          "it; try again when that is over",
                      sys_errno});
    case EPERM:
    case EACCES:
      return Error{ErrorCode::access_denied,
                   cannot + ": /dev/handover is for root with CAP_SYS_BOOT only", sys_errno};
    case ENOTTY:
    case E2BIG:
      return Error{ErrorCode::not_supported,
                   cannot +
                       ": the module that is loaded is older than this daemon; load the one "
                       "that came with it",
                   sys_errno};
    default:
      return fail_errno(cannot, sys_errno).value();
  }
}

Error tracker_preserve_error(const std::string& session, std::uint64_t token, const FileType& type,
                             int sys_errno) {
  switch (sys_errno) {
    case EEXIST:
      return token_taken(session, token);
    case EOPNOTSUPP:
      return unsupported(type, sys_errno);
    case EDQUOT:
      return Error{ErrorCode::limit_exceeded,
                   type.noun + " of " + std::to_string(type.bytes) + " bytes is too much for " +
                       object_words(session) +
                       ": it has a limit, max_bytes_per_user or max_descriptors_per_user",
                   sys_errno};
    case EINVAL:
      return is_incoming_error(session, "preserving");
    case EBUSY:
      // Sealed as well, but then the daemon asks for nothing.
      return already_preserved(type);
    case ENOENT:
      return tracker_error("preserve in", session, sys_errno);
    default:
      return fail_errno("the companion module cannot preserve " + type.noun + " under " +
                            token_words(session, token),
                        sys_errno)
          .value();
  }
}

Error tracker_retrieve_error(const std::string& session, std::uint64_t token, int sys_errno) {
  switch (sys_errno) {
    case ENOENT:
      return no_such_token(session, token);
    case EINVAL:
      return not_incoming_error(session);
    case EALREADY:
      return already_retrieved(session, token);
    case ENODATA:
      return damaged({ErrorCode::state_lost,
                      token_words(session, token) +
                          " was preserved and what the earlier kernel wrote of it is damaged (see "
                          "the kernel's log); its contents are lost",
                      sys_errno});
    case EOPNOTSUPP:
      return Error{ErrorCode::unsupported,
                   token_words(session, token) +
                       " belongs to another kernel module, which takes it back by itself",
                   sys_errno};
    case EBUSY:
      return tracker_error("retrieve from", session, sys_errno);
    default:
      // Nothing has changed: it can be tried again.
      return fail_errno("the companion module cannot give " + token_words(session, token),
                        sys_errno)
          .value();
  }
}

}  // namespace handover::backend
