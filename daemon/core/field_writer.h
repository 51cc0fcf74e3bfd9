// SPDX-License-Identifier: LGPL-2.1-or-later
// Writes a record's fields as one JSON object, directly into a string.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/enum_words.h"

namespace handover {

/// Whether fields that follow from others are written, too: readers outside of the daemon cannot
/// compute them.
enum class Computed { no, yes };

/// A document as text, in one line. JSON must be UTF-8: each byte that is not becomes U+FFFD. Never
/// throws.
std::string dump_json(const nlohmann::json& document);
/// Appends a string with its quotes, escaped; the same holds for its bytes.
void append_json_string(std::string& out, std::string_view text);

/// See core/fields.h. Names of fields are literals that need no escaping.
class FieldWriter {
 public:
  explicit FieldWriter(std::string& out, Computed computed = Computed::no)
      : out_(out), computed_(computed) {
    out_ += '{';
  }
  void end() { out_ += '}'; }

  template <typename T>
  void required(std::string_view name, const T& value) {
    key(name);
    append(value);
  }
  /// Not written if it is empty, 0, false or absent.
  template <typename T>
  void optional(std::string_view name, const T& value) {
    if (value != T{}) required(name, value);
  }
  void name(std::string_view field, const std::string& value) { required(field, value); }
  void name_or_empty(std::string_view field, const std::string& value) { required(field, value); }
  /// If `extra` has this field, it is the word of a newer version, which rest() writes.
  template <HasWords E>
  void word(std::string_view name, E value, E /*newer*/, const nlohmann::json& extra) {
    if (!has(extra, name)) required(name, value);
  }
  /// An object; `write` writes its fields.
  template <typename Write>
  void object(std::string_view name, Write write) {
    key(name);
    FieldWriter inner(out_, computed_);
    write(inner);
    inner.end();
  }
  /// null: absent.
  template <typename Record>
  void record_or_null(std::string_view name, const std::optional<Record>& value) {
    key(name);
    if (value) {
      append(*value);
    } else {
      out_ += "null";
    }
  }
  template <typename Record, typename Identity>
  void list(std::string_view name, const std::vector<Record>& values, Identity /*identity*/) {
    required(name, values);
  }
  /// If `extra` has this field, it holds the keys of a newer version: they go into the same object.
  template <HasWords E, typename T>
  void by_word(std::string_view name, const std::map<E, T>& values, const nlohmann::json& extra) {
    key(name);
    FieldWriter inner(out_, computed_);
    for (const auto& [word, value] : values) inner.required(to_string(word), value);
    if (has(extra, name)) {
      inner.rest(*extra.find(name));
      merged_ = name;
    }
    inner.end();
  }
  template <typename Record, typename More>
  void by_name(std::string_view name, const std::map<std::string, Record>& values, More more) {
    key(name);
    out_ += '{';
    bool first = true;
    for (const auto& [of, value] : values) {
      if (!first) out_ += ',';
      first = false;
      append(of);
      out_ += ':';
      FieldWriter inner(out_, computed_);
      more(inner, value);
      fields(inner, value);
      inner.end();
    }
    out_ += '}';
  }
  /// What `compute` returns, unless it is empty or absent.
  template <typename Compute>
  void computed(std::string_view name, Compute compute) {
    if (computed_ == Computed::no) return;
    if (const auto value = compute(); value != decltype(value){}) required(name, value);
  }
  void rest(const nlohmann::json& extra);

 private:
  static bool has(const nlohmann::json& extra, std::string_view name) {
    return extra.is_object() && extra.find(name) != extra.end();
  }
  void key(std::string_view name);

  void append(bool value) { out_ += value ? "true" : "false"; }
  void append(std::uint32_t value) { append(std::uint64_t{value}); }
  void append(std::uint64_t value);
  void append(std::string_view value) { append_json_string(out_, value); }
  void append(const std::string& value) { append_json_string(out_, value); }
  template <HasWords E>
  void append(E value) {
    append(to_string(value));
  }
  template <typename T>
  void append(const std::optional<T>& value) {
    append(*value);
  }
  template <typename T>
  void append(const std::vector<T>& values) {
    out_ += '[';
    bool first = true;
    for (const T& value : values) {
      if (!first) out_ += ',';
      first = false;
      append(value);
    }
    out_ += ']';
  }
  template <typename Record>
  requires requires(FieldWriter& io, const Record& value) { fields(io, value); }
  void append(const Record& value) {
    FieldWriter inner(out_, computed_);
    fields(inner, value);
    inner.end();
  }

  std::string& out_;
  Computed computed_;
  bool first_ = true;
  std::optional<std::string_view> merged_;  ///< the field of `extra` that is written already
};

}  // namespace handover
