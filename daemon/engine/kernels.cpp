// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/kernels.h"

#include <cerrno>
#include <set>
#include <utility>

#include "core/text.h"
#include "engine/run_or_fail.h"
#include "system/log.h"

namespace handover::engine {

namespace {

/// As for the history: early in a boot /var may not be mounted, or not be writable yet.
constexpr std::uint64_t ledger_retry_usec = 1'000'000;
constexpr unsigned most_ledger_tries = 300;

}  // namespace

Result<void> KernelShelf::load() {
  if (loaded_) return {};
  const auto text = host_.read_state(StateFile::kernels);
  if (!text) {
    // It may not be mounted yet: looked at again.
    if (text.error().sys_errno == ENOENT) return {};
    return fail(text.error());
  }
  auto older = parse_kernel_ledger(*text);
  if (!older) {
    const auto aside = host_.move_aside(StateFile::kernels);
    if (!aside) return fail(aside.error());
    loaded_ = true;
    log::warning("What is known of kernels cannot be read (", older.error().message,
                 "); it is now ", *aside, " and a new ledger begins: every kernel is untried.");
    return {};
  }
  loaded_ = true;
  // What was noted meanwhile is newer.
  const auto ours = std::exchange(ledger_, std::move(*older));
  for (auto it = ours.kernels.rbegin(); it != ours.kernels.rend(); ++it) {
    handover::note(ledger_, *it);
  }
  return {};
}

Result<KernelRecord> KernelShelf::look_up(const KernelIdentity& kernel) {
  const std::lock_guard lock(mutex_);
  if (auto loaded = load(); !loaded) return fail(loaded.error());
  const auto* known = find(ledger_, kernel);
  if (known != nullptr) return *known;
  KernelRecord record;
  record.kernel = kernel;
  return record;
}

KernelLedger KernelShelf::all() {
  const std::lock_guard lock(mutex_);
  if (auto loaded = load(); !loaded) log::warning(loaded.error().message);
  return ledger_;
}

void KernelShelf::note(KernelRecord record) {
  const std::lock_guard lock(mutex_);
  handover::note(ledger_, std::move(record));
}

Result<void> KernelShelf::forgive(const std::string& release) {
  const std::lock_guard lock(mutex_);
  if (auto loaded = load(); !loaded) return loaded;
  if (handover::forgive(ledger_, release) > 0) return {};
  return fail(ErrorCode::kernel_not_found, "No kernel of release " + in_quotes(release) +
                                               " is bad; list them with 'handoverctl kernels'.");
}

Result<void> KernelShelf::write() {
  const std::lock_guard lock(mutex_);
  // Unread and still in its place: not to be overwritten.
  if (auto loaded = load(); !loaded) return loaded;
  auto written = host_.replace_state(StateFile::kernels, serialize(ledger_));
  if (written) loaded_ = true;
  return written;
}

void Kernels::note(KernelRecord record) {
  if (record.kernel.image.empty()) return;
  host_.run(disk_queue,
            [shelf = shelf_, shared = std::make_shared<KernelRecord>(
                                 std::move(record))]() -> std::function<void()> {
              shelf->note(std::move(*shared));
              return [] {};
            });
  tries_ = most_ledger_tries;
  write();
}

void Kernels::write() {
  host_.run(disk_queue, [this, alive = alive_, shelf = shelf_]() -> std::function<void()> {
    const auto done = run_or_fail("writing kernels.json", [&] { return shelf->write(); });
    return [this, alive, done] {
      if (!*alive || done) return;
      if (tries_ > 0) {
        --tries_;
        alarm_ = host_.after(ledger_retry_usec, [this] { write(); });
        return;
      }
      log::error("What is known of kernels cannot be written: ", done.error().message);
    };
  });
}

void Kernels::list(std::string running,
                   std::function<void(Result<std::vector<KernelListed>>)> then) {
  using Listed = Result<std::vector<KernelListed>>;
  // Not in the way of an update's records: it reads whole images.
  host_.run(kernel_queue,
            [this, shelf = shelf_, running = std::move(running),
             then = std::move(then)]() -> std::function<void()> {
              auto listed =
                  std::make_shared<Listed>(run_or_fail("listing kernels", [&]() -> Listed {
                    const auto ledger = shelf->all();
                    std::set<std::string> known;
                    for (const auto& record : ledger.kernels) known.insert(record.kernel.release);
                    return list_kernels(ledger, host_.kernel_files(known), running);
                  }));
              return [then, listed] { then(std::move(*listed)); };
            });
}

void Kernels::allow(const std::string& release, std::function<void(Result<void>)> then) {
  host_.run(disk_queue,
            [shelf = shelf_, release, then = std::move(then)]() -> std::function<void()> {
              auto done = run_or_fail("allowing a kernel", [&]() -> Result<void> {
                if (auto forgiven = shelf->forgive(release); !forgiven) return forgiven;
                return shelf->write();
              });
              return [then, done] { then(done); };
            });
}

}  // namespace handover::engine
