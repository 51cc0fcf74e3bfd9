// SPDX-License-Identifier: LGPL-2.1-or-later
#include "survey.h"

#include <cerrno>

namespace handover::vmm {
namespace {

using nlohmann::json;

client::Result<json> property_of(const Peer& peer, const std::string& path, const char* property,
                                 Deadline deadline) {
  auto answer = peer.call("qom-get", {{"path", path}, {"property", property}}, deadline);
  // EREMOTEIO: QEMU has answered, and knows of no such property.
  if (!answer && answer.error().code == EREMOTEIO) return json();
  return answer;
}

}  // namespace

client::Result<Inventory> take_inventory(const Peer& peer, Deadline deadline) {
  Answers answers;
  struct Question {
    const char* command;
    json arguments;
    json* answer;
  };
  const Question questions[] = {
      {"query-named-block-nodes", nullptr, &answers.nodes},
      {"query-block", nullptr, &answers.drives},
      {"query-jobs", nullptr, &answers.jobs},
      {"query-block-exports", nullptr, &answers.exports},
      {"qom-list", {{"path", "/machine/peripheral"}}, &answers.peripheral},
      {"qom-list", {{"path", "/machine/peripheral-anon"}}, &answers.anonymous},
      {"qom-list", {{"path", "/objects"}}, &answers.objects},
      {"query-cpus-fast", nullptr, &answers.cpus},
      {"query-memory-devices", nullptr, &answers.memory},
  };
  for (const auto& question : questions) {
    auto answer = peer.call(question.command, question.arguments, deadline);
    if (!answer) return answer.error();
    *question.answer = std::move(*answer);
  }
  return inventory_of(answers);
}

client::Result<CpuModel> look_at_cpu(const Peer& peer, Deadline deadline) {
  auto cpus = peer.call("query-cpus-fast", nullptr, deadline);
  if (!cpus) return cpus.error();
  CpuModel model;
  if (!cpus->is_array() || cpus->empty() || !cpus->front().is_object()) return model;
  const auto path = cpus->front().value("qom-path", "");
  auto words = property_of(peer, path, "feature-words", deadline);
  if (!words) return words.error();
  model.features = features_of(*words);
  for (const char* name : cpu_levels) {
    auto value = property_of(peer, path, name, deadline);
    if (!value) return value.error();
    if (value->is_number_unsigned()) model.levels[name] = value->get<std::uint64_t>();
  }
  for (const char* name : cpu_identity) {
    auto value = property_of(peer, path, name, deadline);
    if (!value) return value.error();
    if (!value->is_null()) {
      model.identity[name] = value->is_string() ? value->get<std::string>() : value->dump();
    }
  }
  return model;
}

}  // namespace handover::vmm
