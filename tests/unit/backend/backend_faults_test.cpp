// SPDX-License-Identifier: LGPL-2.1-or-later
// Every operation on every keeper, with every call to the kernel failing or taking long: nothing is
// lost that the kernel still holds, nothing leaks, and when the fault is gone all is as it should.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "descriptors.h"
#include "worlds.h"

namespace handover::backend::test {
namespace {

/// A world of two keepers at most, whose calls fail by one count.
struct Case {
  std::unique_ptr<World> world;
  std::vector<Faults*> faults;
  std::unique_ptr<Session> session;
  std::unique_ptr<Session> another;  ///< made by "create"
  /// What there is of the session beside its object, for adopt().
  Adopted adopted;
  /// By token: what an update must give back.
  std::map<std::uint64_t, std::string> expected;
};

std::string text_of(std::uint64_t token) { return "contents of " + std::to_string(token); }

Case luo_case() {
  auto world = std::make_unique<LuoWorld>(LuoPatience::none());
  Faults* const faults = &world->kernel().faults();
  return {std::move(world), {faults}, nullptr, nullptr, {}, {}};
}

Case tracker_case() {
  auto world = std::make_unique<TrackerWorld>();
  Faults* const faults = &world->module().faults();
  return {std::move(world), {faults}, nullptr, nullptr, {}, {}};
}

Case composite_case() {
  auto world = std::make_unique<CompositeWorld>(Keeper::luo, true, LuoPatience::none());
  std::vector<Faults*> faults = {&world->kernel().faults(), &world->module().faults()};
  return {std::move(world), std::move(faults), nullptr, nullptr, {}, {}};
}

void preserve_all(Case& one) {
  one.session = one.world->create("s");
  for (const std::uint64_t token : {1, 2, 3}) {
    const bool to_tracker = one.faults.size() > 1 && token == 3;
    const auto done =
        one.session->preserve(token, memfd(text_of(token)).get(),
                              to_tracker ? std::optional(Keeper::tracker) : std::nullopt);
    ASSERT_TRUE(done) << done.error().message;
    one.expected[token] = text_of(token);
  }
}

/// A file preserved by the operation that is tried, once or twice.
UniqueFd fourth_file() { return memfd(text_of(4)); }

struct Operation {
  std::string name;
  /// Brings the case about; nothing fails in it.
  std::function<void(Case&)> prepare;
  /// What is tried, and tried again if it fails.
  std::function<Result<void>(Case&)> run;
};

std::ostream& operator<<(std::ostream& out, const Operation& operation) {
  return out << operation.name;
}

Result<void> no_value(const Error& error) { return fail(error); }

Result<void> adopt(Case& one) {
  auto adoption = one.world->backend().adopt(one.adopted);
  if (!adoption) return no_value(adoption.error());
  EXPECT_TRUE(adoption->losses.empty()) << adoption->losses.front().sentence;
  EXPECT_TRUE(adoption->given.empty());
  one.session = std::move(adoption->session);
  return {};
}

void come_back(Case& one) { one.session = one.world->update_one(std::move(one.session)); }

void adopt_later(Case& one, bool incoming) {
  preserve_all(one);
  if (incoming) come_back(one);
  one.adopted = kept_session(*one.session, incoming);
  if (incoming) {
    one.adopted.tokens.clear();
    for (const auto& [token, text] : one.expected) {
      const bool to_tracker =
          one.world->keeper() == Keeper::tracker || (one.faults.size() > 1 && token == 3);
      one.adopted.tokens.push_back(
          {token, Kind::memfd, text.size(), to_tracker ? Keeper::tracker : Keeper::luo});
    }
  }
  one.session.reset();
  one.world->restart_daemon();
}

std::vector<Operation> operations() {
  return {
      {"create", preserve_all,
       [](Case& one) -> Result<void> {
         if (!one.another) {
           auto created = one.world->try_create("another");
           if (!created) return no_value(created.error());
           one.another = std::move(*created);
         }
         return one.another->discard();
       }},
      {"preserve", preserve_all,
       [](Case& one) -> Result<void> {
         const auto done = one.session->preserve(4, fourth_file().get());
         if (!done) return no_value(done.error());
         EXPECT_EQ(done->descriptor.bytes, text_of(4).size());
         one.expected[4] = text_of(4);
         return {};
       }},
      {"unpreserve", preserve_all,
       [](Case& one) -> Result<void> {
         auto done = one.session->unpreserve(2);
         if (done) one.expected.erase(2);
         return done;
       }},
      {"unpreserve the other half's", preserve_all,
       [](Case& one) -> Result<void> {
         auto done = one.session->unpreserve(3);
         if (done) one.expected.erase(3);
         return done;
       }},
      {"preserve again", preserve_all,
       [](Case& one) { return one.session->preserve_again(nullptr); }},
      {"discard", preserve_all,
       [](Case& one) -> Result<void> {
         auto done = one.session->discard();
         if (!done) return done;
         one.expected.clear();
         one.session.reset();
         return {};
       }},
      {"adopt an outgoing session", [](Case& one) { adopt_later(one, false); }, adopt},
      {"adopt an outgoing session without its own descriptor",
       [](Case& one) {
         adopt_later(one, false);
         std::erase_if(one.adopted.parts,
                       [](const auto& part) { return part.part == session_part; });
       },
       adopt},
      {"adopt an incoming session by its descriptor", [](Case& one) { adopt_later(one, true); },
       adopt},
      {"adopt an incoming session by its name",
       [](Case& one) {
         preserve_all(one);
         one.adopted = one.world->by_name("s", true, one.session->describe());
         Sessions none;
         one.world->update(none);
         one.session.reset();
       },
       adopt},
      {"retrieve",
       [](Case& one) {
         preserve_all(one);
         come_back(one);
       },
       [](Case& one) -> Result<void> {
         for (const std::uint64_t token : {1, 3}) {
           if (!one.expected.contains(token)) continue;
           const auto given = one.session->retrieve(token);
           if (!given) return no_value(given.error());
           EXPECT_EQ(contents(given->fd.get()), text_of(token));
           if (given->once) one.expected.erase(token);  // and the rest is the caller's
         }
         return {};
       }},
      {"finish",
       [](Case& one) {
         preserve_all(one);
         come_back(one);
         EXPECT_TRUE(one.session->retrieve(1));
       },
       [](Case& one) -> Result<void> {
         auto done = one.session->finish();
         if (!done) return done;
         one.expected.clear();
         one.session.reset();
         return {};
       }},
      {"replace and unseal the manifest",
       [](Case& one) {
         ASSERT_TRUE(one.world->manifest().replace("a text"));
         Sessions none;
         one.world->update(none);
       },
       [](Case& one) -> Result<void> {
         const auto text = one.world->manifest().unseal();
         if (!text) return no_value(text.error());
         if (*text) {
           EXPECT_EQ(**text, "a text");
         }
         return one.world->manifest().replace("another text");
       }},
      {"rehearse, close and open tables", preserve_all,
       [](Case& one) -> Result<void> {
         if (!one.world->keepers().tables) return {};
         Tables& tables = *one.world->keepers().tables;
         for (auto done : {tables.rehearse(), tables.close(), tables.open()}) {
           if (!done) return done;
         }
         return {};
       }},
  };
}

/// All that is expected comes back: now if the session is incoming, or over an update.
void expect_all_there(Case& one) {
  if (!one.session) return;
  if (!one.session->incoming()) {
    std::map<std::uint64_t, std::string> there;
    for (const auto& descriptor : one.session->describe()) {
      there[descriptor.token] = text_of(descriptor.token);
    }
    EXPECT_EQ(there, one.expected);
    come_back(one);
  }
  for (const auto& [token, text] : one.expected) {
    const auto given = one.session->retrieve(token);
    ASSERT_TRUE(given) << "token " << token << ": " << given.error().message;
    EXPECT_EQ(contents(given->fd.get()), text);
  }
  EXPECT_TRUE(one.session->finish());
}

using MakeCase = Case (*)();

class BackendFaults : public testing::TestWithParam<std::tuple<MakeCase, Operation>> {
 protected:
  /// Whether an error says that nothing is over. Two errnos mean something else in one place each.
  static bool is_fair(const Operation& operation, const Error& error) {
    if (error.nature == Nature::passing) return true;
    // To preserve a file answers EBUSY if it is preserved already.
    if (operation.name == "preserve" && error.sys_errno == EBUSY) return true;
    // A file that LUO failed to restore it will not restore (luo_retrieve_file()).
    return operation.name == "retrieve" && error.code == ErrorCode::state_lost;
  }

