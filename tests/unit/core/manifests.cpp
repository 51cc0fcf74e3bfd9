// SPDX-License-Identifier: LGPL-2.1-or-later
#include "manifests.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "core/checksum.h"

namespace handover::test {

Manifest full_of_version_1() {
  Manifest manifest;
  manifest.state = State::rebooting;
  manifest.generation = 4;
  manifest.boot_id = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
  manifest.next_id = 12;
  SessionRecord session;
  session.id = 9;
  session.name = "db-primary";
  session.keeper = Keeper::luo;
  session.client = "db";
  session.owner = {1000, "db.service"};
  session.incoming = true;
  session.tokens = {{1, Kind::memfd, 268'435'456, true}, {UINT64_MAX, Kind::blob, 17, false}};
  manifest.sessions.push_back(session);
  session = {};
  session.id = 10;
  session.name = "Grüße";
  session.keeper = Keeper::emulated;
  manifest.sessions.push_back(session);
  ClientRecord client;
  client.name = "db";
  client.bus_name = ":1.42";
  client.path = "/org/example/Db";
  client.owner = {1000, "db.service"};
  client.needs = {"storage"};
  client.required = false;
  client.prepare_timeout_usec = 1;
  client.freeze_timeout_usec = 2;
  client.restore_timeout_usec = 3;
  client.phase = ClientPhase::frozen;
  manifest.clients.push_back(client);
  client = {};
  client.name = "storage";
  client.phase = ClientPhase::given_up;
  manifest.clients.push_back(client);
  UpdateRecord update;
  update.id = 11;
  update.mode = Mode::orderly;
  update.kernel = "/boot/vmlinuz-7.3.4";
  update.kernel_release = "7.3.4";
  update.from_release = "7.2.13";
  update.requested_by = "uid 0";
  update.timeline.ticks_per_second = 3'000'000'000;
  update.timeline.marks = {{Mark::requested, 5}, {Mark::clients_frozen, 7}};
  update.timeline.clients["db"].frozen_at = 6;
  manifest.update = update;
  return manifest;
}

Manifest full() {
  Manifest manifest = full_of_version_1();
  manifest.sessions[0].cgroup = "system.slice/db.service";
  manifest.sessions[0].ending = true;
  manifest.sessions[0].degraded = true;
  manifest.sessions[0].opened = true;
  manifest.sessions[0].tokens[0].keeper = Keeper::tracker;
  manifest.clients[0].quiesced = true;
  manifest.clients[1].left_out = "it did not answer in its time limit";
  manifest.update->losses = {"Session 'cache' is lost."};
  manifest.update->left_out = {{"storage", "it did not answer in its time limit"}};
  manifest.update->overruled = "The target has no initrd.";
  manifest.resting = {"old"};
  manifest.config = R"({"mode": "orderly"})";
  manifest.sequence = 41;
  return manifest;
}

std::string wrapped(const std::string& body, const std::string& version) {
  return "handover-manifest " + version + " " + std::to_string(body.size()) + " " + checksum(body) +
         "\n" + body;
}

nlohmann::json body_of(const Manifest& manifest) {
  const std::string text = serialize(manifest);
  return nlohmann::json::parse(text.substr(text.find('\n') + 1));
}

std::string fixture(const std::string& name) {
  std::ifstream file(HANDOVER_SOURCE_DIR "/tests/unit/fixtures/" + name);
  EXPECT_TRUE(file) << name;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace handover::test
