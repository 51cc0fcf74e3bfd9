// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/history.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "system/files.h"
#include "system/log.h"

namespace handover::engine {

namespace {

nlohmann::json with_figures(const HistoryEntry& entry) {
  auto json = to_json(entry);
  for (const auto& [name, times] : entry.timeline.clients) {
    if (const auto blackout = blackout_usec(times, entry.timeline.ticks_per_second)) {
      json["timeline"]["clients"][name]["blackout_usec"] = *blackout;
    }
  }
  return json;
}

/// manifest_invalid with what is wrong.
Result<std::vector<HistoryEntry>> parse_entries(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_array()) return fail(ErrorCode::manifest_invalid, "it is not a JSON array");
  std::vector<HistoryEntry> entries;
  for (const auto& item : json) {
    auto entry = history_from_json(item);
    if (!entry) return fail(ErrorCode::manifest_invalid, entry.error().message);
    entries.push_back(std::move(*entry));
  }
  return entries;
}

}  // namespace

bool same_update(const HistoryEntry& a, const HistoryEntry& b) {
  const auto began = [](const HistoryEntry& of) {
    const auto mark = of.timeline.marks.find(Mark::requested);
    return mark == of.timeline.marks.end() ? Ticks{0} : mark->second;
  };
  return a.id == b.id && began(a) == began(b);
}

History::History(std::string path, std::uint64_t most) : path_(std::move(path)), most_(most) {}

Result<void> History::load() {
  if (loaded_) return {};
  const auto text = system::read_file(path_);
  if (!text) {
    if (text.error().sys_errno == ENOENT) return {};
    return fail(text.error());
  }
  auto older = parse_entries(*text);
  if (!older) {
    const auto aside = path_ + ".bad";
    if (std::rename(path_.c_str(), aside.c_str()) != 0) return fail_errno("rename " + path_);
    loaded_ = true;
    return fail(ErrorCode::manifest_invalid, "The history " + path_ + " cannot be read (" +
                                                 older.error().message + "); it is now " + aside +
                                                 " and a new one begins.");
  }
  loaded_ = true;
  const auto ours = entries_;
  for (auto& entry : *older) {
    const bool known = std::any_of(ours.begin(), ours.end(), [&](const HistoryEntry& ended) {
      return same_update(ended, entry);
    });
    if (!known) entries_.push_back(std::move(entry));
  }
  if (entries_.size() > most_) entries_.resize(most_);
  return {};
}

void History::add(HistoryEntry entry) {
  if (!entries_.empty() && same_update(entries_.front(), entry)) {
    entries_.front() = std::move(entry);
    return;
  }
  entries_.insert(entries_.begin(), std::move(entry));
  if (entries_.size() > most_) entries_.resize(most_);
}

void History::add_loss(std::string reason) {
  if (entries_.empty()) return;
  auto& entry = entries_.front();
  if (entry.outcome == "done") {
    entry.outcome = "done-with-losses";
    entry.reason = reason;
  }
  entry.losses.push_back(std::move(reason));
}

Result<void> History::write() {
  if (auto loaded = load(); !loaded) {
    // Unread and still in its place: not to be overwritten.
    if (!loaded_) return loaded;
    log::error(loaded.error().message);
  }
  auto json = nlohmann::json::array();
  for (const auto& entry : entries_) json.push_back(to_json(entry));
  auto written = system::replace_file(path_, json.dump(1) + "\n", /*durable=*/true);
  if (written) loaded_ = true;
  return written;
}

std::string History::to_json_text(std::size_t most) const {
  auto json = nlohmann::json::array();
  for (std::size_t i = 0; i < std::min(most, entries_.size()); ++i) {
    json.push_back(with_figures(entries_[i]));
  }
  return json.dump();
}

}  // namespace handover::engine
