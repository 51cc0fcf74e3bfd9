// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/hook_run.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/program_output.h"
#include "core/text.h"
#include "system/hook_files.h"
#include "system/log.h"
#include "system/program.h"

namespace handover::system {

namespace {

HookResult::End end_of_hook(const ProgramEnd& end) {
  using How = ProgramEnd::How;
  using End = HookResult::End;
  switch (end.how) {
    case How::exited:
      if (end.status == 0) return End::passed;
      return end.status == warning_status ? End::warned : End::refused;
    case How::killed:
      return End::killed;
    case How::timed_out:
      return End::timed_out;
    case How::stopped:
      return End::stopped;
    case How::failed:
      break;
  }
  return End::not_started;
}

void tell_line(const std::string& hook, std::string_view line) {
  log::event(log::Id::hook_output, log::Level::info, {{log::Field::hook, hook}}, "Hook '", hook,
             "': ", line);
}

HookResult run_hook(std::string name, const Program& program, const std::atomic<bool>& stop) {
  HookResult result;
  result.name = std::move(name);
  ProgramOutput output([&result](const std::string& line) { tell_line(result.name, line); });
  const auto end = run_program(program, stop, [&](std::string_view bytes) { output.take(bytes); });
  output.end();
  if (output.left_out() != 0) {
    tell_line(result.name, std::to_string(output.left_out()) + " more lines are left out.");
  }
  result.end = end_of_hook(end);
  result.status = end.status;
  result.last_line = output.last_line();
  result.usec = result.end == HookResult::End::timed_out ? program.limit_usec : end.usec;
  if (result.end == HookResult::End::not_started) {
    result.problem = std::strerror(end.status);
    // The file is there: it is what its first line names that is not.
    if (end.status == ENOENT) result.problem += " (what its first line, #!, names)";
    if (end.status == ENOEXEC) result.problem += " (it has no first line with #!)";
  }
  return result;
}

}  // namespace

HookReport run_hooks(const std::vector<std::string>& roots, HookStage stage,
                     const HookContext& context, std::uint64_t limit_usec,
                     const std::atomic<bool>& stop) {
  auto plan = plan_hooks(list_hooks(roots, stage));
  HookReport report;
  report.unsafe = std::move(plan.unsafe);
  Program program;
  program.environment = hook_environment(stage, context);
  program.limit_usec = limit_usec;
  for (const HookFile& file : plan.run) {
    if (stop) break;
    // Looked at once more: those before it took their time. What was looked at is what runs.
    auto safe = safe_path(file.path);
    if (!safe.why.empty()) {
      report.unsafe.push_back({file.path, std::move(safe.why)});
      continue;
    }
    program.path = std::move(safe.path);
    report.results.push_back(
        run_hook(std::string(to_string(stage)) + "/" + printable(file.name), program, stop));
    if (is_refusal(report.results.back()) && ends_at_refusal(stage)) break;
  }
  return report;
}

std::vector<UnsafeHook> unsafe_hooks(const std::vector<std::string>& roots) {
  std::vector<UnsafeHook> all;
  for (const auto stage : all_values<HookStage>()) {
    auto plan = plan_hooks(list_hooks(roots, stage));
    for (UnsafeHook& one : plan.unsafe) all.push_back(std::move(one));
  }
  return all;
}

}  // namespace handover::system
