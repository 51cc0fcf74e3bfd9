// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/charge.h"

#include <cerrno>
#include <system_error>

namespace handover::backend {
namespace {

/// A call's own errnos come back as numbers from here on. No descriptor has such a number
/// (fs.nr_open), and a negative number says that RunIn could not run the call.
constexpr int first_errno = 1 << 30;

/// The kernel allocates more than the pages: mostly xarray nodes that point to them.
std::uint64_t with_overhead(std::uint64_t bytes) {
  constexpr std::uint64_t at_least = UINT64_C(1) << 20;
  constexpr std::uint64_t share = 128;
  return bytes + bytes / share + at_least;
}

/// Makes the call in the cgroup. A negative number says that this was not possible.
int run_there(const RunIn& run_in, const std::string& cgroup, const std::function<int()>& call) {
  return run_in(cgroup, [&call] {
    const int result = call();
    return result < 0 ? first_errno - result : result;
  });
}

Charge::Done answer(int there) {
  return {there >= first_errno ? first_errno - there : there, true, ""};
}

std::string not_there(const std::string& cgroup, int there) {
  return "no process could be run in cgroup " + cgroup + " (" +
         std::generic_category().message(-there) + ")";
}

}  // namespace

Charge::Done Charge::run(const std::string& cgroup, std::uint64_t bytes,
                         const std::function<int()>& call) const {
  if (!run_in_ || cgroup.empty() || bytes < worth_a_process) return {call(), false, ""};
  const int there = run_there(run_in_, cgroup, call);
  // The owner's limit is the owner's limit: here the call would only evade it.
  if (there >= 0 || there == -ENOMEM) return answer(there);
  return {call(), false, not_there(cgroup, there)};
}

Charge::Done Charge::run_if_room(const std::string& cgroup, std::uint64_t bytes,
                                 const std::function<int()>& call) const {
  if (!run_in_ || cgroup.empty() || bytes < worth_a_process) return {call(), false, ""};
  const auto room = room_in_ ? room_in_(cgroup) : std::nullopt;
  if (room && *room < with_overhead(bytes)) {
    return {call(), false,
            "cgroup " + cgroup + " has room for " + std::to_string(*room) +
                " bytes more (memory.max), and it takes " + std::to_string(bytes)};
  }
  const int there = run_there(run_in_, cgroup, call);
  if (there >= 0) return answer(there);
  return {call(), false, not_there(cgroup, there)};
}

}  // namespace handover::backend
