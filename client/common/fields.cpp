// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fields.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>

#include "size.h"

namespace handover::common {
namespace {

constexpr int deepest_nesting = 64;

client::Error invalid(std::string message) { return {"", std::move(message), EINVAL}; }

bool is_string(const nlohmann::json& value) { return value.is_string(); }
bool is_text(const nlohmann::json& value) {
  return value.is_string() && !value.get_ref<const std::string&>().empty();
}
bool is_number(const nlohmann::json& value) { return value.is_number(); }
bool is_bool(const nlohmann::json& value) { return value.is_boolean(); }
bool is_array(const nlohmann::json& value) { return value.is_array(); }
bool is_object(const nlohmann::json& value) { return value.is_object(); }
bool is_quantity(const nlohmann::json& value) {
  return value.is_number_unsigned() || value.is_string();
}

/// The library's quotes of the input may hold any byte.
std::string printable(std::string_view text) {
  std::string plain(text);
  std::replace_if(
      plain.begin(), plain.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return plain;
}

/// What the library says, without its name for it and its own count of lines:
/// "[json.exception.parse_error.101] parse error at line 3, column 7: syntax error …".
std::string reason(const nlohmann::json::exception& error) {
  std::string_view what = error.what();
  for (const std::string_view end : {"] ", ": "}) {
    const bool counts = end != ": " || what.starts_with("parse error");
    if (const auto at = what.find(end); counts && at != std::string_view::npos) {
      what.remove_prefix(at + end.size());
    }
  }
  return printable(what);
}

std::optional<std::uint64_t> parse_address(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
    base = 16;
  }
  std::uint64_t value = 0;
  const auto end = text.data() + text.size();
  const auto [rest, status] = std::from_chars(text.data(), end, value, base);
  if (status != std::errc() || rest != end) return {};
  return value;
}

}  // namespace

Fields::Fields(nlohmann::json object, std::string file, std::string pointer)
    : object_(std::move(object)), file_(std::move(file)), pointer_(std::move(pointer)) {
  if (object_.is_object()) return;
  error_ = invalid(file_ + ": " + (pointer_.empty() ? "the document" : pointer_) +
                   " must be an object, { … }");
  object_ = nlohmann::json::object();
}

client::Result<Fields> Fields::parse(std::string_view text, const std::string& file) {
  // Nothing of ours nests deeper, and what walks through a value recurses.
  bool too_deep = false;
  const auto watch = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > deepest_nesting;
    return !too_deep;
  };
  try {
    auto document = nlohmann::json::parse(text.begin(), text.end(), watch, true, true);
    if (too_deep) return invalid(file + ": nested deeper than 64 levels");
    return Fields(std::move(document), file, "");
  } catch (const nlohmann::json::parse_error& error) {
    const auto read = text.substr(0, std::min(error.byte, text.size()));
    const auto line = 1 + std::count(read.begin(), read.end(), '\n');
    return invalid(file + ":" + std::to_string(line) + ": no valid JSON: " + reason(error));
  } catch (const nlohmann::json::exception& error) {  // a number too large
    return invalid(file + ": no valid JSON: " + reason(error));
  }
}

std::string Fields::pointer(std::string_view name) const {
  return pointer_ + "/" + std::string(name);
}

void Fields::refuse(std::string_view name, const std::string& why) {
  if (!error_) error_ = invalid(file_ + ": " + pointer(name) + " " + why);
}

std::optional<nlohmann::json> Fields::get(std::string_view name, bool required, const char* kind,
                                          bool (*is)(const nlohmann::json&)) {
  known_ += (known_.empty() ? "" : ", ") + std::string(name);
  const auto found = object_.find(std::string(name));
  if (found == object_.end()) {
    if (required) refuse(name, "is missing: it must be " + std::string(kind));
    return {};
  }
  nlohmann::json value = std::move(*found);
  object_.erase(found);
  if (!is(value)) {
    refuse(name, "must be " + std::string(kind));
    return {};
  }
  return value;
}

bool Fields::take(std::string_view name, std::string& out, bool required) {
  auto value = get(name, required, "a string that is not empty", is_text);
  if (value) out = value->get<std::string>();
  return value.has_value();
}

bool Fields::take(std::string_view name, bool& out) {
  auto value = get(name, false, "true or false", is_bool);
  if (value) out = value->get<bool>();
  return value.has_value();
}

bool Fields::take(std::string_view name, std::vector<std::string>& out) {
  constexpr const char* kind = R"(an array of strings, ["…", "…"])";
  auto value = get(name, false, kind, is_array);
  if (!value) return false;
  if (!std::all_of(value->begin(), value->end(), is_string)) {
    refuse(name, "must be " + std::string(kind));
    return false;
  }
  out = value->get<std::vector<std::string>>();
  return true;
}

bool Fields::take_address(std::string_view name, std::uint64_t& out, bool required) {
  constexpr const char* kind = "an address: a number, or a string as \"0x1000\"";
  auto value = get(name, required, kind, is_quantity);
  if (!value) return false;
  const auto address = value->is_string() ? parse_address(value->get<std::string>())
                                          : std::optional(value->get<std::uint64_t>());
  if (!address) {
    refuse(name, "must be " + std::string(kind));
    return false;
  }
  out = *address;
  return true;
}

bool Fields::take_size(std::string_view name, std::uint64_t& out, bool required) {
  auto value =
      get(name, required, "a size: a number of bytes, or a string as \"64M\"", is_quantity);
  if (!value) return false;
  auto size = parse_size(value->is_string() ? value->get<std::string>()
                                            : std::to_string(value->get<std::uint64_t>()));
  if (!size) {
    refuse(name, "is no size: " + size.error().message);
    return false;
  }
  out = *size;
  return true;
}

bool Fields::take_count(std::string_view name, std::uint64_t& out, std::uint64_t least,
                        std::uint64_t most) {
  const std::string kind =
      "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
  auto value = get(name, false, kind.c_str(), is_number);
  if (!value) return false;
  if (!value->is_number_unsigned() || value->get<std::uint64_t>() < least ||
      value->get<std::uint64_t>() > most) {
    refuse(name, "must be " + kind);
    return false;
  }
  out = value->get<std::uint64_t>();
  return true;
}

bool Fields::take_seconds(std::string_view name, std::uint64_t& usec) {
  constexpr double most = 86'400;
  constexpr const char* kind = "a number of seconds, more than 0 and at most 86400";
  auto value = get(name, false, kind, is_number);
  if (!value) return false;
  const auto seconds = value->get<double>();
  if (!(seconds > 0 && seconds <= most)) {
    refuse(name, std::string("must be ") + kind);
    return false;
  }
  usec = static_cast<std::uint64_t>(std::llround(seconds * 1e6));
  return true;
}

std::vector<Fields> Fields::take_objects(std::string_view name) {
  std::vector<Fields> objects;
  auto value = get(name, false, "an array of objects", is_array);
  if (!value) return objects;
  for (std::size_t i = 0; i < value->size(); ++i) {
    objects.push_back(
        Fields(std::move((*value)[i]), file_, pointer(name) + "/" + std::to_string(i)));
  }
  return objects;
}

std::optional<Fields> Fields::take_object(std::string_view name) {
  auto value = get(name, false, "an object", is_object);
  if (!value) return {};
  return Fields(std::move(*value), file_, pointer(name));
}

client::Result<void> Fields::finish() {
  if (!error_ && !object_.empty()) {
    refuse(printable(object_.begin().key()), "is unknown here: known are " + known_);
  }
  if (error_) return *error_;
  return {};
}

}  // namespace handover::common
