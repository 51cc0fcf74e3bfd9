// SPDX-License-Identifier: LGPL-2.1-or-later
// Who needs whom: the clients' dependency graph, and the waves in which an update calls them.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"

namespace handover {

/// An immutable, checked graph: no cycle, no self-dependency, every name known.
class Graph {
 public:
  /// client name → the names it needs first. dependency_cycle (the message spells the circle out,
  /// "a → b → a"), unknown_dependency (names both), invalid_argument for a self-dependency.
  static Result<Graph> make(const std::map<std::string, std::vector<std::string>>& needs);

  [[nodiscard]] const std::set<std::string>& needs(const std::string& name) const;
  [[nodiscard]] const std::set<std::string>& needed_by(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }

 private:
  struct Node {
    std::set<std::string> needs;
    std::set<std::string> needed_by;
  };
  std::map<std::string, Node> nodes_;
};

enum class Direction {
  dependencies_first,  ///< prepare, thaw, restore
  dependants_first,    ///< freeze
};

/// One pass over the graph: which clients may be called now, given which have answered. A client
/// becomes ready when all that come before it are done; independent clients are ready together.
class Wave {
 public:
  Wave(const Graph& graph, Direction direction);
  /// A pass over `only` (a part of the graph); order among them is kept through those left out.
  Wave(const Graph& graph, Direction direction, const std::set<std::string>& only);

  /// Clients that became ready since the last call, sorted by name; each is handed out once.
  std::vector<std::string> take_ready();
  /// `name` has answered (or is passed over). Unknown names and second calls are ignored.
  void done(const std::string& name);
  [[nodiscard]] bool finished() const;
  /// Handed out and not yet done.
  [[nodiscard]] const std::set<std::string>& waiting() const { return waiting_; }

 private:
  std::map<std::string, std::set<std::string>> blocked_by_;  ///< not yet handed out
  std::set<std::string> waiting_;
};

}  // namespace handover
