// SPDX-License-Identifier: LGPL-2.1-or-later
// What it costs to write down the state of many clients: the whole manifest, one change of one
// client, and reading both back.
//
//   manifest-bench [CLIENTS [TOKENS]]   1000 and 4 unless said otherwise
//
// Prints lines "<what> <microseconds> <bytes>" on standard output.
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "core/manifest_change.h"

namespace {

using namespace handover;

Manifest manifest_of(std::uint64_t clients, std::uint64_t tokens) {
  Manifest manifest;
  manifest.state = State::restoring;
  UpdateRecord update;
  update.id = 1;
  update.timeline.ticks_per_second = 3'000'000'000;
  for (const Mark mark : all_values<Mark>()) update.timeline.marks[mark] = 1'000'000;
  for (std::uint64_t i = 0; i < clients; ++i) {
    const std::string name = "client-" + std::to_string(i);
    ClientRecord client;
    client.name = name;
    client.bus_name = ":1." + std::to_string(i);
    client.path = "/org/example/" + std::to_string(i);
    client.owner = {1000, name + ".service"};
    if (i > 0) client.needs = {"client-" + std::to_string(i / 2)};
    manifest.clients.push_back(client);
    SessionRecord session;
    session.id = i + 2;
    session.name = name;
    session.client = name;
    session.owner = client.owner;
    session.cgroup = "system.slice/" + client.owner.unit;
    for (std::uint64_t token = 0; token < tokens; ++token) {
      session.tokens.push_back({token, Kind::memfd, UINT64_C(1) << 30U, true});
    }
    manifest.sessions.push_back(session);
    update.timeline.clients[name] = {.prepare_usec = 100,
                                     .freeze_usec = 100,
                                     .restore_usec = 100,
                                     .frozen_at = 1'000'000'000,
                                     .running_at = 1'000'000'001};
  }
  manifest.update = update;
  return manifest;
}

/// Prints the shortest of several runs.
template <typename Act>
void timed(const char* what, unsigned runs, unsigned in_each, Act act) {
  auto best = std::chrono::nanoseconds::max();
  std::size_t bytes = 0;
  for (unsigned run = 0; run < runs; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    for (unsigned i = 0; i < in_each; ++i) bytes = act();
    best = std::min<std::chrono::nanoseconds>(best, std::chrono::steady_clock::now() - begin);
  }
  std::cout << what << ' ' << static_cast<double>(best.count()) / 1000 / in_each << ' ' << bytes
            << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t clients = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000;
  const std::uint64_t tokens = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 4;
  const Manifest manifest = manifest_of(clients, tokens);
  const std::string base = serialize(manifest);
  const auto& client = manifest.clients.back();
  const auto& session = manifest.sessions.back();

  timed("write-manifest", 20, 1, [&] { return serialize(manifest).size(); });
  timed("read-manifest", 20, 1, [&] {
    if (!parse_manifest(base)) std::exit(1);
    return base.size();
  });
  const auto change = [](const char* what, const Change& one) {
    const std::vector changes{one};
    timed(what, 20, 1000, [&] { return serialize(changes, 1'000'000).size(); });
  };
  change("write-client", ClientChange{client});
  change("write-session", change_of(session));
  change("write-token",
         TokenChange{session.id, session.tokens.empty() ? TokenRecord{} : session.tokens.back()});
  change("write-times",
         TimesChange{client.name, manifest.update->timeline.clients.at(client.name)});
  change("write-update", change_of(manifest.update));

  std::vector<Change> restore;
  for (const auto& one : manifest.sessions) {
    for (const auto& token : one.tokens) restore.emplace_back(TokenChange{one.id, token});
  }
  for (const auto& one : manifest.clients) {
    restore.emplace_back(ClientChange{one});
    restore.emplace_back(TimesChange{one.name, manifest.update->timeline.clients.at(one.name)});
  }
  const std::string text = base + serialize(restore, 1);
  timed("read-restore", 10, 1, [&] {
    if (parse_manifest(text).value().sequence != restore.size()) std::exit(1);
    return text.size();
  });
}
