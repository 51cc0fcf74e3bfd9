// SPDX-License-Identifier: LGPL-2.1-or-later
// A thousand clients, a tenth of which misbehaves in every round in all the ways there are: each
// round ends, whoever behaves loses nothing, and nothing is left over.
//
// HANDOVER_CHAOS_CLIENTS, _ROUNDS, _SEED and _FIRST (round) play another one, or one again;
// HANDOVER_CHAOS_VERBOSE=1 tells how long each round took.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "chaos_plan.h"
#include "host.h"
#include "light_client.h"
#include "process.h"
#include "roomy.h"
#include "support/sanitized.h"

namespace handover::test {
namespace {

using std::chrono::milliseconds;
using Kind = Deed::Kind;

constexpr std::size_t usual_clients = sanitized ? 60 : 1000;
constexpr std::size_t usual_rounds = sanitized ? 20 : 200;
constexpr unsigned tokens = 4;
/// For those only who do not answer, or late: whoever means to has all the time in the world.
constexpr std::uint64_t short_limit_usec = 100'000;

std::size_t from_environment(const char* name, std::size_t usual) {
  const char* value = std::getenv((std::string("HANDOVER_CHAOS_") + name).c_str());
  return value != nullptr ? std::strtoull(value, nullptr, 10) : usual;
}

nlohmann::json configuration() {
  auto config = roomy_configuration();
  config["thaw_timeout"] = "500ms";
  config["claim_timeout"] = "15s";
  config["history_entries"] = 3;
  return config;
}

constexpr const char* ends = "type='signal',path='/org/handover1',member='UpdateFinished'";
constexpr const char* losses = "type='signal',path='/org/handover1',member='StateLost'";

std::string name_of(std::size_t client) { return "c" + std::to_string(client); }

/// What a round must leave as it found it.
struct Footprint {
  std::size_t descriptors = 0;
  std::size_t resident = 0;
  std::size_t stored = 0;
  std::map<std::string, std::uint64_t> charged;  ///< statistics "charged-…"
};

class Chaos : public testing::Test {
 protected:
  Chaos() : descriptors_raised_((raise_descriptor_limit(), true)) {}

  void SetUp() override {
    host.boot();
    for (std::size_t i = 0; i < count; ++i) {
      clients.push_back(std::make_unique<LightClient>(
          host.loop(), address_of(i), setup_of(i),
          [this, i](auto& client, Call call) { called(i, client, call); }));
      clients.back()->start();
    }
    ASSERT_TRUE(host.run_until([&] { return at_rest(); })) << unrest();
  }

  // ---- the clients

  [[nodiscard]] Address address_of(std::size_t client) const {
    return client % 2 == 0 ? host.private_address() : host.bus_address();
  }
  [[nodiscard]] LightClient::Setup setup_of(std::size_t client) const {
    LightClient::Setup setup;
    setup.name = name_of(client);
    for (const auto need : needs_of(seed, client)) setup.needs.push_back(name_of(need));
    setup.tokens = client % 5 == 0 ? tokens : 0;
    return setup;
  }
  [[nodiscard]] bool behaves(std::size_t client) const { return !round.culprits.contains(client); }

  void called(std::size_t index, LightClient& client, Call call) {
    const auto culprit = round.culprits.find(index);
    if (culprit == round.culprits.end() || culprit->second.call != call) return client.answer();
    do_it(client, culprit->second);
  }

  void do_it(LightClient& client, const Deed& deed) {
    switch (deed.kind) {
      case Kind::veto:
        return client.veto("no");
      case Kind::veto_at_length:
        return client.veto(endless_sentence);
      case Kind::be_silent:
        return;
      case Kind::be_late:
        return later(deed.delay, [&client] { client.answer(); });
      case Kind::leave:
        return client.die();
      case Kind::leave_for_a_moment:
        client.die();
        return later(deed.delay, [&client] { client.start(); });
      case Kind::enroll_again:
        client.enroll();
        return client.answer();
      case Kind::end_session:
        client.end_session(deed.call == Call::restore ? "Finish" : "Discard");
        return client.answer();
      case Kind::die:
      case Kind::bring_another:
      case Kind::keep_more:
      case Kind::need_each_other:
      case Kind::need_nobody:
        return client.answer();  // that is done elsewhere
    }
  }

  void later(milliseconds delay, std::function<void()> what) {
    timers.push_back(host.loop().after(delay, std::move(what)));
  }

  // ---- a round

