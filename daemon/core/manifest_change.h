// SPDX-License-Identifier: LGPL-2.1-or-later
// Changes of the manifest, which are written behind it, so that it need not be written anew.
//
// A change holds the new state of one record. Its line is as long as that record, however many
// other records there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/manifest.h"

namespace handover {

struct HeadChange {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  State state = State::normal;
  std::uint64_t generation = 0;
  std::uint64_t next_id = 1;
  std::vector<std::string> resting;
  std::string unwritten;
  std::optional<KernelTrial> trial = {};
  std::optional<ArmedWatchdog> watchdog = {};
  std::vector<LostSession> lost = {};
  bool operator==(const HeadChange&) const = default;
};

/// One more session rests. (HeadChange replaces the whole list.)
struct RestingChange {
  std::string session;
  bool operator==(const RestingChange&) const = default;
};

/// Adds or replaces the session with this id. Tokens have changes of their own: those in here are
/// ignored.
struct SessionChange {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  SessionRecord session;
  bool operator==(const SessionChange&) const = default;
};

struct SessionGone {
  std::uint64_t id = 0;
  bool operator==(const SessionGone&) const = default;
};

struct TokenChange {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  std::uint64_t session = 0;  ///< its id
  TokenRecord token;
  bool operator==(const TokenChange&) const = default;
};

struct TokenGone {
  std::uint64_t session = 0;
  std::uint64_t token = 0;
  bool operator==(const TokenGone&) const = default;
};

struct ClientChange {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  ClientRecord client;
  bool operator==(const ClientChange&) const = default;
};

struct ClientGone {
  std::string name;
  bool operator==(const ClientGone&) const = default;
};

/// Replaces the update; absent: there is none any more. Client times, losses and clients left out
/// have changes of their own: those in here are ignored, and those of an update with the same id
/// stay.
struct UpdateChange {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  std::optional<UpdateRecord> update;
  bool operator==(const UpdateChange&) const = default;
};

struct TimesChange {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  std::string client;
  ClientTimes times;
  bool operator==(const TimesChange&) const = default;
};

/// One more loss.
struct LossChange {
  std::string sentence;
  bool operator==(const LossChange&) const = default;
};

/// One more client left out.
struct LeftOutChange {
  LeftOut left_out;
  bool operator==(const LeftOutChange&) const = default;
};

/// One more of Manifest::late_losses.
struct LateLossChange {
  std::string sentence;
  bool operator==(const LateLossChange&) const = default;
};

/// The history has all of them.
struct LateLossesWritten {
  bool operator==(const LateLossesWritten&) const = default;
};

/// A client that was left out before is in again.
struct InAgainChange {
  std::string client;
  bool operator==(const InAgainChange&) const = default;
};

using Change =
    std::variant<HeadChange, RestingChange, SessionChange, SessionGone, TokenChange, TokenGone,
                 ClientChange, ClientGone, UpdateChange, TimesChange, LossChange, LeftOutChange,
                 InAgainChange, LateLossChange, LateLossesWritten>;

/// Copies everything but the tokens.
SessionChange change_of(const SessionRecord& session);
/// Copies everything but what has changes of its own.
UpdateChange change_of(const std::optional<UpdateRecord>& update);

/// One line for each change, "+<sequence> <bytes> <crc32 of the JSON> <JSON>\n".
///
/// Lines are numbered consecutively. The first one gets `sequence`, which must be one more than
/// that of the text before it: Manifest::sequence, or the last line's number. So a reader can tell
/// these lines from lines that an older, longer text has left behind in the same memory.
std::string serialize(const std::vector<Change>& changes, std::uint64_t sequence);

/// Changes of records that the manifest does not have are ignored. The cost grows with the
/// manifest: for many changes use apply_lines().
void apply(Manifest& manifest, const Change& change);

/// Applies the lines that `text` begins with, up to the first that is cut, garbled or out of
/// sequence, and sets Manifest::sequence to that of the last one. Kinds of changes that only a
/// newer version knows are ignored. Returns how many bytes were read. The cost is linear in text
/// and manifest. Never throws.
std::size_t apply_lines(Manifest& manifest, std::string_view text);

}  // namespace handover
