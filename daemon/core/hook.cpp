// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/hook.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/kernel_name.h"
#include "core/program_end.h"
#include "core/text.h"

namespace handover {

HookPlan plan_hooks(const std::vector<HookDirectory>& directories) {
  HookPlan plan;
  struct Found {
    const HookDirectory* directory;
    const HookEntry* entry;
  };
  std::map<std::string, Found, std::less<>> by_name;  // in the order of bytes, as systemd's
  for (const HookDirectory& directory : directories) {
    if (!directory.unsafe.empty()) {
      plan.unsafe.push_back({directory.path, directory.unsafe});
    }
    for (const HookEntry& entry : directory.entries) {
      if (entry.kind == HookEntry::Kind::other || is_companion(entry.name)) continue;
      by_name.try_emplace(entry.name, Found{&directory, &entry});
    }
  }
  for (const auto& [name, found] : by_name) {
    // What cannot be trusted still hides what has its name.
    if (found.entry->kind == HookEntry::Kind::mask || !found.directory->unsafe.empty()) continue;
    auto path = found.directory->path + "/" + name;
    if (found.entry->unsafe.empty()) {
      plan.run.push_back({name, std::move(path)});
    } else {
      plan.unsafe.push_back({std::move(path), found.entry->unsafe});
    }
  }
  return plan;
}

std::vector<std::string> hook_environment(HookStage stage, const HookContext& context) {
  constexpr std::size_t most_bytes = 4096;
  std::vector<std::string> environment = {program_path, "LANG=C.UTF-8"};
  const auto set = [&environment](std::string_view name, std::string_view value) {
    environment.push_back(std::string(name).append("=").append(printable(value, most_bytes)));
  };
  set("HANDOVER_STAGE", to_string(stage));
  set("HANDOVER_JOB", context.job);
  set("HANDOVER_UPDATE", context.update == 0 ? "" : std::to_string(context.update));
  set("HANDOVER_MODE", context.mode);
  set("HANDOVER_FROM", context.from);
  set("HANDOVER_TO", context.to);
  set("HANDOVER_OUTCOME", context.outcome);
  set("HANDOVER_REASON", context.reason);
  return environment;
}

bool ends_at_refusal(HookStage stage) {
  return stage == HookStage::prepare || stage == HookStage::freeze;
}

bool is_refusal(const HookResult& result) {
  return result.end != HookResult::End::passed && result.end != HookResult::End::warned;
}

const HookResult* first_refusal(const HookReport& report) {
  const auto first = std::find_if(report.results.begin(), report.results.end(), is_refusal);
  return first == report.results.end() ? nullptr : &*first;
}

std::string sentence_of(const HookResult& result) {
  using End = HookResult::End;
  std::string text = "hook " + in_quotes(result.name);
  switch (result.end) {
    case End::passed:
      text += " passed";
      break;
    case End::warned:
      text += " warns";
      break;
    case End::refused:
      text += " " + ended_with(result.status);
      break;
    case End::killed:
      text += " " + killed_by(result.status);
      break;
    case End::timed_out:
      text += " " + took_longer_than(result.usec);
      break;
    case End::not_started:
      return text + " could not be started: " + printable(result.problem);
    case End::stopped:
      return text + " was ended, since the update is undone";
  }
  return result.last_line.empty() ? text : text + ": " + result.last_line;
}

Error to_error(const HookResult& result) {
  const bool late = result.end == HookResult::End::timed_out;
  auto text = sentence_of(result);
  text.front() = 'H';
  return Error{late ? ErrorCode::timed_out : ErrorCode::vetoed, text + "."};
}

}  // namespace handover