  /// The culprits register as such: some are optional now, and the time of some is short.
  void begin_to_misbehave() {
    for (auto culprit = round.culprits.begin(); culprit != round.culprits.end(); ++culprit) {
      const auto& [index, deed] = *culprit;
      auto& client = *clients[index];
      auto setup = setup_of(index);
      setup.required = deed.required;
      if (deed.kind == Kind::be_silent || deed.kind == Kind::be_late) {
        setup.timeout_usec = short_limit_usec;
      }
      if (deed.kind == Kind::need_each_other) setup.needs.push_back(name_of(neighbour(culprit)));
      if (deed.kind == Kind::need_nobody) setup.needs.push_back("nobody");
      client.change(std::move(setup));
      client.enroll();
      if (deed.kind == Kind::die) later(deed.delay, [&client] { client.die(); });
      if (deed.kind == Kind::bring_another)
        later(deed.delay, [this, index] { bring_another(index); });
      if (deed.kind == Kind::keep_more) later(deed.delay, [this, &client] { keep_more(client); });
    }
    EXPECT_TRUE(host.run_until([&] {
      return std::all_of(round.culprits.begin(), round.culprits.end(), [&](const auto& culprit) {
        const auto& client = *clients[culprit.first];
        return client.registered() || !client.alive() || !client.complaints().empty();
      });
    }));
  }

  [[nodiscard]] std::size_t neighbour(std::map<std::size_t, Deed>::const_iterator culprit) const {
    const auto next = std::next(culprit);
    return next == round.culprits.end() ? round.culprits.begin()->first : next->first;
  }

  void bring_another(std::size_t index) {
    LightClient::Setup setup;
    setup.name = "x" + std::to_string(index);
    setup.required = false;
    setup.timeout_usec = short_limit_usec;
    setup.tokens = tokens;
    others.push_back(std::make_unique<LightClient>(host.loop(), address_of(index), std::move(setup),
                                                   [](auto& client, Call) { client.answer(); }));
    others.back()->start();
  }

  void keep_more(LightClient& client) {
    if (!client.alive()) return;
    constexpr int sessions = 3;
    for (int i = 0; i < sessions; ++i) {
      const auto name = "more" + client.name() + "s" + std::to_string(i);
      client.peer()->call(manager_path, manager_interface, "CreateSession", "sa{sv}",
                          wire::Writer().text(name).array(8, [] {}).bytes(), [](auto&) {});
    }
  }

  /// Asks for what the round is about; false: the daemon refused.
  bool ask() {
    using Wish = Round::Wish;
    const bool prepare_first =
        round.wish == Wish::prepare_then_update || round.wish == Wish::prepare_then_cancel;
    if (round.wish == Wish::update_and_cancel) {
      later(round.when, [this] {
        host.admin().send(manager_path, manager_interface, "Cancel", {}, [](const Answer&) {});
      });
    }
    if (round.wish == Wish::update_and_kill) {
      killer = host.loop().after(round.when, [this] {
        ++kills;
        host.manager().kill_daemon();
      });
    }
    auto answer = prepare_first ? host.prepare() : host.update();
    if (!answer.ok() || !prepare_first) return answer.ok();
    if (!reaches({"prepared", "normal"})) return true;
    answer = round.wish == Wish::prepare_then_update ? host.update() : host.cancel();
    return answer.ok();
  }

  /// Asked every 10 ms: after each of thousands of events would be too often.
  [[nodiscard]] bool reaches(std::set<std::string> wanted) {
    static constexpr milliseconds between_looks{10};
    struct Look {
      std::string state;
      SourcePtr again;
      std::function<void()> ask;
    };
    const auto look = std::make_shared<Look>();
    look->ask = [this, weak = std::weak_ptr<Look>(look)] {
      host.admin().send(
          manager_path, "org.freedesktop.DBus.Properties", "Get",
          with("ss", manager_interface, "State"), [this, weak](const Answer& answer) {
            const auto here = weak.lock();
            if (!here) return;
            here->state.clear();
            const char* state = nullptr;
            if (answer.ok() && sd_bus_message_read(answer.reply.get(), "v", "s", &state) > 0) {
              here->state = state;
            }
            here->again = host.loop().after(between_looks, here->ask);
          });
    };
    look->ask();
    return host.run_until([&] { return wanted.contains(look->state); });
  }

  /// It has not answered what would have let it run. Or, in a circle of needs, it is another one
  /// than before whom the new kernel's daemon refuses.
  [[nodiscard]] static bool stands_by_choice(const Deed& deed) {
    return deed.call == Call::thaw || deed.call == Call::restore ||
           deed.kind == Kind::need_each_other;
  }

