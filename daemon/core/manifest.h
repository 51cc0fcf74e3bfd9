// SPDX-License-Identifier: LGPL-2.1-or-later
// What the daemon needs to go on after its own death or a kexec, as JSON with a version and a
// checksum. Changes since are written behind it (core/manifest_change.h).
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/extra.h"
#include "core/left_out.h"
#include "core/lost_session.h"
#include "core/rehearsal.h"
#include "core/state_machine.h"
#include "core/timeline.h"
#include "core/words.h"

namespace handover {

/// The uid and the systemd service that made a session or client. Nobody else but root may use it.
struct Owner {
  std::uint32_t uid = 0;
  std::string unit;  ///< "x.service", or "" for a caller outside any service (a login shell)
  bool operator==(const Owner&) const = default;
};

/// `caller` may use what `owner` made: same uid and same unit, or root.
bool may_use(const Owner& owner, const Owner& caller);

/// One preserved descriptor.
struct TokenRecord {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  std::uint64_t token = 0;
  Kind kind = Kind::fd;
  std::uint64_t bytes = 0;  ///< size when preserved; 0 if it has none
  bool retrieved = false;
  std::optional<Keeper> keeper = {};  ///< who holds it; absent: the session's
  nlohmann::json extra = no_extra;
  bool operator==(const TokenRecord&) const = default;
};

struct SessionRecord {   // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  std::uint64_t id = 0;  ///< never reused in one boot; names the fd in the fd store
  std::string name;
  Keeper keeper = Keeper::luo;  ///< where its tokens go unless they say otherwise
  std::string client;           ///< the client it belongs to, "" if none
  Owner owner;
  std::string cgroup;     ///< of its owner, below /sys/fs/cgroup; "": unknown
  bool incoming = false;  ///< holds state from the earlier kernel, not finished yet
  /// Finish or Discard has begun. A restarted daemon completes it; what is gone by then is no loss.
  bool ending = false;
  /// The kernel does not hold all of its tokens now. The daemon tries to preserve them again.
  bool degraded = false;
  /// Its owner has a descriptor of the module's session, and can change its tokens without us.
  bool opened = false;
  /// Its owner has had the descriptor of LUO's session, and may have preserved in it what LUO tells
  /// nobody of. Incoming: the owner of the earlier kernel had it.
  bool luo_opened = false;
  /// Incoming, and its owner has the descriptor again: what is in it is not unclaimed.
  bool luo_claimed = false;
  std::vector<TokenRecord> tokens;
  nlohmann::json extra = no_extra;
  bool operator==(const SessionRecord&) const = default;
};

/// How far a client is in the running update.
enum class ClientPhase {
  idle,
  preparing,
  prepared,
  freezing,
  frozen,
  thawing,
  restoring,
  restored,
  given_up
};
constexpr auto words(ClientPhase) {
  return std::to_array<Word<ClientPhase>>({{ClientPhase::idle, "idle"},
                                           {ClientPhase::preparing, "preparing"},
                                           {ClientPhase::prepared, "prepared"},
                                           {ClientPhase::freezing, "freezing"},
                                           {ClientPhase::frozen, "frozen"},
                                           {ClientPhase::thawing, "thawing"},
                                           {ClientPhase::restoring, "restoring"},
                                           {ClientPhase::restored, "restored"},
                                           {ClientPhase::given_up, "given_up"}});
}

struct ClientRecord {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  std::string name;
  std::string bus_name;  ///< unique name, or "" for a direct connection
  std::string path;      ///< of the object that implements org.handover1.Client
  Owner owner;
  std::vector<std::string> needs;
  bool required = true;                    ///< the update fails if this client fails or is gone
  bool gate = false;                       ///< it guards updates (core/graph.h, Gates)
  std::uint64_t prepare_timeout_usec = 0;  ///< 0: the configured one
  std::uint64_t freeze_timeout_usec = 0;
  std::uint64_t restore_timeout_usec = 0;
  ClientPhase phase = ClientPhase::idle;
  bool quiesced = false;  ///< it has answered Freeze, and nobody has thawed it since
  std::string left_out;   ///< why the update went on without it; "" if it did not
  nlohmann::json extra = no_extra;
  bool operator==(const ClientRecord&) const = default;
};

/// The update that runs, or that led to this kernel.
struct UpdateRecord {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  std::uint64_t id = 0;
  Mode mode = Mode::external;
  std::string kernel;          ///< path of the target image
  std::string kernel_release;  ///< its release
  std::string image;           ///< what tells it from another build (core/kernel_ledger.h), or ""
  std::string entry;           ///< id of its boot loader entry, if it was found by one
  std::string from_release;
  std::string requested_by;  ///< "uid 0 (unit x.service)" for the history
  Timeline timeline;
  std::vector<std::string> losses;     ///< one sentence each, for the history
  std::vector<LeftOut> left_out;       ///< for the history, too
  std::string overruled;               ///< the finding that it ignores on request, or ""
  std::optional<Rehearsal> rehearsal;  ///< it ends before the reboot call
  nlohmann::json extra = no_extra;
  bool operator==(const UpdateRecord&) const = default;
};

/// A kernel that an update has gone into, and that is not judged good or bad yet.
struct KernelTrial {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  std::uint64_t update = 0;
  std::uint64_t generation = 0;  ///< after it
  std::string release;
  std::string image;  ///< core/kernel_ledger.h; "": unknown, so that nothing is remembered of it
  std::string entry;  ///< id of its boot loader entry, or ""
  nlohmann::json extra = no_extra;
  bool operator==(const KernelTrial&) const = default;
};

/// A watchdog that an update has started over the kexec, until it is stopped. Opening one starts
/// it: nobody opens another.
struct ArmedWatchdog {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  std::string device;
  std::uint64_t timeout_usec = 0;
  nlohmann::json extra = no_extra;
  bool operator==(const ArmedWatchdog&) const = default;
};

struct Manifest {  // NOLINT(bugprone-exception-escape): of json, which does not throw when moved
  static constexpr int version = 2;  ///< as written; 1 is read, too

