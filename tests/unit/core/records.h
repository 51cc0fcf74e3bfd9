// SPDX-License-Identifier: LGPL-2.1-or-later
// A record as JSON and back, by its list of fields.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "core/fields.h"

namespace handover::test {

template <typename Record>
nlohmann::json json_of(const Record& record, Computed computed = Computed::no) {
  std::string text;
  append_json(text, record, computed);
  return nlohmann::json::parse(text);
}

template <typename Record>
Result<Record> record_of(nlohmann::json json) {
  FieldReader reader(std::move(json), "");
  Record record;
  fields(reader, record);
  if (reader.error()) return fail(ErrorCode::invalid_argument, describe(*reader.error()));
  return record;
}

}  // namespace handover::test
