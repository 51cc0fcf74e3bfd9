// SPDX-License-Identifier: LGPL-2.1-or-later
// The fields in JSON of what manifest, history and pending record have in common.
#pragma once

#include "core/fields.h"
#include "core/left_out.h"
#include "core/rehearsal.h"
#include "core/timeline.h"

namespace handover {

template <typename Io, Of<ClientTimes> Record>
void fields(Io& io, Record& times) {
  io.optional("prepare_usec", times.prepare_usec);
  io.optional("freeze_usec", times.freeze_usec);
  io.optional("restore_usec", times.restore_usec);
  io.optional("frozen_at", times.frozen_at);
  io.optional("running_at", times.running_at);
  io.rest(times.extra);
}

/// All but its clients and the rest.
template <typename Io, Of<Timeline> Record>
void own_fields(Io& io, Record& timeline) {
  io.required("ticks_per_second", timeline.ticks_per_second);
  io.by_word("marks", timeline.marks, timeline.extra);
}

template <typename Io, Of<Timeline> Record>
void fields(Io& io, Record& timeline) {
  own_fields(io, timeline);
  io.by_name("clients", timeline.clients, [&](auto& inner, auto& times) {
    inner.computed("blackout_usec",
                   [&] { return standstill_usec(times, timeline.ticks_per_second); });
  });
  io.rest(timeline.extra);
}

template <typename Io, Of<Rehearsal> Record>
void fields(Io& io, Record& rehearsal) {
  io.optional("at_most_usec", rehearsal.at_most_usec);
  io.optional("estimate_usec", rehearsal.estimate_usec);
  io.optional("estimate_from", rehearsal.estimate_from);
  io.optional("not_rehearsed", rehearsal.not_rehearsed);
  io.rest(rehearsal.extra);
}

template <typename Io, Of<LeftOut> Record>
void fields(Io& io, Record& left_out) {
  io.required("client", left_out.client);
  io.required("reason", left_out.reason);
}

}  // namespace handover
