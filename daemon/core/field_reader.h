// SPDX-License-Identifier: LGPL-2.1-or-later
// Reads a record's fields out of a JSON object, typed, and keeps the first thing wrong with them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/enum_words.h"
#include "core/error.h"
#include "core/text.h"

namespace handover {

/// Where (a JSON pointer, RFC 6901: "/sessions/0/name") and what ("must be a string").
struct FieldError {
  std::string pointer;
  std::string message;
};

/// "/sessions/0/name must be a string, not null"
std::string describe(const FieldError& error);

/// JSON from outside: no exception, and no nesting deep enough to exhaust the stack later (copying
/// and dumping a document recurse). The message has the line and column; `code` is the caller's.
Result<nlohmann::json> parse_json(std::string_view text, ErrorCode code);

/// The pointer of `name` below `parent`, escaped.
std::string child_pointer(const std::string& parent, std::string_view name);
std::string child_pointer(const std::string& parent, std::size_t index);

/// See core/fields.h. Reading a field removes it; what is left in the end is what this version does
/// not know. Names of fields must outlive the reader; they are literals.
class FieldReader {
 public:
  FieldReader(nlohmann::json value, std::string pointer);
  FieldReader(const FieldReader&) = delete;
  FieldReader& operator=(const FieldReader&) = delete;

  /// Sets `out`, or leaves it as it is and records what is wrong.
  template <typename T>
  void required(std::string_view name, T& out) {
    if (auto value = take(name)) {
      convert(name, std::move(*value), out);
    } else {
      refuse(name, "is missing");
    }
  }
  /// Leaves `out` as it is if the field is absent.
  template <typename T>
  void optional(std::string_view name, T& out) {
    if (auto value = take(name)) convert(name, std::move(*value), out);
  }
  /// A required string that core/names.h allows as a name.
  void name(std::string_view field, std::string& out);
  void name_or_empty(std::string_view field, std::string& out);
  /// A required word. An unknown word, of a newer version, is read as `newer`; it stays in rest(),
  /// so that it is written again.
  template <HasWords E>
  void word(std::string_view name, E& out, E newer, const nlohmann::json& /*extra*/) {
    auto value = take(name);
    if (!value) return refuse(name, "is missing");
    std::string text;
    convert(name, *value, text);
    out = from_string<E>(text).value_or(newer);
    if (!from_string<E>(text)) object_[std::string(name)] = std::move(*value);
  }
  /// A required object; `read` reads its fields.
  template <typename Read>
  void object(std::string_view name, Read read) {
    auto value = take(name);
    if (!value) return refuse(name, "is missing");
    FieldReader reader(std::move(*value), *this, name);
    read(reader);
    if (reader.error_) refuse(std::move(*reader.error_));
  }
  /// null or nothing: absent.
  template <typename Record>
  void record_or_null(std::string_view name, std::optional<Record>& out) {
    auto value = take(name);
    if (!value || value->is_null()) return;
    Record record;
    convert(name, std::move(*value), record);
    out = std::move(record);
  }
  /// A required array of records. No two may have the same `identity`.
  template <typename Record, typename Identity>
  void list(std::string_view name, std::vector<Record>& out, Identity identity) {
    std::vector<nlohmann::json> elements;
    required(name, elements);
    out.reserve(elements.size());
    std::set<std::remove_cvref_t<decltype(identity(std::declval<const Record&>()))>> seen;
    for (std::size_t i = 0; i < elements.size(); ++i) {
      FieldReader reader(std::move(elements[i]), *this, name, i);
      Record record;
      fields(reader, record);
      if (!reader.error_ && !seen.insert(identity(record)).second) {
        reader.refuse(FieldError{reader.pointer(), "is there twice"});
      }
      if (reader.error_) return refuse(std::move(*reader.error_));
      out.push_back(std::move(record));
    }
  }
  /// An optional object with the enum's words as keys. Other keys stay in rest().
  template <HasWords E, typename T>
  void by_word(std::string_view name, std::map<E, T>& out, const nlohmann::json& /*extra*/) {
    auto value = take(name);
    if (!value) return;
    FieldReader reader(std::move(*value), *this, name);
    for (const Word<E>& line : words_of<E>) {
      auto inner = reader.take(line.word);
      if (inner) reader.convert(line.word, std::move(*inner), out[line.value]);
    }
    if (reader.error_) return refuse(std::move(*reader.error_));
    if (!reader.object_.empty()) object_[std::string(name)] = std::move(reader.object_);
  }
  /// An optional object with names as keys and records as values. `more` reads what such a record
  /// has besides its own fields.
  template <typename Record, typename More>
  void by_name(std::string_view name, std::map<std::string, Record>& out, More more) {
    auto value = take(name);
    if (!value) return;
    FieldReader reader(std::move(*value), *this, name);
    if (reader.error_) return refuse(std::move(*reader.error_));
    for (auto& [key, element] : reader.object_.items()) {
      FieldReader inner(std::move(element), reader, key);
      Record& record = out[key];
      more(inner, record);
      fields(inner, record);
      if (inner.error_) return refuse(std::move(*inner.error_));
    }
  }
  /// Ignored: it follows from other fields.
  template <typename Compute>
  void computed(std::string_view name, Compute /*compute*/) {
    take(name);
  }

