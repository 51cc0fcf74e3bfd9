// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/refusal.h"

namespace handover::backend {
namespace {

std::string session_words(const std::string& session) { return "session \"" + session + "\""; }

std::string token_words(std::uint64_t token) { return "token " + std::to_string(token); }

}  // namespace

std::string token_of(const std::string& session, std::uint64_t token) {
  return token_words(token) + " of " + session_words(session);
}

Error unsupported(const FileType& type, int sys_errno) {
  std::string message = type.noun + " cannot be preserved";
  if (!type.advice.empty()) message += ": " + type.advice;
  return Error{ErrorCode::unsupported, std::move(message), sys_errno};
}

Error token_taken(const std::string& session, std::uint64_t token) {
  return Error{ErrorCode::token_taken,
               session_words(session) + " already holds a descriptor under " + token_words(token) +
                   ": use another token, or unpreserve that one first",
               EEXIST};
}

Error already_preserved(const FileType& type) {
  return Error{ErrorCode::already_preserved,
               "this file (" + type.noun +
                   ") is preserved already, in this session or another one: a file can be "
                   "preserved once, however many descriptors refer to it",
               EBUSY};
}

Error size_changed(const std::string& session, std::uint64_t token, std::uint64_t preserved,
                   std::uint64_t now) {
  return Error{ErrorCode::unsupported,
               token_of(session, token) + " has " + std::to_string(now) + " bytes and had " +
                   std::to_string(preserved) +
                   " when it was preserved; the kernel refuses to change the size of a preserved "
                   "memfd: unpreserve it before, and preserve it again",
               EPERM};
}

Error no_such_token(const std::string& session, std::uint64_t token) {
  return Error{ErrorCode::no_such_token,
               session_words(session) + " holds nothing under " + token_words(token) +
                   ": `handoverctl sessions` lists what it holds",
               ENOENT};
}

Error already_retrieved(const std::string& session, std::uint64_t token) {
  return Error{ErrorCode::already_retrieved,
               token_words(token) + " of " + session_words(session) +
                   " has been retrieved: it can be had once",
               0};
}

Error is_incoming_error(const std::string& session, const std::string& what) {
  return Error{ErrorCode::incoming,
               session_words(session) + " holds state from the earlier kernel, so " + what +
                   " is not possible: retrieve what it holds, finish it, and make it anew",
               0};
}

Error not_incoming_error(const std::string& session) {
  return Error{ErrorCode::not_incoming,
               session_words(session) + " holds nothing from an earlier kernel", 0};
}

Error session_name_taken(const std::string& session) {
  return Error{ErrorCode::name_taken,
               "the kernel has a " + session_words(session) +
                   " already: choose another name, or discard that one first",
               EEXIST};
}

Error other_backend(const std::string& session, Keeper has, Keeper wanted) {
  std::string message = session_words(session) + " is kept by backend '" +
                        std::string(to_string(has)) + "' alone, not by '" +
                        std::string(to_string(wanted)) + "'";
  message += wanted == Keeper::tracker ? ": set \"backend\" to auto or tracker in handoverd.json"
                                       : ": leave the backend out, or make a session of that one";
  return Error{ErrorCode::no_such_backend, std::move(message), 0};
}

Error preserve_error(const std::string& session, std::uint64_t token, const FileType& type,
                     int sys_errno) {
  switch (sys_errno) {
    case EEXIST:
      return token_taken(session, token);
    case EBUSY:
      return already_preserved(type);
    case ENOENT:
      return unsupported(type, sys_errno);
    case EOPNOTSUPP:
      return Error{ErrorCode::unsupported,
                   type.noun + " has seals that the kernel cannot preserve: make it without them",
                   sys_errno};
    case EFBIG:
      return Error{ErrorCode::unsupported,
                   type.noun + " of " + std::to_string(type.bytes) +
                       " bytes is too large for the kernel: use several smaller ones",
                   sys_errno};
    case ENOSPC:
      return Error{ErrorCode::limit_exceeded,
                   session_words(session) + " is full: make another session", sys_errno};
    default:
      return fail_errno("the kernel cannot preserve " + type.noun + " under " + token_words(token) +
                            " of " + session_words(session),
                        sys_errno)
          .value();
  }
}

Error owner_too_slow(const std::string& what, const std::string& cgroup) {
  return passing(
      {ErrorCode::busy,
       what + " is not preserved: its memory is charged to cgroup " + cgroup +
           ", which is frozen or too slow (cgroup.freeze, cpu.max, memory.high, or a host that "
           "swaps); thaw it or raise its limits, and try again",
       ETIMEDOUT});
}

Error not_preserved_now(const std::string& session, std::size_t descriptors,
                        const std::string& cause, int sys_errno) {
  return passing({ErrorCode::io,
                  std::to_string(descriptors) +
                      (descriptors == 1 ? " descriptor of " : " descriptors of ") +
                      session_words(session) +
                      " cannot be preserved at present; the daemon keeps what it needs and tries "
                      "again: " +
                      cause,
                  sys_errno});
}

Error cannot_restore(const std::string& what, int sys_errno) {
  return damaged(fail_errno("the kernel cannot restore " + what + ", so its contents are lost",
                            sys_errno, ErrorCode::state_lost)
                     .value());
}

Error device_error(const std::string& what, const std::string& session, int sys_errno) {
  switch (sys_errno) {
    case EBUSY:
      return passing({ErrorCode::io,
                      "cannot " + what + " " + session_words(session) +
                          ": another process keeps /dev/liveupdate open",
                      sys_errno});
    case EIO:
      // luo_open() fails so for ever once luo_session_deserialize() has failed.
      return damaged({ErrorCode::state_lost,
                      "cannot " + what + " " + session_words(session) +
                          ": this kernel could not read the earlier kernel's sessions (see its "
                          "log); live update works again after a cold boot",
                      sys_errno});
    default:
      return fail_errno("cannot " + what + " " + session_words(session), sys_errno).value();
  }
}

}  // namespace handover::backend
