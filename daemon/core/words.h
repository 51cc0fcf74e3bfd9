// SPDX-License-Identifier: LGPL-2.1-or-later
// The words that records, D-Bus and the log have in common, as types. They are strings only in
// core's JSON, in bus/ and in log lines.
#pragma once

#include "core/enum_words.h"

namespace handover {

/// How an update leaves this kernel.
enum class Mode {
  immediate,  ///< reboot(KEXEC) at once
  orderly,    ///< through PID 1: kexec.target, every unit stopped
  emulated,   ///< no kexec: the daemon executes itself again
  external,   ///< somebody else did a kexec (`systemctl kexec`)
};
constexpr auto words(Mode) {
  return std::to_array<Word<Mode>>({{Mode::immediate, "immediate"},
                                    {Mode::orderly, "orderly"},
                                    {Mode::emulated, "emulated"},
                                    {Mode::external, "external"}});
}

/// Who holds a preserved descriptor: the "backend" in D-Bus, JSON and the configuration.
enum class Keeper {
  luo,       ///< the kernel's Live Update Orchestrator
  tracker,   ///< the companion module
  emulated,  ///< the daemon's own process, over a re-exec
};
constexpr auto words(Keeper) {
  return std::to_array<Word<Keeper>>(
      {{Keeper::luo, "luo"}, {Keeper::tracker, "tracker"}, {Keeper::emulated, "emulated"}});
}

/// What a token stands for.
enum class Kind {
  memfd,      ///< shmem without a name
  tmpfs,      ///< shmem with a name in a directory
  hugetlb,    ///< a file of huge pages
  fd,         ///< any other file, and kinds that only a newer version knows
  blob,       ///< bytes from D-Bus (PreserveBlob), kept in a memfd
  range,      ///< a range of anonymous memory, in the module
  allocated,  ///< memory that the module has allocated
  handover,   ///< a file that was retrieved from the module, preserved again
  kernel,     ///< another kernel module's; nobody can retrieve it here
};
constexpr auto words(Kind) {
  return std::to_array<Word<Kind>>({{Kind::memfd, "memfd"},
                                    {Kind::tmpfs, "tmpfs"},
                                    {Kind::hugetlb, "hugetlb"},
                                    {Kind::fd, "fd"},
                                    {Kind::blob, "blob"},
                                    {Kind::range, "range"},
                                    {Kind::allocated, "allocated"},
                                    {Kind::handover, "handover"},
                                    {Kind::kernel, "kernel"}});
}

/// How an update ended.
enum class Outcome {
  done,
  done_with_losses,  ///< some state did not come back
  rehearsed,         ///< it was a rehearsal, and went well
  cancelled,
  failed,
};
constexpr auto words(Outcome) {
  return std::to_array<Word<Outcome>>({{Outcome::done, "done"},
                                       {Outcome::done_with_losses, "done-with-losses"},
                                       {Outcome::rehearsed, "rehearsed"},
                                       {Outcome::cancelled, "cancelled"},
                                       {Outcome::failed, "failed"}});
}

/// What a job is doing.
enum class JobPhase {
  preflight,
  load,
  prepare,
  collapse,
  prepared,
  freeze,
  seal,
  kexec,
  cancel,
  thaw,
  restore,
};
constexpr auto words(JobPhase) {
  return std::to_array<Word<JobPhase>>({{JobPhase::preflight, "preflight"},
                                        {JobPhase::load, "load"},
                                        {JobPhase::prepare, "prepare"},
                                        {JobPhase::collapse, "collapse"},
                                        {JobPhase::prepared, "prepared"},
                                        {JobPhase::freeze, "freeze"},
                                        {JobPhase::seal, "seal"},
                                        {JobPhase::kexec, "kexec"},
                                        {JobPhase::cancel, "cancel"},
                                        {JobPhase::thaw, "thaw"},
                                        {JobPhase::restore, "restore"}});
}

}  // namespace handover