  /// What must be so at the end of a round, whatever was done in it.
  void expect_promises(std::uint64_t before, const std::vector<unsigned>& restored_before) {
    const auto after = host.generation();
    EXPECT_TRUE(after == before || after == before + 1) << before << ", then " << after;
    const bool is_updated = after != before;
    updated += is_updated ? 1 : 0;
    const auto runs = [&](std::size_t i) {
      const auto& client = *clients[i];
      if (!client.alive()) return !behaves(i);
      const bool by_choice = !behaves(i) && stands_by_choice(round.culprits.at(i));
      if (client.frozen() && !by_choice) return false;
      return !behaves(i) || !is_updated || client.restored() > restored_before[i];
    };
    const auto all_run = [&] {
      for (std::size_t i = 0; i < clients.size(); ++i) {
        if (!runs(i)) return false;
      }
      return true;
    };
    EXPECT_TRUE(host.run_until(all_run));
    for (std::size_t i = 0; i < clients.size(); ++i) {
      EXPECT_TRUE(runs(i)) << clients[i]->name() << " stands still, or was not restored; it says: "
                           << testing::PrintToString(clients[i]->complaints());
      if (!behaves(i)) continue;
      for (const auto& complaint : clients[i]->complaints()) ADD_FAILURE() << complaint;
    }
  }

  /// Everything of the round is told by now: a session is gone when the daemon says so of it.
  void expect_no_loss_but_of(const std::map<std::size_t, Deed>& culprits) {
    EXPECT_TRUE(lost.is_up_to_date());
    for (const auto& loss : lost.all("StateLost")) {
      const auto& client = loss.arguments.at(1);
      const bool innocent = client.starts_with('c') &&
                            !culprits.contains(std::strtoull(client.c_str() + 1, nullptr, 10));
      EXPECT_FALSE(innocent) << loss.arguments.at(2);
    }
    lost.clear();
  }

  /// Everybody is as at the beginning, and stays so.
  void heal() {
    timers.clear();
    const auto culprits = std::exchange(round.culprits, {});
    for (const auto& [index, deed] : culprits) {
      auto& client = *clients[index];
      client.forgive();
      client.change(setup_of(index));
      // What it still owes an answer to after a Restore is gone; else it is late, and welcome.
      if (client.holds() && deed.call == Call::restore) client.die();
      if (client.holds()) client.answer();
      if (client.alive()) {
        client.enroll();
      } else {
        client.start();
      }
    }
    others.clear();
    EXPECT_TRUE(host.run_until([&] { return at_rest(); })) << unrest();
    expect_no_loss_but_of(culprits);
    for (const auto& client : clients) client->forgive();
  }

  /// What the daemon still reads of a stranger can make a session of his when he is gone already.
  /// False if there are none.
  bool end_sessions_of_strangers() {
    bool any = false;
    for (const auto& session : host.list_sessions()) {
      if (!session.name.starts_with("more") && !session.name.starts_with('x')) continue;
      host.end_session(session.name, session.incoming ? "Finish" : "Discard");
      any = true;
    }
    return any;
  }

  /// "" or who is not as he was at the beginning.
  [[nodiscard]] std::string unrest() {
    for (const auto& client : clients) {
      if (!client->registered()) return client->name() + " is not registered";
      if (!client->preserved()) return client->name() + " has not preserved its memory";
      if (client->frozen()) return client->name() + " is frozen";
    }
    const auto listed = host.list_clients();
    if (listed.size() != count) return std::to_string(listed.size()) + " clients";
    for (const auto& client : listed) {
      if (client.bus_name.empty()) return client.name + " is not connected";
      if (client.phase != "idle") return client.name + " is " + client.phase;
      if (!client.required) return client.name + " is still optional";
    }
    std::size_t sessions = 0;
    for (const auto& session : host.list_sessions()) {
      if (session.incoming) return "session " + session.name + " is incoming";
      if (session.descriptors != tokens) return "session " + session.name + " is not filled";
      ++sessions;
    }
    if (sessions != (count + 4) / 5) return std::to_string(sessions) + " sessions";
    return {};
  }
  /// Cheap while it is not so: asked after each event.
  [[nodiscard]] bool at_rest() {
    const bool ready = std::all_of(clients.begin(), clients.end(), [](const auto& client) {
      return client->registered() && client->preserved();
    });
    return ready && !end_sessions_of_strangers() && unrest().empty();
  }

