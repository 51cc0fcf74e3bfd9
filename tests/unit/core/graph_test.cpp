// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>

namespace handover {
namespace {

using Needs = std::map<std::string, std::vector<std::string>>;
using Names = std::vector<std::string>;

Graph graph_of(const Needs& needs) {
  auto graph = Graph::make(needs);
  EXPECT_TRUE(graph) << graph.error().message;
  return graph.value();
}

/// Every client answers at once: the order of the calls.
Names run(Wave wave) {
  Names order;
  while (!wave.finished()) {
    const Names ready = wave.take_ready();
    EXPECT_FALSE(ready.empty()) << "nobody is ready and nobody is done";
    if (ready.empty()) break;
    for (const std::string& name : ready) {
      order.push_back(name);
      wave.done(name);
    }
  }
  return order;
}

TEST(Graph, KnowsBothDirections) {
  const Graph graph = graph_of({{"vmm", {"iommu", "memfd"}}, {"iommu", {"memfd"}}, {"memfd", {}}});
  EXPECT_EQ(graph.size(), 3U);
  EXPECT_EQ(graph.names(), (Names{"iommu", "memfd", "vmm"}));
  EXPECT_EQ(graph.needs("vmm"), (std::set<std::string>{"iommu", "memfd"}));
  EXPECT_EQ(graph.needed_by("memfd"), (std::set<std::string>{"iommu", "vmm"}));
  EXPECT_TRUE(graph.needs("memfd").empty());
  EXPECT_TRUE(graph.needs("nobody").empty());
  EXPECT_TRUE(graph.needed_by("nobody").empty());
}

TEST(Graph, NamingANeedTwiceIsOneNeed) {
  EXPECT_EQ(graph_of({{"a", {"b", "b"}}, {"b", {}}}).needs("a").size(), 1U);
}

TEST(Graph, SpellsACircleOut) {
  const auto two = Graph::make({{"a", {"b"}}, {"b", {"a"}}});
  ASSERT_FALSE(two);
  EXPECT_EQ(two.error().code, ErrorCode::dependency_cycle);
  EXPECT_NE(two.error().message.find("a → b → a"), std::string::npos) << two.error().message;

  // Only the circle itself, not the way to it.
  const auto behind =
      Graph::make({{"a", {"b"}}, {"b", {"c"}}, {"c", {"d"}}, {"d", {"b"}}, {"e", {}}});
  ASSERT_FALSE(behind);
  EXPECT_NE(behind.error().message.find(": b → c → d → b;"), std::string::npos)
      << behind.error().message;
}

TEST(Graph, RefusesAnUnknownNameAndNamesBoth) {
  const auto graph = Graph::make({{"vmm", {"memfd"}}});
  ASSERT_FALSE(graph);
  EXPECT_EQ(graph.error().code, ErrorCode::unknown_dependency);
  EXPECT_NE(graph.error().message.find("'vmm'"), std::string::npos);
  EXPECT_NE(graph.error().message.find("'memfd'"), std::string::npos);
}

TEST(Graph, RefusesASelfDependency) {
  const auto graph = Graph::make({{"a", {"a"}}});
  ASSERT_FALSE(graph);
  EXPECT_EQ(graph.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(graph.error().message.find("'a' needs itself"), std::string::npos);
}

TEST(Graph, ADiamondIsNoCircle) {
  const Graph graph = graph_of({{"d", {"b", "c"}}, {"b", {"a"}}, {"c", {"a"}}, {"a", {}}});
  EXPECT_EQ(run(Wave(graph, Direction::dependencies_first)), (Names{"a", "b", "c", "d"}));
  EXPECT_EQ(run(Wave(graph, Direction::dependants_first)), (Names{"d", "b", "c", "a"}));
}

TEST(Graph, ALongChainNeedsNoDeepStack) {
  Needs needs;
  constexpr int length = 50'000;
  for (int i = 0; i < length; ++i) {
    needs["c" + std::to_string(i)] = i + 1 < length ? Names{"c" + std::to_string(i + 1)} : Names{};
  }
  EXPECT_EQ(graph_of(needs).size(), static_cast<std::size_t>(length));
  needs["c" + std::to_string(length - 1)] = {"c0"};
  EXPECT_EQ(Graph::make(needs).error().code, ErrorCode::dependency_cycle);
}

TEST(Wave, HandsIndependentClientsOutTogetherAndOnce) {
  const Graph graph = graph_of({{"a", {}}, {"b", {}}, {"c", {"a", "b"}}});
  Wave wave(graph, Direction::dependencies_first);
  EXPECT_FALSE(wave.finished());
  EXPECT_EQ(wave.take_ready(), (Names{"a", "b"}));
  EXPECT_TRUE(wave.take_ready().empty());
  EXPECT_EQ(wave.waiting(), (std::set<std::string>{"a", "b"}));
  wave.done("b");
  wave.done("b");
  wave.done("nobody");
  EXPECT_TRUE(wave.take_ready().empty());
  wave.done("a");
  EXPECT_EQ(wave.take_ready(), Names{"c"});
  EXPECT_FALSE(wave.finished());
  wave.done("c");
  EXPECT_TRUE(wave.finished());
}

TEST(Wave, OfNobodyIsFinished) {
  EXPECT_TRUE(Wave(graph_of({}), Direction::dependencies_first).finished());
  EXPECT_TRUE(Wave(graph_of({{"a", {}}}), Direction::dependencies_first, {}).finished());
}

TEST(Wave, KeepsTheOrderThroughThoseLeftOut) {
  const Graph graph = graph_of({{"a", {"b"}}, {"b", {"c"}}, {"c", {"d"}}, {"d", {}}});
  EXPECT_EQ(run(Wave(graph, Direction::dependencies_first, {"a", "d"})), (Names{"d", "a"}));
  EXPECT_EQ(run(Wave(graph, Direction::dependants_first, {"a", "d"})), (Names{"a", "d"}));
  EXPECT_EQ(run(Wave(graph, Direction::dependants_first, {"a", "stranger"})), Names{"a"});
}

TEST(Wave, GatesStandBeforeOrBehindEverybodyWhateverNeedsWhom) {
  auto graph = Graph::make({{"a", {"gate"}}, {"b", {}}, {"gate", {"b"}}});
  ASSERT_TRUE(graph.has_value());
  const std::set<std::string> all = {"a", "b", "gate"};
  for (const auto direction : {Direction::dependencies_first, Direction::dependants_first}) {
    Wave before(*graph, {{"gate"}, Gates::Place::before}, direction);
    EXPECT_EQ(before.take_ready(), std::vector<std::string>{"gate"});
    EXPECT_TRUE(before.take_ready().empty());
    before.done("gate");
    EXPECT_EQ(before.take_ready(), (std::vector<std::string>{"a", "b"}));

    Wave behind(*graph, {{"gate", "unknown"}, Gates::Place::behind}, direction, all);
    EXPECT_EQ(behind.take_ready(), (std::vector<std::string>{"a", "b"}));
    behind.done("b");
    EXPECT_TRUE(behind.take_ready().empty());
    behind.done("a");
    EXPECT_EQ(behind.take_ready(), std::vector<std::string>{"gate"});
    behind.done("gate");
    EXPECT_TRUE(behind.finished());
  }
}

TEST(Wave, AGateThatIsNotInThePassHoldsNobodyUp) {
  auto graph = Graph::make({{"a", {}}, {"gate", {}}});
  ASSERT_TRUE(graph.has_value());
  Wave wave(*graph, {{"gate"}, Gates::Place::before}, Direction::dependencies_first, {"a"});
  EXPECT_EQ(wave.take_ready(), std::vector<std::string>{"a"});
  wave.done("a");
  EXPECT_TRUE(wave.finished());
}

TEST(Wave, OnePassedOverBeforeItsTurnPassesItsNeedsOn) {
  const Graph graph = graph_of({{"a", {"b"}}, {"b", {"c"}}, {"c", {}}});
  Wave wave(graph, Direction::dependencies_first);
  wave.done("b");  // it left the bus before it was called
  EXPECT_EQ(wave.take_ready(), Names{"c"});
  EXPECT_TRUE(wave.take_ready().empty()) << "a must still wait for c";
  wave.done("c");
  EXPECT_EQ(wave.take_ready(), Names{"a"});
}

TEST(Wave, TakesAReferenceIntoItsOwnWaiting) {
  const Graph graph = graph_of({{"a", {}}, {"b", {"a"}}});
  Wave wave(graph, Direction::dependencies_first);
  ASSERT_EQ(wave.take_ready().size(), 1U);
  wave.done(*wave.waiting().begin());
  EXPECT_EQ(wave.take_ready(), Names{"b"});
}

// A graph that changes --------------------------------------------------------------------------

TEST(Graph, ClientsMayComeInAnyOrder) {
  Graph graph;
  ASSERT_TRUE(graph.replace("vmm", {"memfd", "iommu"}));
  EXPECT_EQ(graph.size(), 1U);
  EXPECT_FALSE(graph.contains("memfd")) << "it is only needed";
  EXPECT_EQ(graph.names(), Names{"vmm"});
  EXPECT_EQ(graph.needed_by("memfd"), std::set<std::string>{"vmm"});
  const auto unknown = graph.check_known();
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::unknown_dependency);
  EXPECT_EQ(run(Wave(graph, Direction::dependants_first)), Names{"vmm"});

  ASSERT_TRUE(graph.replace("memfd", {}));
  ASSERT_TRUE(graph.replace("iommu", {"memfd"}));
  EXPECT_TRUE(graph.check_known());
  EXPECT_EQ(run(Wave(graph, Direction::dependencies_first)), (Names{"memfd", "iommu", "vmm"}));

  graph.erase("iommu");
  graph.erase("nobody");
  EXPECT_EQ(graph.names(), (Names{"memfd", "vmm"}));
  EXPECT_FALSE(graph.check_known()) << "the vmm goes on needing it";
  EXPECT_EQ(graph.needed_by("memfd"), std::set<std::string>{"vmm"});
  graph.erase("vmm");
  graph.erase("memfd");
  EXPECT_EQ(graph.size(), 0U);
  EXPECT_TRUE(graph.needed_by("iommu").empty());
}

TEST(Graph, ACircleChangesNothing) {
  Graph graph;
  ASSERT_TRUE(graph.replace("a", {"b", "x"}));
  ASSERT_TRUE(graph.replace("b", {"c"}));
  const auto closes = graph.replace("c", {"y", "a"});
  ASSERT_FALSE(closes);
  EXPECT_EQ(closes.error().code, ErrorCode::dependency_cycle);
  EXPECT_NE(closes.error().message.find(": c → a → b → c;"), std::string::npos)
      << closes.error().message;
  EXPECT_FALSE(graph.contains("c"));
  EXPECT_TRUE(graph.needed_by("y").empty());
  EXPECT_TRUE(graph.needed_by("a").empty());

  ASSERT_TRUE(graph.replace("c", {"d"}));
  EXPECT_FALSE(graph.replace("c", {"a"}));
  EXPECT_EQ(graph.needs("c"), std::set<std::string>{"d"}) << "as before";
  EXPECT_EQ(graph.needed_by("d"), std::set<std::string>{"c"});
  EXPECT_EQ(graph.replace("c", {"c"}).error().code, ErrorCode::invalid_argument);
  ASSERT_TRUE(graph.replace("a", {}));
  EXPECT_TRUE(graph.replace("c", {"a"})) << "there is no circle any more";
}

// Every graph of a few clients ------------------------------------------------------------------

/// The waves as they were found before: each client with the set of those it waits for, by the
/// definition. It is what Wave must do, and costs the square of the clients.
class PlainWave {
 public:
  PlainWave(const Graph& graph, Direction direction, const std::set<std::string>& only) {
    const auto before = [&](const std::string& name) -> const std::set<std::string>& {
      return direction == Direction::dependencies_first ? graph.needs(name) : graph.needed_by(name);
    };
    for (const std::string& name : only) {
      if (!graph.contains(name)) continue;
      std::set<std::string>& blockers = blocked_by_[name];
      std::set<std::string> seen;
      std::vector<std::string> open(before(name).begin(), before(name).end());
      while (!open.empty()) {
        const std::string other = std::move(open.back());
        open.pop_back();
        if (!graph.contains(other) || !seen.insert(other).second) continue;
        if (only.contains(other)) {
          blockers.insert(other);
        } else {
          open.insert(open.end(), before(other).begin(), before(other).end());
        }
      }
    }
  }

