// SPDX-License-Identifier: LGPL-2.1-or-later
// What is wrong with a world in which nothing is under way any more.
#include <algorithm>

#include "engine/fd_store.h"
#include "world.h"

namespace handover::engine::test {

namespace {

using Lines = std::vector<std::string>;

std::string place_name(const FakeClient::Place& place) {
  return "'" + place.first + "', token " + std::to_string(place.second);
}

void check_memory(World& world, const FakeClient& client, Lines& wrong) {
  for (const auto& place : client.carried()) {
    if (world.announced.told_loss(place.first, client.name())) continue;
    wrong.push_back(client.name() + " has lost session " + place_name(place) +
                    ", and nobody told of it");
  }
  for (const auto& place : client.preserved()) {
    const auto* const held = world.engine().sessions().find(place.first);
    const bool on_record =
        held != nullptr &&
        std::any_of(held->record.tokens.begin(), held->record.tokens.end(),
                    [&](const TokenRecord& token) { return token.token == place.second; });
    if (!on_record) wrong.push_back("no record of session " + place_name(place));
    if (world.engine().emulated()) continue;
    const auto there = world.outgoing(place.first);
    if (!there || !there->contains(place.second)) {
      wrong.push_back("the kernel does not preserve session " + place_name(place));
    }
  }
}

/// The kernel's sessions are those on record.
void check_kernel(World& world, const FakeClient& client, Lines& wrong) {
  for (const auto& session : client.sessions()) {
    // What nobody can name any more stays there until a cold boot.
    if (world.incoming(session) && !world.announced.told_loss(session, client.name())) {
      wrong.push_back("the kernel still has the earlier kernel's session '" + session + "'");
    }
    const auto* const held = world.engine().sessions().find(session);
    const auto there = world.outgoing(session);
    if (there && held == nullptr) wrong.push_back("nobody knows session '" + session + "'");
    if (!there || held == nullptr) continue;
    for (const auto token : *there) {
      const auto& tokens = held->record.tokens;
      if (std::any_of(tokens.begin(), tokens.end(),
                      [&](const TokenRecord& record) { return record.token == token; })) {
        continue;
      }
      wrong.push_back("no record of what the kernel holds of session " +
                      place_name({session, token}));
    }
  }
}

void check_fd_store(World& world, Lines& wrong) {
  Lines expected;
  for (const auto& [name, held] : world.engine().sessions().all()) {
    if (!held.kernel) continue;
    // Of a session that came back without its tokens the kernel alone has them.
    for (const auto& stored : held.kernel->stored_fds()) {
      expected.push_back(FdStore::stored_name(FdStore::prefix_of(held.record.id), stored.part));
    }
  }
  std::sort(expected.begin(), expected.end());
  auto kept = world.machine.fd_store.names();
  std::erase_if(kept, [](const std::string& name) { return name.starts_with("manifest"); });
  for (const auto& name : kept) {
    const auto count = std::count(kept.begin(), kept.end(), name);
    if (count > std::count(expected.begin(), expected.end(), name)) {
      wrong.push_back("the fd store keeps '" + name + "' for nobody, or twice");
    }
  }
  for (const auto& name : expected) {
    if (std::find(kept.begin(), kept.end(), name) == kept.end()) {
      wrong.push_back("the fd store lacks '" + name + "'");
    }
  }
}

void check_charges(World& world, Lines& wrong) {
  std::uint64_t tokens = 0;
  std::uint64_t bytes = 0;
  for (const auto& [name, held] : world.engine().sessions().all()) {
    tokens += held.record.tokens.size();
    for (const auto& token : held.record.tokens) bytes += token.bytes;
  }
  std::uint64_t needs = 0;
  for (const auto& [name, client] : world.engine().clients()) needs += client.needs.size();
  const std::map<std::string, std::uint64_t> expected = {
      {"charged-sessions", world.engine().sessions().all().size()},
      {"charged-descriptors", tokens},
      {"charged-bytes", bytes},
      {"charged-clients", world.engine().clients().size()},
      {"charged-needs", needs}};
  for (const auto& [name, amount] : expected) {
    const auto charged = world.statistic(name);
    if (charged == amount) continue;
    wrong.push_back(name + " is " + std::to_string(charged) + ", and should be " +
                    std::to_string(amount));
  }
}

/// The lines in /run say what the engine knows.
void check_manifest(World& world, Lines& wrong) {
  const auto text = world.machine.runtime.read("manifest.json");
  const auto manifest = text ? parse_manifest(*text) : Result<Manifest>(fail(text.error()));
  if (!manifest) return wrong.push_back("manifest: " + manifest.error().message);
  if (manifest->state != State::normal) {
    wrong.push_back("manifest: state " + std::string(to_string(manifest->state)));
  }
  if (manifest->generation != world.engine().generation()) wrong.push_back("manifest: generation");
  if (manifest->update) wrong.push_back("manifest: an update");
  const auto& sessions = world.engine().sessions().all();
  if (manifest->sessions.size() != sessions.size()) wrong.push_back("manifest: other sessions");
  for (const auto& record : manifest->sessions) {
    const auto it = sessions.find(record.name);
    if (it == sessions.end() || !(it->second.record == record)) {
      wrong.push_back("manifest: session '" + record.name + "' differs");
    }
  }
  const auto& clients = world.engine().clients();
  if (manifest->clients.size() != clients.size()) wrong.push_back("manifest: other clients");
  for (auto record : manifest->clients) {
    const auto it = clients.find(record.name);
    if (it == clients.end()) {
      wrong.push_back("manifest: client '" + record.name + "'");
      continue;
    }
    record.phase = it->second.phase;  // of no meaning in normal
    record.quiesced = it->second.quiesced;
    if (!(it->second == record)) wrong.push_back("manifest: client '" + record.name + "' differs");
  }
}

}  // namespace

std::vector<std::string> World::wrong() {
  Lines wrong = complaints_;
  if (!ready_) {
    wrong.emplace_back("no daemon");
    return wrong;
  }
  if (engine_->state() != State::normal) {
    wrong.push_back("state " + std::string(to_string(engine_->state())));
  }
  for (const auto& [name, client] : clients_) {
    if (client->life() != FakeClient::Life::away && !client->runs()) {
      const auto& heard = client->registrations();
      wrong.push_back(name + " stands still; it has heard '" +
                      (heard.empty() ? std::string() : heard.back()) + "' last");
    }
    check_memory(*this, *client, wrong);
    if (!options_.emulated) check_kernel(*this, *client, wrong);
  }
  check_fd_store(*this, wrong);
  check_charges(*this, wrong);
  check_manifest(*this, wrong);
  if (outside_->stopped_clocks() != 0) wrong.emplace_back("a client's clock stands still");
  for (const auto& what : machine.waited_in_loop) wrong.push_back("the loop waited in " + what);
  if (outside_->started_too_often()) wrong.emplace_back("a clock was started that ran");
  if (machine.target_loaded) wrong.emplace_back("a kernel is still loaded");
  if (machine.state.mounted && machine.state.has(StateFile::pending)) {
    wrong.emplace_back("pending.json is still there");
  }
  return wrong;
}

}  // namespace handover::engine::test