  State state = State::normal;
  std::uint64_t generation = 0;  ///< live updates since the cold boot
  std::string boot_id;           ///< of the kernel that wrote it
  std::uint64_t next_id = 1;     ///< of the next session or update
  std::vector<SessionRecord> sessions;
  std::vector<ClientRecord> clients;
  std::optional<UpdateRecord> update;
  /// Sessions that are finished for their owners, and kept until the kernel has restored the memory
  /// that nobody has touched yet.
  std::vector<std::string> resting;
  std::string config;     ///< the configuration that the update was prepared with: JSON
  std::string unwritten;  ///< entries of the history that are not on disk yet: JSON, or ""
  /// Of the update that led to this generation, told after its end, and not in the history on disk
  /// yet; one sentence each.
  std::vector<std::string> late_losses;
  std::optional<KernelTrial> trial;  ///< of this kernel, until it is over
  std::optional<ArmedWatchdog> watchdog;
  std::vector<LostSession> lost;  ///< in this kernel, and not made anew by its client since
  std::uint64_t sequence = 0;     ///< number of the last change line that is included
  nlohmann::json extra = no_extra;
  bool operator==(const Manifest&) const = default;
};

/// Who holds the token.
Keeper keeper_of(const SessionRecord& session, const TokenRecord& token);
/// All who hold tokens of the session. An empty session: who would hold the first one.
std::set<Keeper> keepers_of(const SessionRecord& session);

/// One line "handover-manifest 2 <bytes> <crc32 of the JSON, 8 hex digits>\n", then the JSON. JSON
/// must be UTF-8: each byte of a string that is not becomes U+FFFD.
std::string serialize(const Manifest& manifest);

/// Reads a manifest and applies the changes behind it, up to the first line that is cut, garbled or
/// out of sequence. That is no error: a caller is answered only when its line is whole. The rest is
/// ignored, since a memfd may be longer than its text.
///
/// manifest_invalid says what is wrong (cut, garbled, version, checksum, a field). Never throws.
///
/// An unknown kind or mode, of a newer version, is read as Kind::fd or Mode::external, and written
/// again as it was. Other unknown words are errors.
Result<Manifest> parse_manifest(std::string_view text);

}  // namespace handover
