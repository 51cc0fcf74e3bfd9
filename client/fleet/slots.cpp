// SPDX-License-Identifier: LGPL-2.1-or-later
#include "slots.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "lock.h"
#include "pause.h"
#include "window.h"

namespace handover::fleet {
namespace {

const std::atomic<bool> never = false;

client::Result<Board> read_board(const Lock& lock, Server& server) {
  if (lock.kind != LockKind::etcd) {
    return client::Error{
        "", "Only etcd's slots can be listed and broken: \"kind\" in \"lock\" is not etcd.",
        EINVAL};
  }
  auto board = LockClient(lock, server, never).board();
  if (!board) {
    return client::Error{
        "", "etcd cannot be asked for group '" + lock.group + "': " + board.error().message + ".",
        EIO};
  }
  return board;
}

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.resize(width, ' ');
  return text + "  ";
}

std::string table_of(const Lock& lock, const Board& board) {
  constexpr std::size_t time_width = 20;
  std::size_t host_width = 4;
  for (const auto& slot : board.held) host_width = std::max(host_width, slot.claim.host.size());
  std::string text;
  if (!board.held.empty()) {
    text = padded("SLOT", 4) + padded("HOST", host_width) + padded("SINCE", time_width) + "ID\n";
  }
  for (const auto& slot : board.held) {
    text += padded(std::to_string(slot.number), 4) + padded(slot.claim.host, host_width) +
            padded(slot.claim.since, time_width) + slot.claim.id + "\n";
  }
  return text + std::to_string(board.held.size()) + " of " + std::to_string(lock.slots) +
         " slots of group '" + lock.group + "' are held.\n";
}

}  // namespace

client::Result<std::string> list_slots(const Lock& lock, bool json) {
  const auto server = make_http_server(lock.access, never);
  auto board = read_board(lock, *server);
  if (!board) return board.error();
  if (!json) return table_of(lock, *board);
  nlohmann::json held = nlohmann::json::array();
  for (const auto& slot : board->held) {
    held.push_back({{"slot", slot.number},
                    {"host", slot.claim.host},
                    {"id", slot.claim.id},
                    {"generation", slot.claim.generation},
                    {"since", slot.claim.since}});
  }
  const nlohmann::json document = {{"group", lock.group}, {"slots", lock.slots}, {"held", held}};
  return document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

client::Result<std::string> break_slot(const Lock& lock, const std::string& which) {
  const auto server = make_http_server(lock.access, never);
  auto board = read_board(lock, *server);
  if (!board) return board.error();
  const auto found =
      std::find_if(board->held.begin(), board->held.end(), [&](const HeldSlot& slot) {
        return std::to_string(slot.number) == which || slot.claim.host == which ||
               slot.claim.id == which;
      });
  if (found == board->held.end()) {
    return client::Error{"",
                         "No slot of group '" + lock.group + "' is held by '" + which +
                             "', or has that number; see 'handover-fleet lock list'.",
                         ENOENT};
  }
  auto done = LockClient(lock, *server, never).break_slot(*found, utc(wall_clock_usec()));
  if (!done)
    return client::Error{"", "The slot was not broken: " + done.error().message + ".", EIO};
  if (!*done) {
    return client::Error{"", "The slot has changed hands just now; look at it again.", EBUSY};
  }
  return "Slot " + std::to_string(found->number) + ", held by " + found->claim.host + " since " +
         found->claim.since + ", is free.\n";
}

}  // namespace handover::fleet
