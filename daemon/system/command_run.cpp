// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/command_run.h"

#include <cerrno>
#include <cstring>
#include <string_view>

#include "core/program_end.h"
#include "core/program_output.h"
#include "core/text.h"
#include "system/program.h"

namespace handover::system {

namespace {

std::string how_it_ended(const ProgramEnd& end, const std::string& path, std::uint64_t limit_usec) {
  using How = ProgramEnd::How;
  switch (end.how) {
    case How::exited:
      return "it " + ended_with(end.status);
    case How::killed:
      return "it " + killed_by(end.status);
    case How::timed_out:
      return "it " + took_longer_than(limit_usec);
    case How::stopped:
      return "it was stopped with handoverd";
    case How::failed:
      break;
  }
  return "cannot run " + printable(path) + ": " + std::strerror(end.status);
}

}  // namespace

Result<void> run_command(const std::vector<std::string>& argv,
                         const std::vector<std::string>& environment, std::uint64_t limit_usec,
                         const std::atomic<bool>& stop) {
  if (argv.empty()) return fail(ErrorCode::invalid_argument, "no command is named");
  Program program;
  program.path = argv.front();
  program.arguments = {argv.begin() + 1, argv.end()};
  program.environment = {program_path};
  program.environment.insert(program.environment.end(), environment.begin(), environment.end());
  program.limit_usec = limit_usec;
  ProgramOutput output([](const std::string&) {});
  const auto end = run_program(program, stop, [&](std::string_view bytes) { output.take(bytes); });
  output.end();
  using How = ProgramEnd::How;
  if (end.how == How::exited && end.status == 0) return {};
  auto wrong = how_it_ended(end, program.path, limit_usec);
  const auto& last = output.last_line();
  if (end.how != How::failed && !last.empty()) wrong += "; its last line was " + in_quotes(last);
  const bool late = end.how == How::timed_out;
  return fail(Error{late ? ErrorCode::timed_out : ErrorCode::io, wrong,
                    end.how == How::failed ? end.status : 0});
}

}  // namespace handover::system
