// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fields.h"

#include <algorithm>
#include <cerrno>

#include "common/size.h"

namespace handover::vmm {

Fields::Fields(const nlohmann::json& object, std::string where)
    : object_(object), where_(std::move(where)) {
  if (!object.is_object()) {
    mistake_ = client::Error{"", where_ + ": must be an object, { … }.", EINVAL};
  }
}

const nlohmann::json* Fields::take(const char* name) {
  known_.insert(name);
  if (mistake_) return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() ? nullptr : &*found;
}

void Fields::refuse(const char* name, const std::string& why) {
  if (!mistake_) {
    mistake_ = client::Error{"", where_ + ": \"" + name + "\" " + why, EINVAL};
  }
}

void Fields::text(const char* name, std::string* value) {
  const auto* field = take(name);
  if (!field) return;
  if (!field->is_string() || field->get_ref<const std::string&>().empty()) {
    refuse(name, "must be a text that is not empty.");
    return;
  }
  *value = field->get<std::string>();
}

void Fields::size(const char* name, std::uint64_t* value, bool required) {
  const auto* field = take(name);
  if (!field) {
    if (required && !mistake_) refuse(name, R"(is missing: a size as "256M" or "2G".)");
    return;
  }
  if (!field->is_string()) {
    refuse(name, R"(must be a size in quotes, as "256M" or "2G".)");
    return;
  }
  auto bytes = common::parse_size(field->get_ref<const std::string&>());
  if (!bytes) {
    refuse(name, "is wrong: " + bytes.error().message);
    return;
  }
  *value = *bytes;
}

void Fields::seconds(const char* name, std::uint64_t* usec) {
  constexpr double most = 86'400;
  const auto* field = take(name);
  if (!field) return;
  const double value = field->is_number() ? field->get<double>() : 0;
  if (!(value > 0 && value <= most)) {
    refuse(name, "must be a number of seconds, more than 0 and at most 86400.");
    return;
  }
  *usec = static_cast<std::uint64_t>(value * 1e6);
}

void Fields::boolean(const char* name, bool* value) {
  const auto* field = take(name);
  if (!field) return;
  if (!field->is_boolean()) {
    refuse(name, "must be true or false.");
    return;
  }
  *value = field->get<bool>();
}

void Fields::texts(const char* name, std::vector<std::string>* value) {
  const auto* field = take(name);
  if (!field) return;
  if (!field->is_array() || !std::all_of(field->begin(), field->end(),
                                         [](const auto& entry) { return entry.is_string(); })) {
    refuse(name, R"(must be a list of texts, ["…", "…"].)");
    return;
  }
  *value = field->get<std::vector<std::string>>();
}

const nlohmann::json* Fields::object(const char* name) { return take(name); }

client::Result<void> Fields::end() {
  if (mistake_) return *mistake_;
  std::optional<std::string> unknown;
  for (const auto& [name, value] : object_.items()) {
    if (!unknown && known_.count(name) == 0) unknown = name;
  }
  if (!unknown) return {};
  std::string names;
  for (const auto& known : known_) {
    if (!names.empty()) names += ", ";
    names += known;
  }
  return client::Error{"", where_ + ": \"" + *unknown + "\" is not known; there are " + names + ".",
                       EINVAL};
}

}  // namespace handover::vmm