  /// Tries the operation with call `nth` of `which` going wrong. False if it has no such call.
  bool try_with(std::size_t which, int nth, int sys_errno, int times) {
    const auto& [make, operation] = GetParam();
    Case one = make();
    operation.prepare(one);
    one.faults[which]->fail_call(nth, sys_errno, times);
    auto done = operation.run(one);
    const bool reached = one.faults[which]->calls() >= nth;
    one.faults[which]->none();
    if (!done) {
      EXPECT_TRUE(is_fair(operation, done.error())) << done.error().message;
      done = operation.run(one);
    }
    EXPECT_TRUE(done) << "the fault is gone: " << done.error().message;
    if (one.session) {
      const auto mended = one.session->mend();
      EXPECT_TRUE(mended) << mended.error().message;
      EXPECT_TRUE(one.session->whole());
      const auto losses = one.session->take_losses();
      EXPECT_TRUE(losses.empty()) << losses.front().sentence;
    }
    expect_all_there(one);
    return reached;
  }
};

TEST_P(BackendFaults, CostNothing) {
  const std::size_t keepers = std::get<MakeCase>(GetParam())().faults.size();
  const std::size_t descriptors = open_descriptors();
  for (std::size_t which = 0; which < keepers; ++which) {
    for (const int sys_errno : {EBUSY, ENOMEM, EMFILE}) {
      for (const int times : {1, 2, 1000}) {
        int nth = 1;
        for (bool reached = true; reached; ++nth) {
          ASSERT_LT(nth, 300) << "the operation never ends";
          SCOPED_TRACE("keeper " + std::to_string(which) + ", call " + std::to_string(nth) +
                       " fails with " + std::to_string(sys_errno) + ", " + std::to_string(times) +
                       " times");
          reached = try_with(which, nth, sys_errno, times);
          if (HasFailure()) return;
        }
      }
    }
  }
  EXPECT_EQ(open_descriptors(), descriptors) << "something leaks";
}

/// A call that takes long keeps nobody waiting but its caller.
TEST_P(BackendFaults, KeepNobodyElseWaiting) {
  const auto& [make, operation] = GetParam();
  // Sealed tables let nobody preserve.
  if (operation.name.ends_with("tables")) return;
  const std::size_t keepers = make().faults.size();
  for (std::size_t which = 0; which < keepers; ++which) {
    for (int nth = 1;; ++nth) {
      ASSERT_LT(nth, 300);
      Case one = make();
      operation.prepare(one);
      auto other = one.world->create("other");
      std::promise<void> entered;
      std::promise<void> go_on;
      one.faults[which]->delay_call(nth, [&, going_on = go_on.get_future().share()] {
        entered.set_value();
        going_on.wait();
      });
      auto running = std::async(std::launch::async, [&] {
        auto done = operation.run(one);
        EXPECT_TRUE(done) << done.error().message;
        return one.faults[which]->calls();
      });
      auto inside = entered.get_future();
      while (inside.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready &&
             running.wait_for(std::chrono::milliseconds(0)) != std::future_status::ready) {
      }
      const bool reached =
          inside.wait_for(std::chrono::milliseconds(0)) == std::future_status::ready;
      if (reached) {
        auto others = std::async(std::launch::async, [&] {
          EXPECT_TRUE(other->preserve(1, memfd("meanwhile").get()));
          EXPECT_TRUE(one.world->backend().available(one.world->keeper()));
          if (one.world->keepers().module) (void)one.world->keepers().module();
          if (one.world->keepers().rest) (void)one.world->keepers().rest->resting();
          auto third = one.world->try_create("third");
          EXPECT_TRUE(third);
        });
        const bool waited = others.wait_for(std::chrono::minutes(1)) != std::future_status::ready;
        EXPECT_FALSE(waited) << "call " << nth;
        go_on.set_value();
        others.wait();
      }
      running.wait();
      one.faults[which]->none();
      if (!reached || HasFailure()) break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Luo, BackendFaults,
                         testing::Combine(testing::Values(&luo_case),
                                          testing::ValuesIn(operations())));
INSTANTIATE_TEST_SUITE_P(Tracker, BackendFaults,
                         testing::Combine(testing::Values(&tracker_case),
                                          testing::ValuesIn(operations())));
INSTANTIATE_TEST_SUITE_P(Composite, BackendFaults,
                         testing::Combine(testing::Values(&composite_case),
                                          testing::ValuesIn(operations())));

}  // namespace
}  // namespace handover::backend::test
