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

Result<void> check_self(const std::string& name, const std::vector<std::string>& needs) {
  if (std::find(needs.begin(), needs.end(), name) == needs.end()) return {};
  return fail(ErrorCode::invalid_argument,
              "client " + in_quotes(name) + " needs itself; leave its own name out");
}

}  // namespace

Result<Graph> Graph::make(const Needs& needs) {
  Graph graph;
  for (const auto& [name, needed] : needs) {
    if (auto checked = check_self(name, needed); !checked) return fail(checked.error());
    graph.set_needs(name, needed);
  }
  if (auto known = graph.check_known(); !known) return fail(known.error());
  std::map<std::string, Visit> visits;
  for (const auto& entry : needs) {
    if (auto followed = graph.follow(entry.first, visits); !followed) {
      return fail(followed.error());
    }
  }
  return graph;
}

Result<void> Graph::replace(const std::string& name, const std::vector<std::string>& needs) {
  if (auto checked = check_self(name, needs); !checked) return checked;
  const bool was_there = contains(name);
  const std::set<std::string> before = this->needs(name);
  if (was_there && before == std::set<std::string>(needs.begin(), needs.end())) return {};
  set_needs(name, needs);
  // A new circle would lead through this client.
  if (nodes_.at(name).needed_by.empty()) return {};
  std::map<std::string, Visit> visits;
  auto followed = follow(name, visits);
  if (followed) return {};
  set_needs(name, {before.begin(), before.end()});
  if (!was_there) erase(name);
  return followed;
}

void Graph::erase(const std::string& name) {
  const auto node = nodes_.find(name);
  if (node == nodes_.end() || !node->second.there) return;
  set_needs(name, {});
  node->second.there = false;
  --size_;
  forget_if_unused(name);
}

Result<void> Graph::check_known() const {
  for (const auto& [name, node] : nodes_) {
    for (const std::string& other : node.needs) {
      if (contains(other)) continue;
      return fail(ErrorCode::unknown_dependency, "client " + in_quotes(name) + " needs " +
                                                     in_quotes(other) +
                                                     ", which is not registered; register it "
                                                     "first");
    }
  }
  return {};
}

/// Depth first without recursion: a chain may be as long as there are clients.
Result<void> Graph::follow(const std::string& root, std::map<std::string, Visit>& visits) {
  std::vector<Step> path;
  const auto enter = [&](const std::string& name) {
    const auto node = nodes_.find(name);
    visits[name] = Visit::on_path;
    path.push_back({&node->first, &node->second.needs, node->second.needs.begin()});
    ++steps_;
  };
  if (!visits.contains(root)) enter(root);
  while (!path.empty()) {
    Step& here = path.back();
    if (here.next == here.needs->end()) {
      visits[*here.name] = Visit::finished;
      path.pop_back();
      continue;
    }
    const std::string& other = *here.next++;
    ++steps_;
    const auto visit = visits.find(other);
    if (visit == visits.end()) {
      enter(other);
    } else if (visit->second == Visit::on_path) {
      return fail(ErrorCode::dependency_cycle,
                  "clients need each other in a circle: " + spell_circle(path, other) +
                      "; drop one of these");
    }
  }
  return {};
}

void Graph::set_needs(const std::string& name, const std::vector<std::string>& needs) {
  Node& node = nodes_[name];
  if (!node.there) ++size_;
  node.there = true;
  const std::set<std::string> before = std::exchange(node.needs, {});
  steps_ += before.size() + needs.size() + 1;
  for (const std::string& other : needs) {
    node.needs.insert(other);
    nodes_[other].needed_by.insert(name);
  }
  for (const std::string& other : before) {
    if (node.needs.contains(other)) continue;
    nodes_[other].needed_by.erase(name);
    forget_if_unused(other);
  }
}

void Graph::forget_if_unused(const std::string& name) {
  const auto node = nodes_.find(name);
  if (!node->second.there && node->second.needed_by.empty()) nodes_.erase(node);
}

bool Graph::contains(const std::string& name) const {
  const auto node = nodes_.find(name);
  return node != nodes_.end() && node->second.there;
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
  names.reserve(size_);
  for (const auto& [name, node] : nodes_) {
    if (node.there) names.push_back(name);
  }
  return names;
}

