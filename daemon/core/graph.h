// SPDX-License-Identifier: LGPL-2.1-or-later
// Which client needs which: the dependency graph, and the order in which an update calls clients.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"

namespace handover {

/// A graph without circles. A client may need one that is not there yet, since clients start in any
/// order.
class Graph {
 public:
  Graph() = default;
  /// Makes a graph of all clients at once: client name → the names it needs first. Errors as
  /// replace() and check_known() have them.
  static Result<Graph> make(const std::map<std::string, std::vector<std::string>>& needs);

  /// Adds a client, or changes its needs. On an error nothing changes: invalid_argument if it needs
  /// itself; dependency_cycle, with the circle in the message ("a → b → a"). Looks only at the
  /// clients that this one needs, near or far, and not at them if nobody needs this one.
  Result<void> replace(const std::string& name, const std::vector<std::string>& needs);
  /// Removes a client. Those that need it still do. Unknown names are ignored.
  void erase(const std::string& name);
  /// unknown_dependency names a client and the one that it needs and that is not there.
  [[nodiscard]] Result<void> check_known() const;

  [[nodiscard]] bool contains(const std::string& name) const;
  /// What the client needs, whether it is there or not.
  [[nodiscard]] const std::set<std::string>& needs(const std::string& name) const;
  /// The clients that need it.
  [[nodiscard]] const std::set<std::string>& needed_by(const std::string& name) const;
  /// The clients that are there, sorted.
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] std::size_t size() const { return size_; }

  /// Cost so far: how many clients and needs were looked at.
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

 private:
  struct Node {
    bool there = false;  ///< or only needed
    std::set<std::string> needs;
    std::set<std::string> needed_by;
  };
  enum class Visit { on_path, finished };
  /// dependency_cycle if following the needs from `root` leads in a circle. Skips what `visits` has
  /// from earlier calls.
  Result<void> follow(const std::string& root, std::map<std::string, Visit>& visits);
  void set_needs(const std::string& name, const std::vector<std::string>& needs);
  void forget_if_unused(const std::string& name);

  std::map<std::string, Node> nodes_;
  std::size_t size_ = 0;
  std::uint64_t steps_ = 0;
};

enum class Direction {
  dependencies_first,  ///< prepare, thaw, restore
  dependants_first,    ///< freeze
};

/// Clients that guard an update: in a pass before everybody else, or behind everybody else. What
/// they need, and who needs them, counts for nothing.
struct Gates {
  enum class Place { before, behind };
  std::set<std::string> names;
  Place place = Place::before;
};

/// One pass over the graph as it is when the pass begins: tells which clients to call next. A
/// client is ready when all that come before it are done, so independent clients are ready
/// together. The cost of a whole pass is linear in clients and needs.
class Wave {
 public:
  Wave(const Graph& graph, Direction direction);
  Wave(const Graph& graph, const Gates& gates, Direction direction);
  /// A pass over a part of the graph. Two clients keep their order if one depends on the other only
  /// through clients that are not in this part.
  Wave(const Graph& graph, Direction direction, const std::set<std::string>& only);
  Wave(const Graph& graph, const Gates& gates, Direction direction,
       const std::set<std::string>& only);

  /// The clients that became ready since the last call, sorted by name.
  std::vector<std::string> take_ready();
  /// The client has answered, or is not to be called at all: then those that wait for it wait for
  /// what it waits for. Unknown names and second calls are ignored.
  void done(const std::string& name);
  [[nodiscard]] bool finished() const { return to_come_ == 0 && waiting_.empty(); }
  /// Returned by take_ready() and not yet done.
  [[nodiscard]] const std::set<std::string>& waiting() const { return waiting_; }

  /// Cost so far: how many clients and needs were looked at.
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

 private:
  enum class Turn {
    silent,  ///< never: it is not in this part, or done() came before its turn
    later,
    ready,  ///< all that come before it are done
    now,    ///< returned by take_ready()
    over,
  };
  struct Node {
    std::string name;
    Turn turn = Turn::silent;
    std::size_t blockers = 0;         ///< that come before it and are not over
    std::vector<std::size_t> behind;  ///< those that it comes before
  };
  /// Nothing blocks these any more: they become ready, or, if silent, are over at once.
  void free(std::vector<std::size_t> indices);
  void put_gates(const Gates& gates);
  void block(std::size_t earlier, std::size_t later);
  /// The node is over. Returns the nodes that nothing blocks any more.
  std::vector<std::size_t> release(const Node& node);

  std::vector<Node> nodes_;  ///< sorted by name
  std::map<std::string, std::size_t> indices_;
  std::vector<std::size_t> ready_;
  std::size_t to_come_ = 0;  ///< how many take_ready() will still return
  std::set<std::string> waiting_;
  std::uint64_t steps_ = 0;
};

}  // namespace handover
