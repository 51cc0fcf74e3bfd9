// SPDX-License-Identifier: LGPL-2.1-or-later
// `systemctl stop` in each state of an update, and what the next daemon finds of a kexec that is
// under way.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <zlib.h>

#include <csignal>

#include "core/manifest.h"
#include "host.h"
#include "pid_one.h"

namespace handover::test {
namespace {

using Behaviour = ScriptedClient::Behaviour;

/// "base" ← "top", each with a session.
class Stop : public testing::Test {
 protected:
  void SetUp() override {
    host.gate();
    host.boot();
    base = &host.add({.name = "base"});
    top = &host.add({.name = "top", .needs = {"base"}});
    base->keep("base", 1, 1, 5000);
    top->keep("top", 1, 2, 5000);
    ASSERT_TRUE(host.start_clients());
  }

  [[nodiscard]] bool ended() {
    return host.run_until([&] { return !host.manager().running(); });
  }
  /// It has thawed everybody, has said so, and is gone.
  void expect_cancelled_and_ended() {
    expect_ended_well();
    EXPECT_EQ(host.finished().outcome, "cancelled");
  }
  void expect_ended_well() {
    ASSERT_TRUE(ended());
    const auto status = host.manager().last_status();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  [[nodiscard]] std::string manifest_text() const {
    return text_of(host.directory().path("run/manifest.json"));
  }
  [[nodiscard]] std::optional<State> state_on_disk() const {
    const auto manifest = parse_manifest(manifest_text());
    if (!manifest) return std::nullopt;
    return manifest->state;
  }
  /// A later daemon goes on from there.
  void expect_update_works_after_start() {
    host.observer().clear();
    host.boot();
    host.update_ends("done");
    for (const auto& client : host.clients()) EXPECT_EQ(client->memory()[0].retrieved, 1U);
    host.expect_calm();
  }

  Host host;
  ScriptedClient* base = nullptr;
  ScriptedClient* top = nullptr;
};

TEST_F(Stop, WhileFreezingThawsFirst) {
  ASSERT_TRUE(host.update_held_by(*base, Call::freeze));
  ASSERT_TRUE(top->frozen());
  host.manager().terminate();
  expect_cancelled_and_ended();
  EXPECT_FALSE(top->frozen());
  EXPECT_FALSE(top->prepared());
  EXPECT_EQ(host.journal().count("base", Call::thaw), 1U);
  base->on(Call::freeze, Behaviour::answer);
  expect_update_works_after_start();
}

TEST_F(Stop, WhilePreparedCancelsFirst) {
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.reaches("prepared"));
  host.manager().terminate();
  expect_cancelled_and_ended();
  EXPECT_EQ(host.journal().count(Call::cancel), 2U);
  expect_update_works_after_start();
}

TEST_F(Stop, WhilePreparingCancelsFirst) {
  ASSERT_TRUE(host.update_held_by(*top, Call::prepare));
  host.manager().terminate();
  expect_cancelled_and_ended();
  EXPECT_FALSE(base->prepared());
  EXPECT_EQ(host.journal().count(Call::cancel), 2U);
  top->on(Call::prepare, Behaviour::answer);
  expect_update_works_after_start();
}

/// TimeoutStopSec= is for a daemon that hangs, not for clients that are slow.
TEST_F(Stop, AsksForTimeAsLongAsAnybodyStandsStill) {
  base->on(Call::thaw, Behaviour::hold);
  ASSERT_TRUE(host.update_held_by(*base, Call::freeze));
  EXPECT_EQ(host.manager().extended(), 0U);
  host.manager().terminate();
  ASSERT_TRUE(host.run_until([&] { return host.manager().extended() >= 2; }));
  base->let_go();
  expect_cancelled_and_ended();
}

TEST_F(Stop, ASecondTimeWaitsForNobody) {
  base->on(Call::thaw, Behaviour::hold);
  ASSERT_TRUE(host.update_held_by(*base, Call::freeze));
  host.manager().terminate();
  ASSERT_TRUE(host.run_until(
      [&] { return !host.manager().running() || host.journal().count("base", Call::thaw) == 1; }));
  ASSERT_TRUE(host.manager().running()) << "it left clients frozen";
  host.manager().terminate();
  ASSERT_TRUE(ended());
  EXPECT_TRUE(WIFEXITED(host.manager().last_status()));

  // Nothing was forgotten: the next daemon thaws whom this one did not.
  base->on(Call::thaw, Behaviour::answer);
  base->on(Call::freeze, Behaviour::answer);
  host.observer().clear();
  host.boot();
  EXPECT_EQ(host.finished().outcome, "failed");
  EXPECT_FALSE(top->frozen());
  host.expect_calm();
}

/// What is not restored yet is the next daemon's to restore; nobody waits for it here.
TEST_F(Stop, WhileRestoringLeavesTheRestToTheNext) {
  base->on(Call::restore, Behaviour::hold);
  ASSERT_TRUE(host.update_held_by(*base, Call::restore));
  ASSERT_EQ(host.state(), "restoring");
  host.manager().terminate();
  expect_ended_well();
  EXPECT_TRUE(host.observer().all("StateLost").empty());
  base->on(Call::restore, Behaviour::answer);
  host.observer().clear();
  host.boot();
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "done") << finished.reason;
  EXPECT_TRUE(host.observer().all("StateLost").empty());
  for (const auto& client : host.clients()) EXPECT_GE(client->memory()[0].retrieved, 1U);
  host.observer().clear();
  host.update_ends("done");
  host.expect_calm();
}

/// Whether it is heard before the kexec or after it: the clients are restored.
TEST_F(Stop, AtTheKexecLosesNothing) {
  bool sent = false;
  host.gate().decide([&](SyscallGate::Stop) {
    if (!sent && state_on_disk() == State::rebooting) {
      sent = true;
      host.manager().terminate();
    }
    return true;
  });
  host.admin().send(manager_path, manager_interface, "Update", with("a{sv}", 0), [](auto) {});
  const auto over = [&] { return !host.observer().all("UpdateFinished").empty(); };
  ASSERT_TRUE(host.run_until([&] { return over() || !host.manager().running(); }));
  EXPECT_TRUE(sent);
  if (!over()) {
    expect_ended_well();
    host.boot();
  }
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "done") << finished.reason;
  for (const auto& client : host.clients()) EXPECT_EQ(client->memory()[0].retrieved, 1U);
}

