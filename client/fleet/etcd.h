// SPDX-License-Identifier: LGPL-2.1-or-later
// Slots in etcd through its v3 JSON gateway: the messages, and what to send next, as functions over
// values.
//
// Keys, below PREFIX/GROUP/:
//   slots/N    there while slot N is held; its value says by whom (Claim)
//   hosts/ID   what the host ID has done last. Every change of a slot by a host changes this key,
//              and is made only if it is as it was when the slots were read: so a request that was
//              given up, and reaches etcd much later, does nothing. It stays for ever.
// No lease: whoever holds a slot holds it until he, or a person, gives it back, however long the
// kexec takes.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "message.h"

namespace handover::fleet {

struct Claim {
  std::string id;                 ///< of the machine
  std::string host;               ///< its name, for people, and to tell two hosts of one id apart
  std::uint64_t generation = 0;   ///< of handoverd, before the update
  std::string since;              ///< RFC 3339
  std::string installation = {};  ///< drawn at random by each, once: host_id.h; "": not known
  bool operator==(const Claim&) const = default;
};

std::string to_json(const Claim& claim);
/// What is no claim of ours (somebody's own hand) counts as one of nobody.
Claim parse_claim(std::string_view text);

struct SlotGroup {
  std::string prefix, group;
  std::uint64_t slots = 1;
};

struct HeldSlot {
  std::uint64_t number = 0;
  Claim claim;
  std::uint64_t revision = 0;  ///< etcd's mod_revision
  bool operator==(const HeldSlot&) const = default;
};

/// All slots that are held, and the revision of our own host's key (0: it is not there).
struct Board {
  std::vector<HeldSlot> held;
  std::uint64_t host_revision = 0;
  bool operator==(const Board&) const = default;
};

/// Reads all of it in one transaction.
Request board_request(const SlotGroup& group, const std::string& id);
client::Result<Board> parse_board(const SlotGroup& group, const Reply& reply);

/// The next request, or how it ends.
struct EtcdStep {
  std::optional<Request> request;
  LockOutcome outcome;  ///< without a request
  int slot = -1;        ///< that the request is about
};
/// Takes a free slot, or the one that is ours already (from before a crash, say). `spread`: any
/// number; hosts with different ones begin to look at different slots.
EtcdStep take_step(const SlotGroup& group, const Board& board, const Claim& claim,
                   std::uint64_t spread);
/// Gives back what is ours, and has requests of ours that are still on their way fail.
EtcdStep give_back_step(const SlotGroup& group, const Board& board, const Claim& claim);
/// For a person: frees that slot, whoever has it.
Request break_request(const SlotGroup& group, const HeldSlot& slot, const std::string& now);

/// Of a transaction: whether it was carried out, or the slots were no longer as they had been read.
client::Result<bool> parse_done(const Reply& reply);

/// "slot 0 by web-1 since 2026-12-01T04:00:00Z, …" for people.
std::string describe(const std::vector<HeldSlot>& held);

}  // namespace handover::fleet
