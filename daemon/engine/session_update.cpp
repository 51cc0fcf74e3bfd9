// SPDX-License-Identifier: LGPL-2.1-or-later
// What an update does with the sessions: collapses their memory, and has PID 1 and the next process
// keep what they need of them.
#include <fcntl.h>

#include <utility>

#include "engine/session_work.h"
#include "engine/sessions.h"
#include "system/log.h"

namespace handover::engine {

namespace {

/// Small pages cost the companion module nothing: it joins those that lie side by side.
bool to_collapse(const SessionRecord& session, const TokenRecord& token) {
  return token.kind == Kind::memfd && keeper_of(session, token) != Keeper::tracker;
}

}  // namespace

std::uint64_t Sessions::bytes_to_collapse(const SessionRecord& record) {
  std::uint64_t bytes = 0;
  if (record.luo_opened) return bytes;  // it is never made anew
  for (const auto& token : record.tokens) {
    if (to_collapse(record, token)) bytes += token.bytes;
  }
  return bytes;
}

void Sessions::collapse(Held& held, std::function<void(std::uint64_t)> progress,
                        const std::atomic<bool>& cancel, Reply<Collapse> done) {
  if (!held.kernel) return done(fail(not_here(held)));
  if (held.record.luo_opened) return done(Collapse{});
  std::vector<std::uint64_t> tokens;
  std::uint64_t before = 0;
  for (const auto& token : held.record.tokens) {
    if (to_collapse(held.record, token)) tokens.push_back(token.token);
  }
  struct Done {
    Result<Collapse> result;
    std::vector<backend::Loss> losses = {};
    bool whole = false;  // unless it is looked at
  };
  work<Done>(
      held,
      [this, kernel = held.kernel, tokens, before, progress = std::move(progress), &cancel,
       cgroup = held.record.cgroup, prefix = prefix_of(held)]() mutable -> Done {
        Collapse total;
        const auto collapse_all = [&]() -> Result<void> {
          for (const auto token : tokens) {
            if (cancel) return fail(ErrorCode::cancelled, "The collapse was cancelled.");
            const auto fd = kernel->duplicate(token);
            if (!fd) continue;
            std::uint64_t last = 0;
            const auto collapsed = host_.collapse(
                fd->get(), cgroup,
                [&](std::uint64_t bytes) {
                  last = bytes;
                  progress(before + bytes);
                },
                cancel);
            if (!collapsed) return fail(collapsed.error());
            before += last;
            total.bytes_huge += collapsed->bytes_huge;
            total.bytes_small += collapsed->bytes_small;
          }
          return {};
        };
        const auto gone = fd_store_.let_go(prefix, session_part);
        Done result;
        Result<void> again = gone ? kernel->preserve_again(collapse_all) : gone;
        result.losses = kernel->take_losses();
        result.whole = kernel->whole();
        keep_anyway(prefix, *kernel);
        if (again) {
          result.result = total;
        } else {
          result.result = fail(again.error());
        }
        return result;
      },
      [this, done = std::move(done)](Held* there, Done result) {
        if (there != nullptr) look_after(*there, result.losses, result.whole, "");
        done(std::move(result.result));
      });
}

void Sessions::store_sessions_only() {
  for (auto& [name, held] : sessions_) {
    if (!held.kernel) continue;
    work<Result<void>>(
        held,
        [this, kernel = held.kernel, prefix = prefix_of(held)]() -> Result<void> {
          auto fds = kernel->stored_fds();
          std::erase_if(fds, [](const auto& stored) { return stored.part != session_part; });
          return fd_store_.keep_exactly(prefix, fds);
        },
        [](Held*, const Result<void>& kept) {
          if (!kept) log::warning(kept.error().message);
        });
  }
}

void Sessions::store_everything() {
  for (auto& [name, held] : sessions_) {
    if (!held.kernel) continue;
    work<Result<void>>(
        held,
        [this, kernel = held.kernel, prefix = prefix_of(held)]() -> Result<void> {
          return fd_store_.keep_exactly(prefix, kernel->stored_fds());
        },
        [](Held*, const Result<void>& kept) {
          if (!kept) log::warning(kept.error().message);
        });
  }
}

std::vector<NamedDescriptor> Sessions::duplicate_all() const {
  std::vector<NamedDescriptor> all;
  for (const auto& [name, held] : sessions_) {
    if (!held.kernel) continue;
    for (const auto& stored : held.kernel->stored_fds()) {
      all.push_back({FdStore::stored_name(prefix_of(held), stored.part),
                     UniqueFd(fcntl(stored.fd, F_DUPFD_CLOEXEC, 3))});
    }
  }
  return all;
}

}  // namespace handover::engine
