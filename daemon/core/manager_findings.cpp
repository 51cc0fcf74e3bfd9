// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/manager_findings.h"

#include <algorithm>
#include <array>
#include <string>

#include "core/text.h"

namespace handover {

namespace {

std::string describe_inhibitor(const Inhibitor& inhibitor) {
  return printable(inhibitor.who) + " (process " + std::to_string(inhibitor.process) +
         "): " + printable(inhibitor.why);
}

void check_shutdown(const ManagerFacts& managers, FindingList& findings) {
  for (const auto& inhibitor : managers.inhibitors) {
    if (inhibitor.blocks) {
      findings.add(FindingId::shutdown_inhibited,
                   "shutdown is inhibited by " + describe_inhibitor(inhibitor),
                   "wait until it is done, or end it (systemd-inhibit --list)");
    } else {
      findings.add(FindingId::shutdown_delayed,
                   "a kexec does not wait for what wants to do something before a shutdown: " +
                       describe_inhibitor(inhibitor),
                   "");
    }
  }
  if (!managers.shutdown_jobs.empty()) {
    findings.add(FindingId::system_stopping,
                 "PID 1 is about to start " + with_commas(managers.shutdown_jobs),
                 "cancel it (systemctl list-jobs, systemctl cancel), or update after it");
  } else if (managers.system_state == "stopping") {
    findings.add(FindingId::system_stopping, "the host shuts down", "update after the boot");
  }
  if (!managers.scheduled_shutdown.empty()) {
    findings.add(FindingId::shutdown_scheduled,
                 "a shutdown is scheduled (" + printable(managers.scheduled_shutdown) +
                     "), and the update takes it away",
                 "schedule it again after the update if it is still wanted");
  }
  if (managers.system_state == "initializing" || managers.system_state == "starting") {
    findings.add(FindingId::system_starting,
                 "the host's boot is not over (" + managers.system_state +
                     "), and services that are not there yet are not carried",
                 "wait for it (systemctl is-system-running --wait)");
  }
}

/// What keeps a unit from being there after a boot; "" if nothing does, or nobody knows.
std::string_view why_not_started(const UnitFacts& unit) {
  if (unit.file_state == "masked") return "masked";
  if (unit.file_state == "transient") return "transient: it goes with this boot";
  // Of "linked" and "static" units a boot starts what another wants, and no more.
  constexpr std::array<std::string_view, 6> idle = {
      "disabled", "enabled-runtime", "static", "indirect", "linked", "linked-runtime"};
  const bool is_idle = std::find(idle.begin(), idle.end(), unit.file_state) != idle.end();
  return is_idle && !unit.wanted ? "not enabled, and nothing else starts it" : "";
}

std::string_view how_to_start(const UnitFacts& unit) {
  if (unit.file_state == "masked") return "unmask and enable it (systemctl)";
  if (unit.file_state == "static") {
    return "give it an [Install] section and enable it, or let a unit of the boot want it";
  }
  return "install and enable it (systemctl enable)";
}

}  // namespace

bool is_shutdown_unit(std::string_view unit) {
  constexpr std::array<std::string_view, 7> units = {
      "reboot.target", "poweroff.target",    "halt.target",    "kexec.target",
      "exit.target",   "soft-reboot.target", "shutdown.target"};
  return std::find(units.begin(), units.end(), unit) != units.end();
}

void check_managers(const ManagerFacts& managers, FindingList& findings) {
  check_shutdown(managers, findings);
  for (const auto& unit : managers.units) {
    const auto why = why_not_started(unit);
    if (why.empty()) continue;
    findings.add(FindingId::unit_not_started,
                 printable(unit.name) + " is " + std::string(why) +
                     ", so that it would not restore its state after the update",
                 std::string(how_to_start(unit)));
  }
}

}  // namespace handover