// ---- the kexec is PID 1's already

std::uint32_t crc_of(std::string_view text) {
  return static_cast<std::uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
}

/// The manifest as it would be in an orderly update, which the emulated backend has none of: the
/// same bytes but for the mode and the sums over them (docs/, "handover-manifest", "+": a change).
std::string made_orderly(std::string text) {
  const std::string emulated = R"("mode":"emulated")";
  const std::string orderly = R"("mode": "orderly")";
  static_assert(sizeof R"("mode":"emulated")" == sizeof R"("mode": "orderly")");
  for (std::size_t at = 0; (at = text.find(emulated, at)) != std::string::npos;) {
    text.replace(at, orderly.size(), orderly);
    // "… BYTES CRC" stands in the same line as a change, in the line above the base.
    const auto begin = text.rfind('\n', at) + 1;  // npos + 1: the very beginning
    const bool change = text[begin] == '+';
    const auto head = change ? begin : text.rfind('\n', begin - 2) + 1;
    constexpr std::size_t crc_digits = 8;
    const auto json = change ? text.find('{', begin) : begin;
    const auto crc = json - 1 - crc_digits;
    EXPECT_GE(crc, head);
    const auto bytes = std::stoul(text.substr(text.rfind(' ', crc - 2) + 1));
    char digits[crc_digits + 1];
    std::snprintf(digits, sizeof digits, "%08x",
                  crc_of(std::string_view(text).substr(json, bytes)));
    text.replace(crc, crc_digits, digits);
  }
  return text;
}

/// The daemon dies after it has asked PID 1 for the kexec: its successor must take that back before
/// anybody goes on.
TEST_F(Stop, ASuccessorTakesTheKexecBackBeforeItThaws) {
  bool killed = false;
  host.manager().set_restarts(false);
  host.gate().decide([&](SyscallGate::Stop) {
    killed = killed || state_on_disk() == State::rebooting;
    return !killed;
  });
  host.admin().send(manager_path, manager_interface, "Update", with("a{sv}", 0), [](auto) {});
  ASSERT_TRUE(ended());
  ASSERT_TRUE(killed);
  host.gate().decide({});
  const auto orderly = made_orderly(manifest_text());
  ASSERT_TRUE(parse_manifest(orderly)) << orderly;
  host.directory().write("run/manifest.json", orderly);

  PidOne pid_one(host.loop(), host.bus_address());
  pid_one.have_kexec_jobs();
  ASSERT_NE(pid_one.job_of("kexec.target"), 0U);
  bool thawed_too_early = false;
  host.manager().set_restarts(true);
  host.observer().clear();
  host.manager().start();
  ASSERT_TRUE(host.run_until([&] {
    const bool jobs = pid_one.job_of("kexec.target") + pid_one.job_of("systemd-kexec.service") != 0;
    thawed_too_early = thawed_too_early || (jobs && host.journal().count(Call::thaw) > 0);
    return !host.observer().all("UpdateFinished").empty();
  }));
  EXPECT_FALSE(thawed_too_early);
  // Whichever it takes back first: the other one ends with it.
  EXPECT_TRUE(pid_one.called("CancelJob kexec.target") ||
              pid_one.called("CancelJob systemd-kexec.service"));
  EXPECT_EQ(pid_one.job_of("kexec.target"), 0U);
  EXPECT_EQ(pid_one.job_of("systemd-kexec.service"), 0U);
  EXPECT_NE(pid_one.job_of("other.service"), 0U);
  EXPECT_EQ(host.finished().outcome, "failed");
  EXPECT_EQ(host.journal().count(Call::thaw), 2U);
  ASSERT_TRUE(host.run_until([&] { return host.serves(); }));
  host.expect_calm();
}

}  // namespace
}  // namespace handover::test