  Names take_ready() {
    Names ready;
    for (const auto& [name, blockers] : blocked_by_) {
      if (blockers.empty()) ready.push_back(name);
    }
    for (const std::string& name : ready) {
      blocked_by_.erase(name);
      waiting.insert(name);
    }
    return ready;
  }

  void done(const std::string& name) {
    std::set<std::string> inherited;
    if (const auto passed_over = blocked_by_.find(name); passed_over != blocked_by_.end()) {
      inherited = std::move(passed_over->second);
      blocked_by_.erase(passed_over);
    } else if (waiting.erase(name) == 0) {
      return;
    }
    for (auto& [other, blockers] : blocked_by_) {
      if (blockers.erase(name) > 0) blockers.insert(inherited.begin(), inherited.end());
    }
  }

  [[nodiscard]] bool finished() const { return blocked_by_.empty() && waiting.empty(); }

  std::set<std::string> waiting;

 private:
  std::map<std::string, std::set<std::string>> blocked_by_;
};

/// The graph number `bits` of `size` clients: bit i*size+j says that i needs j.
Needs numbered(unsigned size, unsigned bits) {
  Needs needs;
  for (unsigned i = 0; i < size; ++i) {
    auto& mine = needs[std::string(1, static_cast<char>('a' + i))];
    for (unsigned j = 0; j < size; ++j) {
      if ((bits >> (i * size + j) & 1U) != 0) mine.emplace_back(1, static_cast<char>('a' + j));
    }
  }
  return needs;
}

bool has_circle(const Needs& needs) {
  std::map<std::string, std::set<std::string>> reach;
  for (const auto& [name, mine] : needs) reach[name].insert(mine.begin(), mine.end());
  for (std::size_t round = 0; round < needs.size(); ++round) {
    for (auto& [name, far] : reach) {
      for (const std::string& other : std::set(far)) {
        far.insert(reach[other].begin(), reach[other].end());
      }
    }
  }
  return std::any_of(reach.begin(), reach.end(),
                     [](const auto& entry) { return entry.second.contains(entry.first); });
}

bool needs_itself(const Needs& needs) {
  return std::any_of(needs.begin(), needs.end(), [](const auto& entry) {
    return std::find(entry.second.begin(), entry.second.end(), entry.first) != entry.second.end();
  });
}

TEST(EveryGraph, OfFourIsRefusedForItsCircleHoweverItIsMade) {
  constexpr unsigned size = 4;
  std::size_t circles = 0;
  for (unsigned bits = 0; bits < 1U << (size * size); ++bits) {
    const Needs needs = numbered(size, bits);
    if (needs_itself(needs)) continue;
    const bool circle = has_circle(needs);
    circles += circle ? 1 : 0;
    ASSERT_EQ(Graph::make(needs).has_value(), !circle) << bits;
    // One after the other, from either end.
    for (const bool backwards : {false, true}) {
      Names order;
      for (const auto& entry : needs) order.push_back(entry.first);
      if (backwards) std::reverse(order.begin(), order.end());
      Graph graph;
      bool refused = false;
      Needs taken;
      for (const std::string& name : order) {
        if (graph.replace(name, needs.at(name))) {
          taken[name] = needs.at(name);
        } else {
          refused = true;
        }
      }
      ASSERT_EQ(refused, circle) << bits;
      // What was taken is what is there.
      ASSERT_EQ(graph.size(), taken.size());
      for (const auto& [name, mine] : taken) {
        ASSERT_EQ(graph.needs(name), std::set<std::string>(mine.begin(), mine.end()));
        for (const auto& [other, theirs] : taken) {
          const bool needed = std::find(theirs.begin(), theirs.end(), name) != theirs.end();
          ASSERT_EQ(graph.needed_by(name).contains(other), needed) << bits;
        }
      }
    }
  }
  EXPECT_EQ(circles, 4096U - 543U) << "there are 543 of four without a circle";
}

void expect_same(const Graph& graph, Direction direction, const std::set<std::string>& only,
                 const Names& order, bool take_late) {
  Wave wave(graph, direction, only);
  PlainWave plain(graph, direction, only);
  const auto compare = [&] {
    ASSERT_EQ(wave.take_ready(), plain.take_ready());
    ASSERT_EQ(wave.waiting(), plain.waiting);
    ASSERT_EQ(wave.finished(), plain.finished());
  };
  if (!take_late) compare();
  for (const std::string& name : order) {
    wave.done(name);
    plain.done(name);
    ASSERT_NO_FATAL_FAILURE(compare());
  }
  ASSERT_TRUE(wave.finished());
}

TEST(EveryGraph, OfThreeIsPassedThroughAsBefore) {
  constexpr unsigned size = 3;
  for (unsigned bits = 0; bits < 1U << (size * size); ++bits) {
    const auto graph = Graph::make(numbered(size, bits));
    if (!graph) continue;
    for (const Direction direction : {Direction::dependencies_first, Direction::dependants_first}) {
      for (unsigned part = 0; part < 1U << size; ++part) {
        std::set<std::string> only;
        for (unsigned i = 0; i < size; ++i) {
          if ((part >> i & 1U) != 0) only.emplace(1, static_cast<char>('a' + i));
        }
        Names order{"a", "b", "c"};
        do {
          for (const bool take_late : {false, true}) {
            ASSERT_NO_FATAL_FAILURE(expect_same(*graph, direction, only, order, take_late)) << bits;
          }
        } while (std::next_permutation(order.begin(), order.end()));
      }
    }
  }
}

// Random graphs ---------------------------------------------------------------------------------

std::string node(unsigned number) { return "n" + std::to_string(number); }

/// Acyclic: each node needs some of those before it in a shuffled order.
Needs random_needs(std::mt19937& random, unsigned size, double density) {
  std::vector<unsigned> order(size);
  for (unsigned i = 0; i < size; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  std::bernoulli_distribution edge(density);
  Needs needs;
  for (unsigned i = 0; i < size; ++i) {
    auto& mine = needs[node(order[i])];
    for (unsigned j = 0; j < i; ++j) {
      if (edge(random)) mine.push_back(node(order[j]));
    }
  }
  return needs;
}

/// Everyone that comes before `name`, near or far, by the definition and not by Wave's way.
std::set<std::string> closure(const Needs& needs, const std::string& name) {
  std::set<std::string> found;
  const std::function<void(const std::string&)> follow = [&](const std::string& from) {
    for (const std::string& other : needs.at(from)) {
      if (found.insert(other).second) follow(other);
    }
  };
  follow(name);
  return found;
}

class RandomGraph : public testing::TestWithParam<unsigned> {};

TEST_P(RandomGraph, BothDirectionsCallEveryoneOnceAndInOrder) {
  std::mt19937 random(GetParam());
  constexpr unsigned size = 200;
  const Needs needs = random_needs(random, size, 0.005 * (1 + GetParam() % 8));
  const Graph graph = graph_of(needs);
  std::map<std::string, std::set<std::string>> before;
  for (const auto& entry : needs) before[entry.first] = closure(needs, entry.first);

  for (const Direction direction : {Direction::dependencies_first, Direction::dependants_first}) {
    for (const bool part : {false, true}) {
      std::set<std::string> only;
      for (const auto& entry : needs) {
        if (!part || random() % 2 == 0) only.insert(entry.first);
      }
      // Whom of `only` each one must wait for.
      std::map<std::string, std::set<std::string>> earlier;
      for (const std::string& name : only) {
        for (const std::string& other : only) {
          const bool first = direction == Direction::dependencies_first
                                 ? before[name].contains(other)
                                 : before[other].contains(name);
          if (first) earlier[name].insert(other);
        }
      }
      Wave wave(graph, direction, only);
      std::set<std::string> called;
      std::set<std::string> answered;
      const auto may_go = [&](const std::string& name) {
        const std::set<std::string>& wanted = earlier[name];
        return std::includes(answered.begin(), answered.end(), wanted.begin(), wanted.end());
      };
      while (!wave.finished()) {
        for (const std::string& name : wave.take_ready()) {
          ASSERT_TRUE(called.insert(name).second) << name << " was called twice";
          ASSERT_TRUE(only.contains(name));
          ASSERT_TRUE(may_go(name)) << name << " was called too early";
        }
        for (const std::string& name : only) {
          ASSERT_TRUE(called.contains(name) || !may_go(name)) << name << " waits without need";
        }
        ASSERT_FALSE(wave.waiting().empty());
        auto some = wave.waiting().begin();
        std::advance(some, random() % wave.waiting().size());
        answered.insert(*some);
        wave.done(*some);
      }
      EXPECT_EQ(called, only);
      EXPECT_EQ(answered, only);
    }
  }
}

TEST_P(RandomGraph, OneEdgeBackMakesACircleThatIsReal) {
  std::mt19937 random(GetParam() + 1000);
  Needs needs = random_needs(random, 200, 0.02);
  // From someone to one that needs it, near or far.
  for (const auto& entry : needs) {
    const auto far = closure(needs, entry.first);
    if (far.empty()) continue;
    needs[*far.begin()].push_back(entry.first);
    break;
  }
  const auto graph = Graph::make(needs);
  ASSERT_FALSE(graph);
  ASSERT_EQ(graph.error().code, ErrorCode::dependency_cycle);

  std::string text = graph.error().message;
  text = text.substr(text.find(": ") + 2);
  text = text.substr(0, text.find(';'));
  Names circle;
  const std::string arrow = " → ";
  for (std::size_t at = 0; at != std::string::npos;) {
    const auto next = text.find(arrow, at);
    circle.push_back(text.substr(at, next == std::string::npos ? next : next - at));
    at = next == std::string::npos ? next : next + arrow.size();
  }
  ASSERT_GE(circle.size(), 3U) << text;
  EXPECT_EQ(circle.front(), circle.back());
  for (std::size_t i = 0; i + 1 < circle.size(); ++i) {
    const Names& mine = needs.at(circle[i]);
    EXPECT_NE(std::find(mine.begin(), mine.end(), circle[i + 1]), mine.end())
        << circle[i] << " does not need " << circle[i + 1];
  }
}

TEST_P(RandomGraph, PassingClientsOverAtRandomKeepsTheOrder) {
  std::mt19937 random(GetParam() + 2000);
  const Needs needs = random_needs(random, 200, 0.01);
  Wave wave(graph_of(needs), Direction::dependencies_first);
  std::set<std::string> gone;
  Names order;
  while (!wave.finished()) {
    for (const std::string& name : wave.take_ready()) order.push_back(name);
    const std::string leaver = node(static_cast<unsigned>(random() % 200));
    gone.insert(leaver);
    wave.done(leaver);
    if (!wave.waiting().empty()) {
      const std::string answering = *wave.waiting().begin();
      gone.insert(answering);
      wave.done(answering);
    }
  }
  std::map<std::string, std::size_t> position;
  for (std::size_t i = 0; i < order.size(); ++i) position[order[i]] = i;
  std::size_t compared = 0;
  for (const auto& [name, at] : position) {
    for (const std::string& other : closure(needs, name)) {
      if (!position.contains(other)) continue;
      EXPECT_LT(position[other], at) << name << " was called before " << other;
      ++compared;
    }
  }
  EXPECT_GT(compared, 0U);
}

TEST_P(RandomGraph, IsPassedThroughAsBefore) {
  std::mt19937 random(GetParam() + 3000);
  const Needs needs = random_needs(random, 30, 0.03 * (1 + GetParam() % 8));
  const Graph graph = graph_of(needs);
  for (int round = 0; round < 20; ++round) {
    Names order;
    std::set<std::string> only;
    for (const auto& entry : needs) {
      order.push_back(entry.first);
      if (round % 2 == 0 || random() % 2 == 0) only.insert(entry.first);
    }
    std::shuffle(order.begin(), order.end(), random);
    const Direction direction =
        round % 3 == 0 ? Direction::dependants_first : Direction::dependencies_first;
    ASSERT_NO_FATAL_FAILURE(expect_same(graph, direction, only, order, round % 5 == 0));
  }
}

TEST_P(RandomGraph, ChangedAtRandomIsAsOneMadeAnew) {
  std::mt19937 random(GetParam() + 4000);
  Graph graph;
  Needs needs;
  for (int round = 0; round < 2000; ++round) {
    const std::string name = node(static_cast<unsigned>(random() % 20));
    if (random() % 4 == 0) {
      graph.erase(name);
      needs.erase(name);
    } else {
      Names mine;
      for (unsigned i = random() % 4; i > 0; --i) mine.push_back(node(random() % 20));
      if (graph.replace(name, mine)) needs[name] = mine;
    }
    ASSERT_EQ(graph.size(), needs.size());
    // With those that are only needed there as well, there is no circle either.
    Needs whole = needs;
    for (const auto& entry : needs) {
      for (const std::string& other : entry.second) whole.try_emplace(other);
    }
    const auto anew = Graph::make(whole);
    ASSERT_TRUE(anew) << anew.error().message;
    for (const auto& entry : whole) {
      ASSERT_EQ(graph.needs(entry.first), anew->needs(entry.first));
      ASSERT_EQ(graph.needed_by(entry.first), anew->needed_by(entry.first));
    }
    ASSERT_EQ(graph.check_known().has_value(), whole.size() == needs.size());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomGraph, testing::Range(1U, 9U));

// What it costs --------------------------------------------------------------------------------

/// Shapes of many clients, in the order in which they register.
std::vector<std::pair<std::string, Names>> shape(const std::string& name, unsigned clients) {
  std::vector<std::pair<std::string, Names>> list;
  for (unsigned i = 0; i < clients; ++i) {
    Names needs;
    if (name == "chain" && i > 0) needs = {node(i - 1)};
    if (name == "chain from its end" && i > 0) needs = {node(i - 1)};
    if (name == "star" && i > 0) needs = {node(0)};
    if (name == "star the other way" && i == 0) {
      for (unsigned j = 1; j < clients; ++j) needs.push_back(node(j));
    }
    if (name == "tree" && i > 0) needs = {node((i - 1) / 2)};
    if (name == "four each" && i >= 4) needs = {node(i - 1), node(i - 2), node(i / 2), node(i / 3)};
    list.emplace_back(node(i), needs);
  }
  if (name == "chain from its end") std::reverse(list.begin(), list.end());
  return list;
}

struct Cost {
  std::uint64_t graph = 0;
  std::uint64_t passes = 0;
};

Cost cost(const std::string& name, unsigned clients) {
  Graph graph;
  Cost cost;
  for (const auto& [client, needs] : shape(name, clients)) {
    EXPECT_TRUE(graph.replace(client, needs));
  }
  cost.graph = graph.steps();
  for (const Direction direction : {Direction::dependencies_first, Direction::dependants_first}) {
    // All answer one by one, in turn; and all are passed over before that.
    Wave wave(graph, direction);
    while (!wave.finished()) {
      for (const std::string& ready : wave.take_ready()) wave.done(ready);
    }
    Wave passed_over(graph, direction);
    for (const std::string& client : graph.names()) passed_over.done(client);
    EXPECT_TRUE(passed_over.finished());
    cost.passes += wave.steps() + passed_over.steps();
  }
  return cost;
}

class Costs : public testing::TestWithParam<const char*> {};

TEST_P(Costs, AreTwiceForTwiceTheClients) {
  const Cost one = cost(GetParam(), 1000);
  const Cost two = cost(GetParam(), 2000);
  EXPECT_GE(one.passes, 4 * 1000U) << "nobody was looked at";
  EXPECT_LT(one.passes, 4 * 20 * 1000U);
  EXPECT_LT(one.graph, 20 * 1000U);
  EXPECT_LE(two.graph, one.graph * 21 / 10);
  EXPECT_LE(two.passes, one.passes * 21 / 10);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Costs,
                         testing::Values("alone", "chain", "chain from its end", "star",
                                         "star the other way", "tree", "four each"));

}  // namespace
}  // namespace handover
