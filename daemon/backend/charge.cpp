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

/// Even a busy host fills or restores so much in a second.
constexpr std::uint64_t bytes_in_a_second = UINT64_C(256) << 20;
constexpr std::uint64_t usec_per_second = 1'000'000;
constexpr std::uint64_t least_patience_usec = 10 * usec_per_second;

Patience patience_for(std::uint64_t bytes, bool ends_here) {
  return {least_patience_usec + bytes / bytes_in_a_second * usec_per_second, ends_here};
}

/// Makes the call in the cgroup. A negative number says that this was not possible.
int run_there(const RunIn& run_in, const std::string& cgroup, const std::function<int()>& call,
              const Patience& patience) {
  const auto marked = [&call] {
    const int result = call();
    return result < 0 ? first_errno - result : result;
  };
  return run_in(cgroup, marked, patience);
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
  const int there = run_there(run_in_, cgroup, call, patience_for(bytes, /*ends_here=*/false));
  // The owner's limit is the owner's limit: here the call would only evade it. And who stops his
  // own cgroup would have the memory charged to us.
  for (const int final : {-ENOMEM, -ETIMEDOUT, -EINPROGRESS}) {
    if (there == final) return answer(there);
  }
  if (there >= 0) return answer(there);
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
  const int there = run_there(run_in_, cgroup, call, patience_for(bytes, /*ends_here=*/true));
  if (there >= 0) return answer(there);
  return {call(), false, not_there(cgroup, there)};
}

}  // namespace handover::backend
