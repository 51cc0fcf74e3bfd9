// SPDX-License-Identifier: LGPL-2.1-or-later
// What the parts of Sessions have in common: jobs in a session's queue, its tokens, and refusals.
//
// Threads: the loop; a job runs on the pool.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "engine/run_or_fail.h"
#include "engine/sessions.h"

namespace handover::engine {

/// nullptr if it is not there.
TokenRecord* find_token(SessionRecord& record, std::uint64_t token);
TokenRecord record_of(const SessionRecord& session, const backend::Descriptor& descriptor);

/// busy, and passing: the kernel does not give it now.
Error not_here(const Sessions::Held& held);
/// busy, and passing: it waits for its end.
Error ends_soon(const std::string& session);

template <typename T>
void Sessions::work(Held& held, std::function<T()> job, std::function<void(Held*, T)> then) {
  ++held.working;
  ++working_;
  const auto id = held.record.id;
  host_.run(account_of(held.record.owner), queue_of(held),
            [this, alive = alive_, id, job = std::move(job),
             then = std::move(then)]() mutable -> std::function<void()> {
              auto result = std::make_shared<T>(run_or_fail("a job of a session", job));
              job = nullptr;
              return [this, alive, id, result, then = std::move(then)] {
                if (!*alive) return;
                auto* const there = find_by_id(id);
                if (there != nullptr) --there->working;
                --working_;
                then(there, std::move(*result));
                if (working_ == 0) watch_.sessions_idle();
              };
            });
}

}  // namespace handover::engine
