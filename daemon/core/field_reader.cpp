// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/field_reader.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/names.h"
#include "core/text.h"

namespace handover {

namespace {

constexpr std::size_t deepest_nesting = 64;

/// Nesting by brackets outside of strings: an upper bound, also for text that is not JSON.
std::size_t nesting(std::string_view text) {
  std::size_t depth = 0;
  std::size_t deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

std::string describe(const FieldError& error) {
  return (error.pointer.empty() ? std::string("/") : printable(error.pointer)) + " " +
         error.message;
}

Result<nlohmann::json> parse_json(std::string_view text, ErrorCode code) {
  if (nesting(text) > deepest_nesting) {
    return fail(code, "nested deeper than " + std::to_string(deepest_nesting) + " levels");
  }
  try {
    return nlohmann::json::parse(text.begin(), text.end());
  } catch (const nlohmann::json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 3, column 7: …": only the library's
    // exceptions carry the position; its quotes of the input may hold any byte.
    std::string_view what = error.what();
    if (const auto at = what.find("] "); at != std::string_view::npos) what.remove_prefix(at + 2);
    constexpr std::string_view prefix = "parse error at ";
    if (what.starts_with(prefix)) what.remove_prefix(prefix.size());
    return fail(code, printable(what));
  }
}

std::string child_pointer(const std::string& parent, std::string_view name) {
  std::string pointer = parent + "/";
  for (const char c : name) {
    if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer += c;
    }
  }
  return pointer;
}

std::string child_pointer(const std::string& parent, std::size_t index) {
  return parent + "/" + std::to_string(index);
}

FieldReader::FieldReader(nlohmann::json value, std::string pointer)
    : object_(std::move(value)), root_(std::move(pointer)) {
  check_object();
}

FieldReader::FieldReader(nlohmann::json value, const FieldReader& parent, std::string_view name,
                         std::optional<std::size_t> index)
    : object_(std::move(value)), parent_(&parent), name_(name), index_(index) {
  check_object();
}

void FieldReader::check_object() {
  if (object_.is_object()) return;
  error_ = FieldError{pointer(), std::string("must be an object, not ") + object_.type_name()};
  object_ = nlohmann::json::object();
}

std::optional<nlohmann::json> FieldReader::take(std::string_view name) {
  known_.push_back(name);
  const auto found = object_.find(name);
  if (found == object_.end()) return std::nullopt;
  nlohmann::json value = std::move(*found);
  object_.erase(found);
  return value;
}

void FieldReader::name(std::string_view field, std::string& out) {
  required(field, out);
  if (auto checked = check_name(out); !checked) {
    refuse(field, "is no name: " + checked.error().message);
  }
}

void FieldReader::name_or_empty(std::string_view field, std::string& out) {
  required(field, out);
  if (out.empty()) return;
  if (auto checked = check_name(out); !checked) {
    refuse(field, "is no name: " + checked.error().message);
  }
}

void FieldReader::refuse(std::string_view name, std::string message) {
  if (!error_) error_ = FieldError{pointer(name), std::move(message)};
}

void FieldReader::refuse(FieldError error) {
  if (!error_) error_ = std::move(error);
}

std::string FieldReader::pointer() const {
  if (parent_ == nullptr) return root_;
  const std::string field = child_pointer(parent_->pointer(), name_);
  return index_ ? child_pointer(field, *index_) : field;
}

std::string FieldReader::pointer(std::string_view name) const {
  return child_pointer(pointer(), name);
}

void FieldReader::convert(std::string_view name, nlohmann::json value, std::string& out) {
  if (!value.is_string()) {
    return refuse(name, std::string("must be a string, not ") + value.type_name());
  }
  out = std::move(value.get_ref<std::string&>());
}

void FieldReader::convert(std::string_view name, const nlohmann::json& value, bool& out) {
  if (!value.is_boolean()) {
    return refuse(name, std::string("must be true or false, not ") + value.type_name());
  }
  out = value.get<bool>();
}

void FieldReader::convert(std::string_view name, const nlohmann::json& value, std::uint32_t& out) {
  std::uint64_t wide = 0;
  const bool good_before = !error_;
  convert(name, value, wide);
  if (wide > std::numeric_limits<std::uint32_t>::max()) {
    return refuse(name, "must be a whole number of at most 32 bits");
  }
  if (good_before && !error_) out = static_cast<std::uint32_t>(wide);
}

void FieldReader::convert(std::string_view name, const nlohmann::json& value, std::uint64_t& out) {
  // Of a number above 64 bits the parser makes a float: refused as well. One that was never text
  // may be of the signed kind.
  const bool whole =
      value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0);
  if (!whole) {
    return refuse(name, "must be a whole number of at least 0 and at most 64 bits");
  }
  out = value.get<std::uint64_t>();
}

void FieldReader::convert(std::string_view name, nlohmann::json value,
                          std::vector<std::string>& out) {
  std::vector<nlohmann::json> elements;
  convert(name, std::move(value), elements);
  for (std::size_t i = 0; i < elements.size(); ++i) {
    if (!elements[i].is_string()) {
      return refuse(FieldError{child_pointer(pointer(name), i),
                               std::string("must be a string, not ") + elements[i].type_name()});
    }
    out.push_back(std::move(elements[i].get_ref<std::string&>()));
  }
}

void FieldReader::convert(std::string_view name, nlohmann::json value,
                          std::vector<nlohmann::json>& out) {
  if (!value.is_array()) {
    return refuse(name, std::string("must be an array, not ") + value.type_name());
  }
  out = std::move(value.get_ref<nlohmann::json::array_t&>());
}

}  // namespace handover
