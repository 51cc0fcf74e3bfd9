// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/host_managers.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string_view>
#include <utility>

#include "bus/logind.h"
#include "bus/systemd.h"
#include "core/manager_findings.h"
#include "system/log.h"
#include "system/trampoline.h"

namespace handover::bus {

namespace {

using Clock = std::chrono::steady_clock;
/// For all answers together.
constexpr std::chrono::seconds longest_wait(1);
/// A message bus allows 128 calls without an answer, those of polkit's questions among them
/// (max_replies_per_connection).
constexpr std::size_t most_at_once = 16;
constexpr const char* properties = "org.freedesktop.DBus.Properties";
constexpr const char* our_unit = "handoverd.service";

using Reader = std::function<void(sd_bus_message*, ManagerFacts&)>;

struct Question {
  const char* service;
  std::string path;
  const char* interface;
  const char* member;
  std::vector<const char*> arguments;
  Reader read;
  bool of_unit = false;
};

MessagePtr call_for(sd_bus* bus, const Question& question) {
  sd_bus_message* made = nullptr;
  const int result = sd_bus_message_new_method_call(
      bus, &made, question.service, question.path.c_str(), question.interface, question.member);
  MessagePtr call(made);
  // A host without logind is not given one.
  if (result < 0 || sd_bus_message_set_auto_start(made, 0) < 0) return nullptr;
  for (const auto* argument : question.arguments) {
    if (sd_bus_message_append(made, "s", argument) < 0) return nullptr;
  }
  return call;
}

/// There is no such unit, or nobody who knows of units: that is an answer.
bool is_not_there(const sd_bus_error& error) {
  return sd_bus_error_has_names(&error, SD_BUS_ERROR_UNKNOWN_OBJECT, SD_BUS_ERROR_SERVICE_UNKNOWN,
                                SD_BUS_ERROR_NAME_HAS_NO_OWNER) > 0;
}

/// What is gathered by answers that come in any order. Whoever lets go of it last, an answer, a
/// time limit, or a connection that ends, has it told.
class Gathering : public std::enable_shared_from_this<Gathering> {
 public:
  Gathering(system::Loop& loop, std::function<void(ManagerFacts)> answer)
      : loop_(loop), answer_(std::move(answer)) {}
  Gathering(const Gathering&) = delete;
  Gathering& operator=(const Gathering&) = delete;
  ~Gathering() {
    try {
      for (const auto& question : questions_) count_as_silent(question.of_unit);
      if (silent_units_ > 0) {
        log::warning("PID 1 did not say of ", silent_units_,
                     " units in time whether the next boot starts them.");
      }
      loop_.post([answer = std::move(answer_), all = std::move(facts_)] { answer(all); });
    } catch (...) {
      system::log_exception("what the host's managers answered");
    }
  }

  void add(Question question) { questions_.push_back(std::move(question)); }

  /// The questions do not know the bus: it would never end.
  void go_on(sd_bus* bus) {
    while (running_ < most_at_once && !questions_.empty()) {
      const auto left =
          std::chrono::duration_cast<std::chrono::microseconds>(end_ - Clock::now()).count();
      if (left <= 0) return;
      auto question = std::move(questions_.front());
      questions_.pop_front();
      const auto call = call_for(bus, question);
      auto then = [self = shared_from_this(), read = std::move(question.read),
                   of_unit = question.of_unit](sd_bus_message* reply) {
        self->answered(reply, read, of_unit);
      };
      if (call && call_then(call.get(), static_cast<std::uint64_t>(left), std::move(then)) >= 0) {
        ++running_;
      } else {
        count_as_silent(question.of_unit);
      }
    }
  }

 private:
  void answered(sd_bus_message* reply, const Reader& read, bool of_unit) {
    --running_;
    const auto* error = sd_bus_message_get_error(reply);
    if (error == nullptr) {
      read(reply, facts_);
    } else if (!is_not_there(*error)) {
      count_as_silent(of_unit);
    }
    go_on(sd_bus_message_get_bus(reply));
  }
  void count_as_silent(bool of_unit) { silent_units_ += of_unit ? 1 : 0; }

