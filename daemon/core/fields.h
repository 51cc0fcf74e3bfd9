// SPDX-License-Identifier: LGPL-2.1-or-later
// A record's fields, listed once: the same list writes its JSON and reads it.
#pragma once

#include <concepts>
#include <type_traits>

#include "core/field_reader.h"
#include "core/field_writer.h"

namespace handover {

// A record has a function `fields`, which passes each field to an `io`:
//
//   template <typename Io, Of<Phase> Record>
//   void fields(Io& io, Record& phase) {
//     io.required("name", phase.name);
//     io.optional("usec", phase.usec);
//     io.rest(phase.extra);
//   }
//
// FieldWriter and FieldReader are the two kinds of io; they have the same methods. rest() comes
// last: it keeps the fields that only a newer version knows, so that they are written again.

/// `T` is `Record` or `const Record`: one function reads and writes.
template <typename T, typename Record>
concept Of = std::same_as<std::remove_const_t<T>, Record>;

/// Appends the record as one JSON object in one line.
template <typename Record>
void append_json(std::string& out, const Record& record, Computed computed = Computed::no) {
  FieldWriter writer(out, computed);
  fields(writer, record);
  writer.end();
}

}  // namespace handover
