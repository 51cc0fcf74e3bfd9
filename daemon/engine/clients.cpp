// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/clients.h"

#include <algorithm>
#include <utility>

namespace handover::engine {

ClientRecord* Clients::find(const std::string& name) {
  const auto it = records_.find(name);
  return it == records_.end() ? nullptr : &it->second;
}

const ClientRecord* Clients::find(const std::string& name) const {
  const auto it = records_.find(name);
  return it == records_.end() ? nullptr : &it->second;
}

std::set<std::string> Clients::in(std::initializer_list<ClientPhase> phases) const {
  std::set<std::string> names;
  for (const auto& [name, client] : records_) {
    if (std::find(phases.begin(), phases.end(), client.phase) != phases.end()) {
      names.insert(names.end(), name);
    }
  }
  return names;
}

Result<ClientRecord*> Clients::put(ClientRecord client, std::vector<Charge> charges) {
  const auto name = client.name;
  if (auto acyclic = graph_.replace(name, client.needs); !acyclic) return fail(acyclic.error());
  if (const auto* before = find(name)) {
    if (const auto there = connections_.find(before->bus_name); there != connections_.end()) {
      there->second.erase(name);
    }
  }
  if (const auto there = connections_.find(client.bus_name); there != connections_.end()) {
    there->second.insert(name);
  }
  charges_[name] = std::move(charges);
  return &records_.insert_or_assign(name, std::move(client)).first->second;
}

void Clients::drop(const std::string& name) {
  const auto it = records_.find(name);
  if (it == records_.end()) return;
  if (const auto there = connections_.find(it->second.bus_name); there != connections_.end()) {
    there->second.erase(name);
    // The bus tells of it when it closes; nobody here asks any more.
    if (there->second.empty()) connections_.erase(there);
  }
  graph_.erase(name);
  charges_.erase(name);
  records_.erase(it);
}

std::vector<std::string> Clients::connections() const {
  std::vector<std::string> names;
  names.reserve(connections_.size());
  for (const auto& [name, clients] : connections_) names.push_back(name);
  return names;
}

std::vector<std::string> Clients::disconnect(const std::string& connection) {
  const auto it = connections_.find(connection);
  if (it == connections_.end()) return {};
  std::vector<std::string> names(it->second.begin(), it->second.end());
  connections_.erase(it);
  return names;
}

}  // namespace handover::engine