  system::Loop& loop_;
  std::function<void(ManagerFacts)> answer_;
  Clock::time_point end_ = Clock::now() + longest_wait;
  std::deque<Question> questions_;
  std::size_t running_ = 0;
  std::size_t silent_units_ = 0;
  ManagerFacts facts_;
};

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
    // "block-weak" does not hold root up.
    const bool weak = std::string_view(mode) == "block-weak";
    if (ours || weak || !has_shutdown(what)) continue;
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

void read_property(sd_bus_message* reply, std::string_view property, UnitFacts& unit) {
  if (property == "UnitFileState") {
    const char* state = nullptr;
    if (sd_bus_message_read(reply, "v", "s", &state) > 0) unit.file_state = state;
  } else if (starts_others(property)) {
    if (has_any(reply)) unit.wanted = true;
  } else {
    sd_bus_message_skip(reply, "v");
  }
}

/// All properties of a unit: a{sv}.
void read_unit(sd_bus_message* reply, const std::string& name, ManagerFacts& facts) {
  UnitFacts unit{name, "", false};
  if (sd_bus_message_enter_container(reply, 'a', "{sv}") < 0) return;
  while (sd_bus_message_enter_container(reply, 'e', "sv") > 0) {
    const char* property = nullptr;
    if (sd_bus_message_read(reply, "s", &property) <= 0) return;
    read_property(reply, property, unit);
    if (sd_bus_message_exit_container(reply) < 0) return;
  }
  facts.units.push_back(std::move(unit));
}

void read_limit(sd_bus_message* reply, ManagerFacts& facts) {
  std::uint32_t limit = 0;
  if (sd_bus_message_read(reply, "v", "u", &limit) > 0) facts.fd_store_limit = limit;
}

std::string path_of_unit(const std::string& name) {
  char* path = nullptr;
  if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", name.c_str(), &path) < 0) return {};
  const std::unique_ptr<char, decltype(&::free)> owned(path, &::free);
  return path;
}

Question about_unit(const std::string& name) {
  return {systemd::name,
          path_of_unit(name),
          properties,
          "GetAll",
          {"org.freedesktop.systemd1.Unit"},
          [name](sd_bus_message* reply, ManagerFacts& facts) { read_unit(reply, name, facts); },
          /*of_unit=*/true};
}

}  // namespace

void ask_host_managers(system::Loop& loop, sd_bus* bus, const std::vector<std::string>& units,
                       std::function<void(ManagerFacts)> answer) {
  const auto gathered = std::make_shared<Gathering>(loop, std::move(answer));
  // Before it is ready, no time limit runs.
  if (bus == nullptr || sd_bus_is_ready(bus) <= 0) return;
  gathered->add(
      {logind::name, logind::path, logind::manager, "ListInhibitors", {}, read_inhibitors});
  gathered->add({logind::name,
                 logind::path,
                 properties,
                 "Get",
                 {logind::manager, "ScheduledShutdown"},
                 read_scheduled});
  gathered->add({systemd::name,
                 systemd::path,
                 properties,
                 "Get",
                 {systemd::manager, "SystemState"},
                 read_state});
  gathered->add({systemd::name, systemd::path, systemd::manager, "ListJobs", {}, read_jobs});
  gathered->add({systemd::name,
                 path_of_unit(our_unit),
                 properties,
                 "Get",
                 {"org.freedesktop.systemd1.Service", "FileDescriptorStoreMax"},
                 read_limit});
  gathered->add(about_unit(our_unit));
  for (const auto& unit : units) {
    if (unit != our_unit) gathered->add(about_unit(unit));
  }
  gathered->go_on(bus);
}

}  // namespace handover::bus
