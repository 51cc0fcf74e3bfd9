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

INSTANTIATE_TEST_SUITE_P(Seeds, RandomGraph, testing::Range(1U, 9U));

}  // namespace
}  // namespace handover
