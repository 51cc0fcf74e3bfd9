// SPDX-License-Identifier: LGPL-2.1-or-later
// A bug in one job must not leave those who wait for it waiting.
#pragma once

#include <string_view>
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "system/trampoline.h"

namespace handover::engine {

/// What `job` returns. If it throws, that is logged with `what` it was, and the result is a passing
/// error, since memory that was short may be there again: a Result, or a struct that begins with
/// one; of any other type the empty value.
template <typename Job>
auto run_or_fail(std::string_view what, Job&& job) -> std::invoke_result_t<Job> {
  using T = std::invoke_result_t<Job>;
  try {
    return std::forward<Job>(job)();
  } catch (...) {
    system::log_exception(what);
  }
  auto error = fail(passing({ErrorCode::internal, "A bug ended this operation; see the journal."}));
  if constexpr (std::is_constructible_v<T, decltype(error)>) {
    return T(std::move(error));
  } else if constexpr (requires { T{std::move(error)}; }) {
    return T{std::move(error)};
  } else {
    return T{};
  }
}

}  // namespace handover::engine
