// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/host_managers.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

#include "bus/logind.h"
#include "bus/systemd.h"
#include "core/manager_findings.h"
#include "system/trampoline.h"

namespace handover::bus {

namespace {

constexpr std::uint64_t manager_answer_usec = 1'000'000;
constexpr const char* properties = "org.freedesktop.DBus.Properties";
constexpr const char* our_unit = "handoverd.service";

/// What is gathered by answers that come in any order. Whoever lets go of it last, an answer, a
/// time limit, or a connection that ends, has it told.
class Gathering {
 public:
  Gathering(system::Loop& loop, std::function<void(ManagerFacts)> answer)
      : loop_(loop), answer_(std::move(answer)) {}
  Gathering(const Gathering&) = delete;
  Gathering& operator=(const Gathering&) = delete;
  ~Gathering() {
    try {
      loop_.post([answer = std::move(answer_), all = std::move(facts)] { answer(all); });
    } catch (...) {
      system::log_exception("what the host's managers answered");
    }
  }

  ManagerFacts facts;

 private:
  system::Loop& loop_;
  std::function<void(ManagerFacts)> answer_;
};
using Gathered = std::shared_ptr<Gathering>;
using Reader = std::function<void(sd_bus_message*, ManagerFacts&)>;

MessagePtr call_to(sd_bus* bus, const char* service, const char* path, const char* interface,
                   const char* member) {
  sd_bus_message* made = nullptr;
  const int result = sd_bus_message_new_method_call(bus, &made, service, path, interface, member);
  MessagePtr call(made);
  // A host without logind is not given one.
  if (result < 0 || sd_bus_message_set_auto_start(made, 0) < 0) return nullptr;
  return call;
}

void ask(const Gathered& gathered, const MessagePtr& call, Reader read) {
  if (!call) return;
  call_then(call.get(), manager_answer_usec,
            [gathered, read = std::move(read)](sd_bus_message* reply) {
              if (sd_bus_message_get_error(reply) == nullptr) read(reply, gathered->facts);
            });
}

/// "shutdown" in "shutdown:sleep".
bool has_shutdown(std::string_view what) {
  while (!what.empty()) {
    const auto word = what.substr(0, what.find(':'));
    what.remove_prefix(std::min(what.size(), word.size() + 1));
    if (word == "shutdown") return true;
  }
  return false;
}

void read_inhibitors(sd_bus_message* reply, ManagerFacts& facts) {
  if (sd_bus_message_enter_container(reply, 'a', "(ssssuu)") < 0) return;
  const char* what = nullptr;
  const char* who = nullptr;
  const char* why = nullptr;
  const char* mode = nullptr;
  std::uint32_t uid = 0;
  std::uint32_t process = 0;
  while (sd_bus_message_read(reply, "(ssssuu)", &what, &who, &why, &mode, &uid, &process) > 0) {
    const bool ours = process == static_cast<std::uint32_t>(::getpid()) &&
                      std::string_view(who) == logind::our_name;
    if (ours || !has_shutdown(what)) continue;
    // "block-weak" does not hold root up.
    facts.inhibitors.push_back({who, why, process, std::string_view(mode) == "block"});
  }
}

void read_scheduled(sd_bus_message* reply, ManagerFacts& facts) {
  const char* type = nullptr;
  std::uint64_t usec = 0;
  if (sd_bus_message_read(reply, "v", "(st)", &type, &usec) < 0) return;
  if (!std::string_view(type).starts_with("dry-")) facts.scheduled_shutdown = type;
}

void read_state(sd_bus_message* reply, ManagerFacts& facts) {
  const char* state = nullptr;
  if (sd_bus_message_read(reply, "v", "s", &state) >= 0) facts.system_state = state;
}

void read_jobs(sd_bus_message* reply, ManagerFacts& facts) {
  if (sd_bus_message_enter_container(reply, 'a', "(usssoo)") < 0) return;
  std::uint32_t id = 0;
  const char* unit = nullptr;
  const char* type = nullptr;
  while (sd_bus_message_read(reply, "(usssoo)", &id, &unit, &type, nullptr, nullptr, nullptr) > 0) {
    if (std::string_view(type) == "start" && is_shutdown_unit(unit)) {
      facts.shutdown_jobs.emplace_back(unit);
    }
  }
}

/// Whether the array of strings at the message's place has any.
bool has_any(sd_bus_message* reply) {
  if (sd_bus_message_enter_container(reply, 'v', "as") < 0 ||
      sd_bus_message_enter_container(reply, 'a', "s") < 0) {
    return false;
  }
  bool any = false;
  const char* name = nullptr;
  while (sd_bus_message_read(reply, "s", &name) > 0) any = true;
  sd_bus_message_exit_container(reply);
  sd_bus_message_exit_container(reply);
  return any;
}

bool starts_others(std::string_view property) {
  return property == "WantedBy" || property == "RequiredBy" || property == "RequisiteOf" ||
         property == "UpheldBy" || property == "TriggeredBy" || property == "BoundBy";
}

void read_property(sd_bus_message* reply, std::string_view property, UnitFacts& unit,
                   ManagerFacts& facts) {
  if (property == "UnitFileState") {
    const char* state = nullptr;
    if (sd_bus_message_read(reply, "v", "s", &state) > 0) unit.file_state = state;
  } else if (starts_others(property)) {
    if (has_any(reply)) unit.wanted = true;
  } else if (property == "FileDescriptorStoreMax" && unit.name == our_unit) {
    std::uint32_t limit = 0;
    if (sd_bus_message_read(reply, "v", "u", &limit) > 0) facts.fd_store_limit = limit;
  } else {
    sd_bus_message_skip(reply, "v");
  }
}

/// All properties, of all interfaces: a{sv}.
void read_unit(sd_bus_message* reply, const std::string& name, ManagerFacts& facts) {
  UnitFacts unit{name, "", false};
  if (sd_bus_message_enter_container(reply, 'a', "{sv}") < 0) return;
  while (sd_bus_message_enter_container(reply, 'e', "sv") > 0) {
    const char* property = nullptr;
    if (sd_bus_message_read(reply, "s", &property) <= 0) return;
    read_property(reply, property, unit, facts);
    if (sd_bus_message_exit_container(reply) < 0) return;
  }
  facts.units.push_back(std::move(unit));
}

void ask_for_property(const Gathered& gathered, sd_bus* bus, const char* service, const char* path,
                      const char* interface, const char* property, Reader read) {
  auto call = call_to(bus, service, path, properties, "Get");
  if (!call || sd_bus_message_append(call.get(), "ss", interface, property) < 0) return;
  ask(gathered, call, std::move(read));
}

void ask_for_unit(const Gathered& gathered, sd_bus* bus, const std::string& name) {
  char* path = nullptr;
  if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", name.c_str(), &path) < 0) return;
  const std::unique_ptr<char, decltype(&::free)> owned(path, &::free);
  auto call = call_to(bus, systemd::name, path, properties, "GetAll");
  if (!call || sd_bus_message_append(call.get(), "s", "") < 0) return;
  ask(gathered, call,
      [name](sd_bus_message* reply, ManagerFacts& facts) { read_unit(reply, name, facts); });
}

}  // namespace

void ask_host_managers(system::Loop& loop, sd_bus* bus, const std::vector<std::string>& units,
                       std::function<void(ManagerFacts)> answer) {
  const auto gathered = std::make_shared<Gathering>(loop, std::move(answer));
  // Before it is ready, no time limit runs.
  if (bus == nullptr || sd_bus_is_ready(bus) <= 0) return;
  ask(gathered, call_to(bus, logind::name, logind::path, logind::manager, "ListInhibitors"),
      read_inhibitors);
  ask_for_property(gathered, bus, logind::name, logind::path, logind::manager, "ScheduledShutdown",
                   read_scheduled);
  ask_for_property(gathered, bus, systemd::name, systemd::path, systemd::manager, "SystemState",
                   read_state);
  ask(gathered, call_to(bus, systemd::name, systemd::path, systemd::manager, "ListJobs"),
      read_jobs);
  ask_for_unit(gathered, bus, our_unit);
  for (const auto& unit : units) {
    if (unit != our_unit) ask_for_unit(gathered, bus, unit);
  }
}

}  // namespace handover::bus
