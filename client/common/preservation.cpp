// SPDX-License-Identifier: LGPL-2.1-or-later
#include "preservation.h"

#include <systemd/sd-bus.h>

#include <algorithm>

#include "log.h"

namespace handover::common {
namespace {

constexpr std::uint64_t first_retry_usec = 20'000;
constexpr std::uint64_t longest_retry_usec = 2'000'000;

}  // namespace

bool is_passing(const client::Error& error) {
  for (const char* name :
       {"Busy", "NameTaken", "Incoming", SD_BUS_ERROR_DISCONNECTED, SD_BUS_ERROR_NO_REPLY,
        SD_BUS_ERROR_TIMEOUT, SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER}) {
    if (error.is(name)) return true;
  }
  return false;
}

Preservation::Preservation(client::Connection& connection, std::string name, std::string backend)
    : connection_(connection), name_(std::move(name)), backend_(std::move(backend)) {}

client::Result<void> Preservation::attach(sd_event* event) {
  return retry_.attach(event, [this] { attempt(); });
}

client::Result<void> Preservation::begin(std::vector<Item> items) {
  lost();
  items_ = std::move(items);
  auto preserved = preserve();
  if (preserved) return {};
  if (!is_passing(preserved.error())) return preserved;
  // An update of others runs, say. The workload need not wait for its end; the next one must.
  reason_ = preserved.error().message;
  attempt_soon();
  return {};
}

void Preservation::begin_again(std::vector<Item> items) {
  lost();
  items_ = std::move(items);
  attempt_soon();
}

void Preservation::go_on_with(std::vector<Item> items) {
  lost();
  items_ = std::move(items);
  preserved_ = true;
}

void Preservation::lost() {
  items_.clear();
  preserved_ = false;
  unsure_ = false;
  refused_for_good_ = false;
  retry_usec_ = 0;
}

client::Result<client::Session> Preservation::make_session() {
  auto session = connection_.create_session(name_, backend_, name_);
  if (session || !session.error().is("NameTaken")) return session;
  // Left by an earlier run of ours that died: what it holds has no owner any more. If it is
  // somebody else's, or still holds the earlier kernel's state, the daemon refuses this.
  auto old = connection_.get_session(name_);
  if (!old) return old.error();
  if (auto discarded = old->discard(); !discarded && !discarded.error().is("NoSuchSession")) {
    return discarded.error();
  }
  return connection_.create_session(name_, backend_, name_);
}

client::Result<void> Preservation::preserve() {
  auto session = make_session();
  if (!session) return session.error();
  for (const auto& item : items_) {
    auto preserved = session->preserve(item.token, item.fd);
    if (preserved) continue;
    auto discarded = session->discard();
    if (!discarded) say(SD_WARNING, discarded.error().message);
    return preserved;
  }
  preserved_ = true;
  unsure_ = false;
  retry_usec_ = 0;
  reason_.clear();
  return {};
}

void Preservation::attempt_soon() {
  retry_usec_ = retry_usec_ == 0 ? first_retry_usec : std::min(retry_usec_ * 2, longest_retry_usec);
  retry_.start(retry_usec_);
}

void Preservation::check_session() {
  if (!unsure_ || !preserved_) return;
  auto session = connection_.get_session(name_);
  auto tokens = session ? session->tokens() : session.error();
  if (!tokens && !tokens.error().is("NoSuchSession")) return;  // asked again before the next freeze
  unsure_ = false;
  preserved_ = tokens && std::all_of(items_.begin(), items_.end(), [&](const Item& item) {
                 return std::any_of(tokens->begin(), tokens->end(),
                                    [&](const auto& held) { return held.token == item.token; });
               });
}

void Preservation::attempt() {
  check_session();
  if (preserved_ || items_.empty() || refused_for_good_) return;
  auto preserved = preserve();
  if (preserved) return;
  reason_ = preserved.error().message;
  if (is_passing(preserved.error())) {
    // While there is no connection, whoever hears of a new one starts this again.
    if (connection_.connected()) attempt_soon();
    return;
  }
  refused_for_good_ = true;
  say(SD_ERR, "The memory cannot be preserved; the next update would lose it: " + reason_);
}

void Preservation::give_up() {
  if (!preserved_ || !connection_.connected()) return;
  auto session = connection_.get_session(name_);
  auto discarded = session ? session->discard() : client::Result<void>(session.error());
  if (!discarded) say(SD_NOTICE, discarded.error().message);
}

}  // namespace handover::common