namespace {

std::set<std::string> all_names(const Graph& graph) {
  const std::vector<std::string> names = graph.names();
  return {names.begin(), names.end()};
}

}  // namespace

Wave::Wave(const Graph& graph, Direction direction) : Wave(graph, Gates(), direction) {}

Wave::Wave(const Graph& graph, const Gates& gates, Direction direction)
    : Wave(graph, gates, direction, all_names(graph)) {}

Wave::Wave(const Graph& graph, Direction direction, const std::set<std::string>& only)
    : Wave(graph, Gates(), direction, only) {}

// Clients that are not in this part take their turn silently: what lies behind them still waits.
Wave::Wave(const Graph& graph, const Gates& gates, Direction direction,
           const std::set<std::string>& only) {
  for (const std::string& name : graph.names()) {
    indices_.emplace_hint(indices_.end(), name, nodes_.size());
    Node& node = nodes_.emplace_back();
    node.name = name;
    if (!only.contains(name)) continue;
    node.turn = Turn::later;
    ++to_come_;
  }
  const bool needs_first = direction == Direction::dependencies_first;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const auto& name = nodes_[i].name;
    ++steps_;
    if (gates.names.contains(name)) continue;
    for (const std::string& other : needs_first ? graph.needs(name) : graph.needed_by(name)) {
      ++steps_;
      const auto before = indices_.find(other);
      if (before == indices_.end() || gates.names.contains(other)) continue;  // it is not there
      block(before->second, i);
    }
  }
  put_gates(gates);
  std::vector<std::size_t> first;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].blockers == 0) first.push_back(i);
  }
  free(std::move(first));
}

void Wave::put_gates(const Gates& gates) {
  for (const std::string& name : gates.names) {
    const auto gate = indices_.find(name);
    if (gate == indices_.end()) continue;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      ++steps_;
      if (gates.names.contains(nodes_[i].name)) continue;
      if (gates.place == Gates::Place::before) {
        block(gate->second, i);
      } else {
        block(i, gate->second);
      }
    }
  }
}

void Wave::block(std::size_t earlier, std::size_t later) {
  ++nodes_[later].blockers;
  nodes_[earlier].behind.push_back(later);
}

std::vector<std::string> Wave::take_ready() {
  std::vector<std::size_t> indices = std::exchange(ready_, {});
  std::sort(indices.begin(), indices.end());  // as their names
  std::vector<std::string> names;
  for (const std::size_t index : indices) {
    Node& node = nodes_[index];
    if (node.turn != Turn::ready) continue;
    node.turn = Turn::now;
    --to_come_;
    names.push_back(node.name);
    waiting_.insert(node.name);
  }
  return names;
}

void Wave::done(const std::string& name) {
  const auto found = indices_.find(name);
  if (found == indices_.end()) return;
  Node& node = nodes_[found->second];
  switch (node.turn) {
    case Turn::silent:
    case Turn::over:
      return;
    case Turn::later:
      node.turn = Turn::silent;
      --to_come_;
      return;
    case Turn::ready:
      --to_come_;
      break;
    case Turn::now:
      waiting_.erase(node.name);
      break;
  }
  node.turn = Turn::over;
  free(release(node));
}

std::vector<std::size_t> Wave::release(const Node& node) {
  std::vector<std::size_t> freed;
  for (const std::size_t behind : node.behind) {
    ++steps_;
    if (--nodes_[behind].blockers == 0) freed.push_back(behind);
  }
  return freed;
}

void Wave::free(std::vector<std::size_t> indices) {
  while (!indices.empty()) {
    const std::size_t index = indices.back();
    indices.pop_back();
    ++steps_;
    Node& node = nodes_[index];
    if (node.turn == Turn::silent) {
      node.turn = Turn::over;
      const std::vector<std::size_t> more = release(node);
      indices.insert(indices.end(), more.begin(), more.end());
    } else {
      node.turn = Turn::ready;
      ready_.push_back(index);
    }
  }
}

}  // namespace handover