  [[nodiscard]] Footprint footprint() {
    const auto daemon = host.manager().pid();
    auto charged = host.statistics();
    std::erase_if(charged, [](const auto& one) { return !one.first.starts_with("charged-"); });
    return {open_descriptors(daemon), resident_bytes(daemon), host.manager().stored_names().size(),
            std::move(charged)};
  }
  void expect_nothing_left(const Footprint& before) {
    constexpr std::size_t few = 4;  // a descriptor may be on its way
    constexpr std::size_t much = 64U << 20U;
    EXPECT_TRUE(host.loop().run_until(
        [&] {
          const auto now = footprint();
          return now.descriptors <= before.descriptors + few && now.stored == before.stored &&
                 now.charged == before.charged;
        },
        std::chrono::seconds(60)));
    const auto after = footprint();
    EXPECT_LE(after.descriptors, before.descriptors + few);
    EXPECT_EQ(after.stored, before.stored);
    EXPECT_EQ(after.charged, before.charged);
    EXPECT_FALSE(after.charged.empty());
    if (!sanitized) {
      EXPECT_LE(after.resident, before.resident + before.resident / 2 + much);
    }
    EXPECT_TRUE(host.manager().crashes().empty());
  }

  void play() {
    const auto before = host.generation();
    std::vector<unsigned> restored_before;
    for (const auto& client : clients) restored_before.push_back(client->restored());
    const auto kills_before = kills;
    begin_to_misbehave();
    if (!ask()) ++refused;
    EXPECT_TRUE(reaches({"normal"})) << "the update does not end";
    killer.reset();
    // It may have died behind its answer.
    EXPECT_TRUE(kills == kills_before || reaches({"normal"})) << "it does not come back";
    if (HasFailure()) return;
    expect_promises(before, restored_before);
    heal();
  }

  const std::size_t count = from_environment("CLIENTS", usual_clients);
  const std::uint64_t seed = from_environment("SEED", 1);
  const std::string endless_sentence = [] {
    constexpr int times = 10'000;
    std::string sentence;
    for (int i = 0; i < times; ++i) sentence += "\x1b[2Jno\r\n\xc2\x9b";
    return sentence;
  }();
  bool descriptors_raised_;
  // A bus throws an answer away while more descriptors than these wait for the daemon, which nobody
  // hears of (docs/limits.md). Five hundred clients that preserve at once come to more than 64.
  Host host{configuration(), ends, {.descriptors = 4096}};
  Observer lost{host.loop(), host.bus_address(), Observer::Subscription::no, losses};
  Round round;
  std::vector<SourcePtr> timers;
  SourcePtr killer;
  std::vector<std::unique_ptr<LightClient>> clients;
  std::vector<std::unique_ptr<LightClient>> others;
  std::size_t updated = 0;
  std::size_t refused = 0;
  std::size_t kills = 0;
};

TEST_F(Chaos, EndsWithEverybodyRunning) {
  using Clock = std::chrono::steady_clock;
  const auto first = from_environment("FIRST", 0);
  const auto rounds = from_environment("ROUNDS", usual_rounds);
  // Once without anything in the way: what is made once is there then.
  play();
  ASSERT_EQ(updated, 1U);
  const auto before = footprint();
  auto longest = Clock::duration::zero();
  const bool verbose = from_environment("VERBOSE", 0) != 0;
  for (auto number = first; number < first + rounds && !HasFailure(); ++number) {
    round = round_of(seed, number, count);
    SCOPED_TRACE("HANDOVER_CHAOS_CLIENTS=" + std::to_string(count) + " HANDOVER_CHAOS_SEED=" +
                 std::to_string(seed) + " HANDOVER_CHAOS_FIRST=" + std::to_string(number) +
                 " HANDOVER_CHAOS_ROUNDS=1: " + to_string(round));
    const auto begin = Clock::now();
    play();
    if (!HasFailure()) expect_nothing_left(before);
    const auto spent = Clock::now() - begin;
    longest = std::max(longest, spent);
    if (verbose) {
      std::printf("round %zu: %.1f s, %s\n", number, std::chrono::duration<double>(spent).count(),
                  to_string(round.wish).c_str());
    }
    host.observer().clear();
  }
  std::printf(
      "%zu clients, %zu rounds: %zu updates done, %zu refused, %zu kills; the longest round %.1f "
      "s\n",
      count, rounds, updated, refused, kills, std::chrono::duration<double>(longest).count());
}

}  // namespace
}  // namespace handover::test
