// SPDX-License-Identifier: LGPL-2.1-or-later
// Hooks: programs of the host's administrator that run at fixed stages of an update
// (docs/hooks.md). Which ones run, in which order, what they are told, and what their end means. No
// I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/enum_words.h"
#include "core/error.h"
#include "core/words.h"

namespace handover {

/// Each is a directory below hooks.d.
enum class HookStage {
  preflight,  ///< with all other findings; nothing has begun
  prepare,    ///< the target is loaded, no client is asked yet
  freeze,     ///< all is prepared, no client is frozen yet
  thaw,       ///< the update was undone after that
  restored,   ///< the new kernel has all clients
  failed,     ///< the update did not end well; told last
};
constexpr auto words(HookStage) {
  return std::to_array<Word<HookStage>>({{HookStage::preflight, "preflight"},
                                         {HookStage::prepare, "prepare"},
                                         {HookStage::freeze, "freeze"},
                                         {HookStage::thaw, "thaw"},
                                         {HookStage::restored, "restored"},
                                         {HookStage::failed, "failed"}});
}

// ---- which ones

struct HookEntry {
  enum class Kind {
    program,  ///< a file that may be executed
    mask,     ///< empty, or a device: /dev/null
    other,    ///< a directory, a file without x: means nothing
  };
  std::string name;
  Kind kind = Kind::other;
  std::string unsafe = {};  ///< why others than root could change it; "" if they could not
};

/// A stage's directory, as it was found.
struct HookDirectory {
  std::string path;
  std::vector<HookEntry> entries;
  std::string unsafe = {};
};

struct HookFile {
  std::string name;
  std::string path;
  bool operator==(const HookFile&) const = default;
};

/// What is not run, since others than root could change it.
struct UnsafeHook {
  std::string path;
  std::string why;  ///< half a sentence: "is writable by its group"
  bool operator==(const UnsafeHook&) const = default;
};

struct HookPlan {
  std::vector<HookFile> run;  ///< in this order
  std::vector<UnsafeHook> unsafe;
};

/// By name, whatever the directory. A name in an earlier directory hides it in later ones, be it a
/// program, a mask, or unsafe. Names of hidden files and of backups mean nothing.
HookPlan plan_hooks(const std::vector<HookDirectory>& directories);

// ---- what they are told

struct HookContext {
  std::string job;           ///< prepare or update; "" before one begins
  std::uint64_t update = 0;  ///< its id; 0: none has begun
  std::string mode;          ///< Mode
  std::string from;          ///< release of the kernel that is left
  std::string to;            ///< "" if it is not known yet
  std::string outcome = {};  ///< of an update that is over
  std::string reason = {};   ///< of one that did not end well
};

/// "NAME=VALUE" each; nothing of the daemon's own environment.
std::vector<std::string> hook_environment(HookStage stage, const HookContext& context);

// ---- what came of them

/// With it a hook says that something is worth a warning.
inline constexpr int warning_status = 77;

enum class HookEnd {
  passed,
  warned,
  refused,      ///< another exit status
  killed,       ///< by a signal that was not ours
  timed_out,    ///< killed at its limit
  not_started,  ///< the file cannot be executed
  stopped,      ///< killed, since the update is undone
};
constexpr auto words(HookEnd) {
  return std::to_array<Word<HookEnd>>({{HookEnd::passed, "passed"},
                                       {HookEnd::warned, "warned"},
                                       {HookEnd::refused, "refused"},
                                       {HookEnd::killed, "killed"},
                                       {HookEnd::timed_out, "timed-out"},
                                       {HookEnd::not_started, "not-started"},
                                       {HookEnd::stopped, "stopped"}});
}

struct HookResult {
  using End = HookEnd;
  std::string name;  ///< "prepare/50-check"
  End end = End::passed;
  int status = 0;
  std::string last_line = {};  ///< of its output, printable
  std::string problem = {};
  std::uint64_t usec = 0;  ///< how long it took, or its limit
};

struct HookReport {
  std::vector<HookResult> results;  ///< of those that ran
  std::vector<UnsafeHook> unsafe;
};

/// Whether a hook that refuses ends the stage, so that the later ones do not run.
bool ends_at_refusal(HookStage stage);
/// Neither passed nor warned.
bool is_refusal(const HookResult& result);
/// nullptr if there is none.
const HookResult* first_refusal(const HookReport& report);
/// "hook 'prepare/50-check' ended with status 3: the disk is full".
std::string sentence_of(const HookResult& result);
/// vetoed or timed_out.
Error to_error(const HookResult& result);

}  // namespace handover
