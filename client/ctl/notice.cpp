// SPDX-License-Identifier: LGPL-2.1-or-later
#include "notice.h"

#include <chrono>
#include <cstdio>
#include <system_error>

namespace handover::ctl {
namespace {

constexpr std::chrono::seconds patience{2};

// Set by the main thread alone, while no notice waits.
bool silent = false;

}  // namespace

void Notice::silence() { silent = true; }

Notice::Notice() {
  if (silent) return;
  try {
    thread_ = std::thread([this] {
      std::unique_lock lock(mutex_);
      if (over_.wait_for(lock, patience, [this] { return is_over_; })) return;
      fputs("handoverctl: handoverd does not answer yet; waiting.\n", stderr);
      silent = true;
    });
  } catch (const std::system_error&) {
    // No thread to be had: it waits all the same, without a word.
  }
}

Notice::~Notice() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  over_.notify_one();
  thread_.join();
}

}  // namespace handover::ctl
