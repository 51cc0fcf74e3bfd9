// SPDX-License-Identifier: LGPL-2.1-or-later
// The engine's news as signals and property changes (docs/dbus.md).
#include <string>

#include "bus/server.h"

namespace handover::bus {

using Kind = Signals::Kind;

void Server::manager_changed(const char* property) {
  signals_.properties_changed(manager_path, manager_interface, Kind::rare, {property});
}

void Server::session_changed(const std::string& session, const char* property) {
  const auto kind = std::string_view(property) == "Tokens" ? Kind::often : Kind::rare;
  if (!signals_.heard(kind)) return;
  signals_.properties_changed(session_path(session), session_interface, kind, {property});
}

void Server::session_added(const std::string& session) {
  // Under a name that was there before, and incoming.
  session_changed(session, "Incoming");
  signals_.emit(Kind::rare, "SessionAdded", "so", session.c_str(), session_path(session).c_str());
}

void Server::session_removed(const std::string& session) {
  signals_.emit(Kind::rare, "SessionRemoved", "so", session.c_str(), session_path(session).c_str());
}

void Server::token_added(const std::string& session, std::uint64_t token) {
  session_changed(session, "Tokens");
  signals_.emit_from(session_path(session), session_interface, Kind::often, "TokenAdded", "t",
                     token);
}

void Server::token_removed(const std::string& session, std::uint64_t token) {
  session_changed(session, "Tokens");
  signals_.emit_from(session_path(session), session_interface, Kind::often, "TokenRemoved", "t",
                     token);
}

void Server::client_added(const std::string& client) {
  signals_.emit(Kind::rare, "ClientAdded", "s", client.c_str());
}

void Server::client_removed(const std::string& client) {
  signals_.emit(Kind::rare, "ClientRemoved", "s", client.c_str());
}

void Server::client_changed(const ClientRecord& client) {
  signals_.emit(Kind::often, "ClientChanged", "ss", client.name.c_str(), word_of(client.phase));
}

void Server::job_added(std::uint64_t id) {
  signals_.emit(Kind::rare, "JobNew", "uo", static_cast<std::uint32_t>(id), job_path(id).c_str());
}

void Server::job_changed(std::uint64_t id) {
  if (!signals_.heard(Kind::often)) return;
  signals_.properties_changed(job_path(id), job_interface, Kind::often,
                              {"Phase", "Progress", "Detail"});
}

void Server::job_removed(std::uint64_t id, Outcome result, const std::string& reason) {
  signals_.emit(Kind::rare, "JobRemoved", "uoss", static_cast<std::uint32_t>(id),
                job_path(id).c_str(), word_of(result), reason.c_str());
}

void Server::update_finished(Outcome outcome, const std::string& reason, std::uint64_t generation) {
  signals_.emit(Kind::rare, "UpdateFinished", "sst", word_of(outcome), reason.c_str(), generation);
}

void Server::kernel_judged(const std::string& release, KernelState state, const std::string& reason,
                           std::uint64_t generation) {
  signals_.emit(Kind::rare, "KernelJudged", "ssst", release.c_str(), word_of(state), reason.c_str(),
                generation);
}

void Server::state_lost(const std::string& session, const std::string& client,
                        const std::string& reason) {
  signals_.emit(Kind::rare, "StateLost", "sss", session.c_str(), client.c_str(), reason.c_str());
}

}  // namespace handover::bus
