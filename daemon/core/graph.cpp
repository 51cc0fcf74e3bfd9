// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/graph.h"

#include <algorithm>
#include <utility>

#include "core/text.h"

namespace handover {

namespace {

using Needs = std::map<std::string, std::vector<std::string>>;

const std::set<std::string>& no_names() {
  static const std::set<std::string> none;
  return none;
}

enum class Visit { unseen, on_path, finished };

/// One client on the path that is being followed, and which of its needs comes next.
struct Step {
  const std::string* name;
  const std::set<std::string>* needs;
  std::set<std::string>::const_iterator next;
};

/// "a → b → a": the part of `path` from `again` on, closed.
std::string spell_circle(const std::vector<Step>& path, const std::string& again) {
  const auto start = std::find_if(path.begin(), path.end(),
                                  [&again](const Step& step) { return *step.name == again; });
  std::string circle;
  for (auto step = start; step != path.end(); ++step) circle += printable(*step->name) + " → ";
  return circle + printable(again);
}

}  // namespace

Result<Graph> Graph::make(const Needs& needs) {
  Graph graph;
  for (const auto& [name, needed] : needs) {
    Node& node = graph.nodes_[name];
    for (const std::string& other : needed) {
      if (other == name) {
        return fail(ErrorCode::invalid_argument,
                    "client " + in_quotes(name) + " needs itself; leave its own name out");
      }
      if (!needs.contains(other)) {
        return fail(ErrorCode::unknown_dependency,
                    "client " + in_quotes(name) + " needs " + in_quotes(other) +
                        ", which is not registered; register it first");
      }
      node.needs.insert(other);
      graph.nodes_[other].needed_by.insert(name);
    }
  }

  // Depth first without recursion: a chain may be as long as there are clients.
  std::map<std::string, Visit> visits;
  for (const auto& [root, root_node] : graph.nodes_) {
    if (visits[root] != Visit::unseen) continue;
    std::vector<Step> path;
    path.push_back({&root, &root_node.needs, root_node.needs.begin()});
    visits[root] = Visit::on_path;
    while (!path.empty()) {
      Step& here = path.back();
      if (here.next == here.needs->end()) {
        visits[*here.name] = Visit::finished;
        path.pop_back();
        continue;
      }
      const std::string& other = *here.next++;
      Visit& visit = visits[other];
      if (visit == Visit::on_path) {
        return fail(ErrorCode::dependency_cycle,
                    "clients need each other in a circle: " + spell_circle(path, other) +
                        "; drop one of these");
      }
      if (visit == Visit::unseen) {
        visit = Visit::on_path;
        const auto node = graph.nodes_.find(other);
        path.push_back({&node->first, &node->second.needs, node->second.needs.begin()});
      }
    }
  }
  return graph;
}

const std::set<std::string>& Graph::needs(const std::string& name) const {
  const auto node = nodes_.find(name);
  return node == nodes_.end() ? no_names() : node->second.needs;
}

const std::set<std::string>& Graph::needed_by(const std::string& name) const {
  const auto node = nodes_.find(name);
  return node == nodes_.end() ? no_names() : node->second.needed_by;
}

std::vector<std::string> Graph::names() const {
  std::vector<std::string> names;
  names.reserve(nodes_.size());
  for (const auto& entry : nodes_) names.push_back(entry.first);
  return names;
}

namespace {

std::set<std::string> all_names(const Graph& graph) {
  const std::vector<std::string> names = graph.names();
  return {names.begin(), names.end()};
}

}  // namespace

Wave::Wave(const Graph& graph, Direction direction) : Wave(graph, direction, all_names(graph)) {}

Wave::Wave(const Graph& graph, Direction direction, const std::set<std::string>& only) {
  const auto before = [&graph, direction](const std::string& name) -> const std::set<std::string>& {
    return direction == Direction::dependencies_first ? graph.needs(name) : graph.needed_by(name);
  };
  const std::set<std::string> known = all_names(graph);
  for (const std::string& name : only) {
    if (!known.contains(name)) continue;
    std::set<std::string>& blockers = blocked_by_[name];
    // Those left out are walked through, so that what lies behind them still comes first.
    std::set<std::string> seen;
    std::vector<std::string> open(before(name).begin(), before(name).end());
    while (!open.empty()) {
      const std::string other = std::move(open.back());
      open.pop_back();
      if (!seen.insert(other).second) continue;
      if (only.contains(other)) {
        blockers.insert(other);
      } else {
        open.insert(open.end(), before(other).begin(), before(other).end());
      }
    }
  }
}

std::vector<std::string> Wave::take_ready() {
  std::vector<std::string> ready;
  for (auto entry = blocked_by_.begin(); entry != blocked_by_.end();) {
    if (!entry->second.empty()) {
      ++entry;
      continue;
    }
    ready.push_back(entry->first);
    waiting_.insert(entry->first);
    entry = blocked_by_.erase(entry);
  }
  return ready;
}

void Wave::done(const std::string& name) {
  // A copy, since `name` may be an element of waiting_ that ends here.
  const std::string gone = name;  // NOLINT(performance-unnecessary-copy-initialization)
  std::set<std::string> inherited;
  if (const auto passed_over = blocked_by_.find(gone); passed_over != blocked_by_.end()) {
    // Passed over before its turn: who waited for it now waits for what it waited for.
    inherited = std::move(passed_over->second);
    blocked_by_.erase(passed_over);
  } else if (waiting_.erase(gone) == 0) {
    return;
  }
  for (auto& [other, blockers] : blocked_by_) {
    if (blockers.erase(gone) > 0) blockers.insert(inherited.begin(), inherited.end());
  }
}

bool Wave::finished() const { return blocked_by_.empty() && waiting_.empty(); }

}  // namespace handover
