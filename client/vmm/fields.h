// SPDX-License-Identifier: LGPL-2.1-or-later
// Takes the fields of a JSON object one by one: a wrong one is named, and so is one that nobody
// took.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace handover::vmm {

class Fields {
 public:
  /// `where` begins every message: "FILE" or "FILE: limits".
  Fields(const nlohmann::json& object, std::string where);

  // What is not there is left alone, unless `required`. Only the first mistake is kept.
  void text(const char* name, std::string* value);
  void size(const char* name, std::uint64_t* value, bool required = false);
  void seconds(const char* name, std::uint64_t* usec);
  void boolean(const char* name, bool* value);
  void texts(const char* name, std::vector<std::string>* value);
  /// An object of its own; null if it is not there.
  const nlohmann::json* object(const char* name);

  /// A mistake that the caller found in the value of `name`.
  void refuse(const char* name, const std::string& why);
  /// The first mistake, or a field that is not known.
  client::Result<void> end();

 private:
  const nlohmann::json* take(const char* name);

  const nlohmann::json& object_;
  std::string where_;
  std::set<std::string> known_;
  std::optional<client::Error> mistake_;
};

}  // namespace handover::vmm
