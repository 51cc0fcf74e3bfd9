// SPDX-License-Identifier: LGPL-2.1-or-later
// Starts the daemon's threads: they take no signals, so that each signal reaches the event loop.
#pragma once

#include <pthread.h>

#include <csignal>
#include <thread>
#include <utility>

namespace handover::system {

/// A thread with every signal blocked from its first instruction on. `name` is what ps(1) shows, at
/// most 15 characters. Throws std::system_error if there is no room for another thread.
template <typename Function>
std::thread start_thread(const char* name, Function&& function) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  struct Restore {
    const sigset_t& mask;
    ~Restore() { pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
  };
  const Restore restore{before};
  std::thread thread(std::forward<Function>(function));
  pthread_setname_np(thread.native_handle(), name);
  return thread;
}

}  // namespace handover::system
