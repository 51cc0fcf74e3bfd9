// SPDX-License-Identifier: LGPL-2.1-or-later
// What the daemon must know to go on after its own death or a kexec: versioned, checksummed JSON.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/state_machine.h"
#include "core/timeline.h"

namespace handover {

/// Who may touch a session or client again: the uid and the systemd service that made it.
struct Owner {
  std::uint32_t uid = 0;
  std::string unit;  ///< "x.service", or "" for a caller outside any service (a login shell)
  bool operator==(const Owner&) const = default;
};

/// `caller` may use what `owner` made: same uid and same unit, or root.
bool may_use(const Owner& owner, const Owner& caller);

/// One preserved descriptor.
struct TokenRecord {
  std::uint64_t token = 0;
  std::string kind;         ///< "blob", or as backend::Descriptor::kind
  std::uint64_t bytes = 0;  ///< size when preserved; 0 if it has none
  bool retrieved = false;
  std::string backend = {};                         ///< which holds it; "": the session's
  nlohmann::json extra = nlohmann::json::object();  ///< fields a newer version wrote, kept
  bool operator==(const TokenRecord&) const = default;
};

struct SessionRecord {
  std::uint64_t id = 0;  ///< never reused in one boot; names the fd in the fd store
  std::string name;
  std::string backend;  ///< where its tokens go unless they say otherwise
  std::string client;   ///< the client it belongs to, "" if none
  Owner owner;
  bool incoming = false;  ///< holds state from the earlier kernel, not finished yet
  /// Its end was begun: a daemon that comes back ends it, and misses nothing that is gone already.
  bool ending = false;
  /// Its owner has a descriptor of the tracker's session: tokens come and go without us.
  bool opened = false;
  std::vector<TokenRecord> tokens;
  nlohmann::json extra = nlohmann::json::object();
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

struct ClientRecord {
  std::string name;
  std::string bus_name;  ///< unique name, or "" for a direct connection
  std::string path;      ///< object that implements org.handover1.Client
  Owner owner;
  std::vector<std::string> needs;
  bool required = true;                    ///< the update ends if this client fails or is gone
  std::uint64_t prepare_timeout_usec = 0;  ///< 0: the configured one
  std::uint64_t freeze_timeout_usec = 0;
  std::uint64_t restore_timeout_usec = 0;
  ClientPhase phase = ClientPhase::idle;
  nlohmann::json extra = nlohmann::json::object();
  bool operator==(const ClientRecord&) const = default;
};

/// The update that runs, or that led to this kernel.
struct UpdateRecord {
  std::uint64_t id = 0;
  std::string mode;            ///< "immediate", "orderly", or "emulated"
  std::string kernel;          ///< path of the target image
  std::string kernel_release;  ///< its release
  std::string from_release;
  std::string requested_by;  ///< "uid 0 (unit x.service)" for the history
  Timeline timeline;
  std::vector<std::string> losses;  ///< one sentence each, for the history
  nlohmann::json extra = nlohmann::json::object();
  bool operator==(const UpdateRecord&) const = default;
};

struct Manifest {
  static constexpr int version = 1;

  State state = State::normal;
  std::uint64_t generation = 0;  ///< live updates since the cold boot
  std::string boot_id;           ///< of the kernel that wrote it
  std::uint64_t next_id = 1;
  std::vector<SessionRecord> sessions;
  std::vector<ClientRecord> clients;
  std::optional<UpdateRecord> update;
  /// Finished as far as their owners can tell; the kernel restores the rest of their memory yet.
  std::vector<std::string> resting;
  nlohmann::json extra = nlohmann::json::object();
  bool operator==(const Manifest&) const = default;
};

/// The name of the backend that holds the token.
const std::string& backend_of(const SessionRecord& session, const TokenRecord& token);
/// Those that hold the session's tokens, or would hold the first one: "luo", "luo+tracker".
std::string backends_of(const SessionRecord& session);

/// One line "handover-manifest 1 <bytes> <crc32 of the JSON, 8 hex digits>\n", then the JSON.
/// Trailing bytes after <bytes> are ignored: a memfd has its own size. A string that is not UTF-8
/// (JSON knows no other) is written with U+FFFD in place of each bad byte.
std::string serialize(const Manifest& manifest);

/// manifest_invalid with what is wrong (cut, garbled, version, checksum, a field). Never throws.
Result<Manifest> parse_manifest(std::string_view text);

std::string_view to_string(ClientPhase phase);

}  // namespace handover
