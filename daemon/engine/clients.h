// SPDX-License-Identifier: LGPL-2.1-or-later
// The clients that are registered: their records, which of them are connected, who needs whom, and
// how far each is in the update. No I/O.
//
// Threads: the loop only.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/graph.h"
#include "core/manifest.h"
#include "engine/charges.h"

namespace handover::engine {

class Clients {
 public:
  using Records = std::map<std::string, ClientRecord>;

  [[nodiscard]] const Records& all() const { return records_; }
  /// nullptr if there is none. Valid until it is dropped.
  [[nodiscard]] ClientRecord* find(const std::string& name);
  [[nodiscard]] const ClientRecord* find(const std::string& name) const;
  [[nodiscard]] std::set<std::string> in(std::initializer_list<ClientPhase> phases) const;
  [[nodiscard]] const Graph& graph() const { return graph_; }

  /// Adds it, or replaces the entry of that name. dependency_cycle, invalid_argument: then nothing
  /// has changed.
  Result<ClientRecord*> put(ClientRecord client, std::vector<Charge> charges);
  void drop(const std::string& name);

  [[nodiscard]] bool connected(const ClientRecord& client) const {
    const auto there = connections_.find(client.bus_name);
    return there != connections_.end() && there->second.contains(client.name);
  }
  /// Some client is registered there.
  [[nodiscard]] bool any_at(const std::string& connection) const {
    const auto there = connections_.find(connection);
    return there != connections_.end() && !there->second.empty();
  }
  /// Those that are open, by name.
  [[nodiscard]] std::vector<std::string> connections() const;
  /// The connection is open: its clients count as connected.
  void connect(const std::string& connection) { connections_[connection]; }
  /// The connection has closed. Its clients' names.
  [[nodiscard]] std::vector<std::string> disconnect(const std::string& connection);

 private:
  Records records_;
  std::map<std::string, std::vector<Charge>> charges_;
  std::map<std::string, std::set<std::string>> connections_;  ///< open ones → clients there
  Graph graph_;
};

}  // namespace handover::engine