  [[nodiscard]] bool has(std::string_view name) const {
    return object_.find(name) != object_.end();
  }
  std::optional<nlohmann::json> take(std::string_view name);
  void refuse(std::string_view name, std::string message);
  /// An error found elsewhere, usually below this object.
  void refuse(FieldError error);

  /// Where this object is.
  [[nodiscard]] std::string pointer() const;
  [[nodiscard]] std::string pointer(std::string_view name) const;
  [[nodiscard]] const std::optional<FieldError>& error() const { return error_; }
  /// The names that were asked for so far.
  [[nodiscard]] const std::vector<std::string_view>& known() const { return known_; }
  /// The fields that nobody asked for: always an object.
  [[nodiscard]] nlohmann::json rest() const { return object_; }
  /// Moves them to `extra`, if there are any.
  void rest(nlohmann::json& extra) {
    if (!object_.empty()) extra = std::move(object_);
    object_ = nlohmann::json::object();
  }

 private:
  /// For the field `name` of `parent`, or one element of it.
  FieldReader(nlohmann::json value, const FieldReader& parent, std::string_view name,
              std::optional<std::size_t> index = std::nullopt);
  void check_object();

  void convert(std::string_view name, nlohmann::json value, std::string& out);
  void convert(std::string_view name, const nlohmann::json& value, bool& out);
  void convert(std::string_view name, const nlohmann::json& value, std::uint32_t& out);
  void convert(std::string_view name, const nlohmann::json& value, std::uint64_t& out);
  void convert(std::string_view name, nlohmann::json value, std::vector<std::string>& out);
  /// Any array, element by element as JSON.
  void convert(std::string_view name, nlohmann::json value, std::vector<nlohmann::json>& out);
  /// The word of an enum.
  template <HasWords E>
  void convert(std::string_view name, nlohmann::json value, E& out) {
    if (!value.is_string()) {
      return refuse(name, std::string("must be a string, not ") + value.type_name());
    }
    const auto& word = value.get_ref<const std::string&>();
    const auto known = from_string<E>(word);
    if (!known) return refuse(name, "is unknown: " + in_quotes(word));
    out = *known;
  }
  template <typename T>
  void convert(std::string_view name, nlohmann::json value, std::optional<T>& out) {
    T present{};
    const bool good_before = !error_;
    convert(name, std::move(value), present);
    if (good_before && !error_) out = std::move(present);
  }
  template <typename Record>
  requires requires(FieldReader& io, Record& record) { fields(io, record); }
  void convert(std::string_view name, nlohmann::json value, std::vector<Record>& out) {
    std::vector<nlohmann::json> elements;
    convert(name, std::move(value), elements);
    for (std::size_t i = 0; i < elements.size() && !error_; ++i) {
      FieldReader reader(std::move(elements[i]), *this, name, i);
      fields(reader, out.emplace_back());
      if (reader.error_) refuse(std::move(*reader.error_));
    }
  }
  template <typename Record>
  requires requires(FieldReader& io, Record& record) { fields(io, record); }
  void convert(std::string_view name, nlohmann::json value, Record& out) {
    FieldReader reader(std::move(value), *this, name);
    fields(reader, out);
    if (reader.error_) refuse(std::move(*reader.error_));
  }

  nlohmann::json object_;
  const FieldReader* parent_ = nullptr;
  std::string_view name_;             ///< in the parent
  std::optional<std::size_t> index_;  ///< in the array of that name
  std::string root_;                  ///< where the outermost one is
  std::vector<std::string_view> known_;
  std::optional<FieldError> error_;
};

}  // namespace handover
