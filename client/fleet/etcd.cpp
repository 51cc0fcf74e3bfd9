// SPDX-License-Identifier: LGPL-2.1-or-later
#include "etcd.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <nlohmann/json.hpp>

#include "text.h"

namespace handover::fleet {
namespace {

using nlohmann::json;

constexpr const char* transaction_path = "/v3/kv/txn";

std::string base_of(const SlotGroup& group) { return group.prefix + "/" + group.group + "/"; }
std::string slot_key(const SlotGroup& group, std::uint64_t number) {
  return base_of(group) + "slots/" + std::to_string(number);
}
std::string host_key(const SlotGroup& group, const std::string& id) {
  return base_of(group) + "hosts/" + id;
}

json put(const std::string& key, const std::string& value) {
  return {{"request_put", {{"key", to_base64(key)}, {"value", to_base64(value)}}}};
}
json remove(const std::string& key) {
  return {{"request_delete_range", {{"key", to_base64(key)}}}};
}
/// The key was last changed at that revision; 0: it is not there.
json unchanged(const std::string& key, std::uint64_t revision) {
  return {{"key", to_base64(key)},
          {"target", "MOD"},
          {"result", "EQUAL"},
          {"mod_revision", std::to_string(revision)}};
}
Request transaction(json compare, json then) {
  const json body = {{"compare", std::move(compare)}, {"success", std::move(then)}};
  return {transaction_path, body.dump(), false};
}

std::uint64_t number_of(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

client::Error bad_reply(const std::string& what) { return {"", what, EBADMSG}; }

/// The document of a good answer.
client::Result<json> document_of(const Reply& reply) {
  if (reply.status == 0) return client::Error{"", reply.failure, EIO};
  auto document = json::parse(reply.body, nullptr, false);
  if (reply.status == 200 && document.is_object()) return document;
  std::string said = "HTTP status " + std::to_string(reply.status);
  if (document.is_object()) {
    // 3.4 says it twice, 3.5 in "message" alone.
    for (const char* name : {"message", "error"}) {
      const auto text = document.find(name);
      if (text == document.end() || !text->is_string()) continue;
      said += ": " + one_line(text->get<std::string>());
      break;
    }
  } else if (!reply.body.empty()) {
    said += ": " + one_line(reply.body);
  }
  return bad_reply(said);
}

/// Throws json::exception on what is no key-value pair of etcd's.
std::optional<HeldSlot> slot_of(const SlotGroup& group, const json& pair) {
  const auto key = from_base64(pair.at("key").get<std::string>());
  const auto value = from_base64(pair.value("value", std::string()));
  const auto stem = base_of(group) + "slots/";
  if (!key || !value || !key->starts_with(stem)) return {};
  HeldSlot slot;
  slot.number = number_of(std::string_view(*key).substr(stem.size()));
  slot.claim = parse_claim(*value);
  slot.revision = number_of(pair.at("mod_revision").get<std::string>());
  return slot;
}

LockOutcome refuses(std::string message) {
  return {LockOutcome::Kind::refused, std::move(message), -1, ""};
}

/// By one and the same gate, as far as both say.
bool is_of_us(const HeldSlot& slot, const Claim& claim) {
  const auto& installation = slot.claim.installation;
  return slot.claim.host == claim.host &&
         (installation.empty() || claim.installation.empty() || installation == claim.installation);
}

/// Two machines that count as one would both go at once.
std::string of_another_host(const HeldSlot& slot, const SlotGroup& group, const Claim& claim) {
  if (slot.claim.host == claim.host) {
    return "Slot " + std::to_string(slot.number) + " of group '" + group.group +
           "' is held under this machine's id and host name by another installation: give each "
           "host an id of its own, or break the slot if this host was installed anew.";
  }
  return "Slot " + std::to_string(slot.number) + " of group '" + group.group +
         "' is held under this machine's id by host '" + slot.claim.host + "', and this is '" +
         claim.host + "': give each host an id of its own, or break the slot if it was renamed.";
}

const HeldSlot* find_own(const Board& board, const Claim& claim) {
  const auto own = std::find_if(board.held.begin(), board.held.end(),
                                [&](const HeldSlot& slot) { return slot.claim.id == claim.id; });
  return own == board.held.end() ? nullptr : &*own;
}

/// Numbers from there on are offered to nobody: as many hold those, or a number that is beyond
/// (there were more slots before), as make up all of them together with those below.
std::uint64_t offered_below(const SlotGroup& group, const Board& board) {
  const auto count_from = [&](std::uint64_t number) {
    return static_cast<std::uint64_t>(
        std::count_if(board.held.begin(), board.held.end(),
                      [&](const HeldSlot& slot) { return slot.number >= number; }));
  };
  auto below = group.slots;
  while (below > 0 && below + count_from(below) > group.slots) --below;
  return below;
}

}  // namespace

std::string to_json(const Claim& claim) {
  const json object = {{"id", claim.id},
                       {"host", claim.host},
                       {"generation", claim.generation},
                       {"since", claim.since},
                       {"installation", claim.installation}};
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

Claim parse_claim(std::string_view text) {
  const auto object = json::parse(text, nullptr, false);
  Claim claim;
  if (!object.is_object()) return claim;
  const auto take = [&](const char* name, std::string& out) {
    const auto found = object.find(name);
    if (found != object.end() && found->is_string()) out = one_line(found->get<std::string>());
  };
  take("id", claim.id);
  take("host", claim.host);
  take("since", claim.since);
  take("installation", claim.installation);
  const auto generation = object.find("generation");
  if (generation != object.end() && generation->is_number_unsigned()) {
    claim.generation = generation->get<std::uint64_t>();
  }
  return claim;
}

Request board_request(const SlotGroup& group, const std::string& id) {
  const auto stem = base_of(group) + "slots/";
  auto end = stem;
  end.back() = static_cast<char>(end.back() + 1);
  const json slots = {{"request_range", {{"key", to_base64(stem)}, {"range_end", to_base64(end)}}}};
  const json host = {{"request_range", {{"key", to_base64(host_key(group, id))}}}};
  return transaction(json::array(), {slots, host});
}

client::Result<Board> parse_board(const SlotGroup& group, const Reply& reply) {
  auto document = document_of(reply);
  if (!document) return document.error();
  try {
    const auto& responses = document->at("responses");
    const auto pairs = [&](std::size_t i) {
      return responses.at(i).at("response_range").value("kvs", json::array());
    };
    Board board;
    for (const auto& pair : pairs(0)) {
      if (auto slot = slot_of(group, pair)) board.held.push_back(std::move(*slot));
    }
    for (const auto& pair : pairs(1)) {
      board.host_revision = number_of(pair.at("mod_revision").get<std::string>());
    }
    std::sort(board.held.begin(), board.held.end(),
              [](const HeldSlot& a, const HeldSlot& b) { return a.number < b.number; });
    return board;
  } catch (const json::exception&) {
    return bad_reply("the answer is not one of etcd's");
  }
}

EtcdStep take_step(const SlotGroup& group, const Board& board, const Claim& claim,
                   std::uint64_t spread) {
  EtcdStep step;
  const auto host = host_key(group, claim.id);
  const auto take = [&](std::uint64_t number, std::uint64_t revision) {
    const auto key = slot_key(group, number);
    const auto value = to_json(claim);
    step.slot = static_cast<int>(number);
    step.request = transaction({unchanged(key, revision), unchanged(host, board.host_revision)},
                               {put(key, value), put(host, value)});
    return step;
  };
  if (const auto* own = find_own(board, claim)) {
    if (!is_of_us(*own, claim)) {
      step.outcome = refuses(of_another_host(*own, group, claim));
      return step;
    }
    return take(own->number, own->revision);
  }
  // Two hosts that read the same may take two of these at once, and no more.
  const auto offered = offered_below(group, board);
  for (std::uint64_t i = 0; i < offered; ++i) {
    const auto number = (spread + i) % offered;
    const bool is_held = std::any_of(board.held.begin(), board.held.end(),
                                     [&](const HeldSlot& slot) { return slot.number == number; });
    if (!is_held) return take(number, 0);
  }
  step.outcome = refuses("All " + std::to_string(group.slots) + " slots of group '" + group.group +
                         "' are held: " + describe(board.held) + ".");
  return step;
}

EtcdStep give_back_step(const SlotGroup& group, const Board& board, const Claim& claim) {
  EtcdStep step;
  const auto host = host_key(group, claim.id);
  json compare = json::array({unchanged(host, board.host_revision)});
  json then = json::array({put(host, R"({"holds":false})")});
  const auto* own = find_own(board, claim);
  if (own != nullptr && is_of_us(*own, claim)) {
    const auto key = slot_key(group, own->number);
    step.slot = static_cast<int>(own->number);
    compare.push_back(unchanged(key, own->revision));
    then.push_back(remove(key));
  }
  step.request = transaction(std::move(compare), std::move(then));
  return step;
}

Request break_request(const SlotGroup& group, const HeldSlot& slot, const std::string& now) {
  const auto key = slot_key(group, slot.number);
  json then = json::array({remove(key)});
  // What its host has on its way there must not take the slot again.
  if (!slot.claim.id.empty()) {
    const json value = {{"holds", false}, {"broken", now}};
    then.push_back(put(host_key(group, slot.claim.id), value.dump()));
  }
  return transaction(json::array({unchanged(key, slot.revision)}), std::move(then));
}

client::Result<bool> parse_done(const Reply& reply) {
  auto document = document_of(reply);
  if (!document) return document.error();
  if (!document->contains("header")) return bad_reply("the answer is not one of etcd's");
  const auto done = document->find("succeeded");  // false is left out
  return done != document->end() && done->is_boolean() && done->get<bool>();
}

std::string describe(const std::vector<HeldSlot>& held) {
  constexpr std::size_t most = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(held.size(), most); ++i) {
    const auto& slot = held[i];
    const auto& name = slot.claim.host.empty() ? std::string("somebody") : slot.claim.host;
    text += (i == 0 ? "" : ", ") + std::to_string(slot.number) + " by " + name;
    if (!slot.claim.since.empty()) text += " since " + slot.claim.since;
  }
  if (held.size() > most) text += " and " + std::to_string(held.size() - most) + " more";
  return text;
}

}  // namespace handover::fleet
