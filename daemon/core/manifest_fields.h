// SPDX-License-Identifier: LGPL-2.1-or-later
// The JSON fields of the manifest's records. An owner's uid and unit are fields of its record.
#pragma once

#include "core/fields.h"
#include "core/manifest.h"
#include "core/update_fields.h"

namespace handover {

template <typename Io, Of<TokenRecord> Record>
void fields(Io& io, Record& token) {
  io.required("token", token.token);
  io.word("kind", token.kind, Kind::fd, token.extra);
  io.required("bytes", token.bytes);
  io.required("retrieved", token.retrieved);
  io.optional("backend", token.keeper);
  io.rest(token.extra);
}

/// All but its tokens and the rest.
template <typename Io, Of<SessionRecord> Record>
void own_fields(Io& io, Record& session) {
  io.required("id", session.id);
  io.name("name", session.name);
  io.required("backend", session.keeper);
  io.name_or_empty("client", session.client);
  io.required("uid", session.owner.uid);
  io.required("unit", session.owner.unit);
  io.optional("cgroup", session.cgroup);
  io.required("incoming", session.incoming);
  io.optional("ending", session.ending);
  io.optional("degraded", session.degraded);
  io.optional("opened", session.opened);
  io.optional("luo_opened", session.luo_opened);
  io.optional("luo_claimed", session.luo_claimed);
}

template <typename Io, Of<SessionRecord> Record>
void fields(Io& io, Record& session) {
  own_fields(io, session);
  io.list("tokens", session.tokens, [](const TokenRecord& token) { return token.token; });
  io.rest(session.extra);
}

template <typename Io, Of<ClientRecord> Record>
void fields(Io& io, Record& client) {
  io.name("name", client.name);
  io.required("bus_name", client.bus_name);
  io.required("path", client.path);
  io.required("uid", client.owner.uid);
  io.required("unit", client.owner.unit);
  io.required("needs", client.needs);
  io.required("required", client.required);
  io.optional("gate", client.gate);
  io.required("prepare_timeout_usec", client.prepare_timeout_usec);
  io.required("freeze_timeout_usec", client.freeze_timeout_usec);
  io.required("restore_timeout_usec", client.restore_timeout_usec);
  io.required("phase", client.phase);
  io.optional("quiesced", client.quiesced);
  io.optional("left_out", client.left_out);
  io.rest(client.extra);
}

/// All but the timeline, what grows with the clients, and the rest.
template <typename Io, Of<UpdateRecord> Record>
void own_fields(Io& io, Record& update) {
  io.required("id", update.id);
  io.word("mode", update.mode, Mode::external, update.extra);
  io.required("kernel", update.kernel);
  io.required("kernel_release", update.kernel_release);
  io.optional("image", update.image);
  io.optional("entry", update.entry);
  io.required("from_release", update.from_release);
  io.required("requested_by", update.requested_by);
  io.optional("overruled", update.overruled);
  io.optional("rehearsal", update.rehearsal);
}

template <typename Io, Of<UpdateRecord> Record>
void fields(Io& io, Record& update) {
  own_fields(io, update);
  io.required("timeline", update.timeline);
  io.optional("losses", update.losses);
  io.optional("left_out", update.left_out);
  io.rest(update.extra);
}

template <typename Io, Of<KernelTrial> Record>
void fields(Io& io, Record& trial) {
  io.required("update", trial.update);
  io.required("generation", trial.generation);
  io.required("release", trial.release);
  io.optional("image", trial.image);
  io.optional("entry", trial.entry);
  io.rest(trial.extra);
}

template <typename Io, Of<ArmedWatchdog> Record>
void fields(Io& io, Record& watchdog) {
  io.required("device", watchdog.device);
  io.required("timeout_usec", watchdog.timeout_usec);
  io.rest(watchdog.extra);
}

template <typename Io, Of<LostSession> Record>
void fields(Io& io, Record& lost) {
  io.required("session", lost.session);
  io.required("client", lost.client);
  io.optional("token", lost.token);
}

template <typename Io, Of<Manifest> Record>
void fields(Io& io, Record& manifest) {
  io.required("state", manifest.state);
  io.required("generation", manifest.generation);
  io.required("boot_id", manifest.boot_id);
  io.required("next_id", manifest.next_id);
  io.list("sessions", manifest.sessions, [](const SessionRecord& session) { return session.name; });
  io.list("clients", manifest.clients, [](const ClientRecord& client) { return client.name; });
  io.record_or_null("update", manifest.update);
  io.optional("resting", manifest.resting);
  io.optional("config", manifest.config);
  io.optional("unwritten", manifest.unwritten);
  io.optional("late_losses", manifest.late_losses);
  io.optional("trial", manifest.trial);
  io.optional("watchdog", manifest.watchdog);
  io.optional("lost", manifest.lost);
  io.optional("sequence", manifest.sequence);
  io.rest(manifest.extra);
}

}  // namespace handover
