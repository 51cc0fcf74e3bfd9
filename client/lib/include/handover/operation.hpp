// SPDX-License-Identifier: LGPL-2.1-or-later
// Part of <handover/handover.hpp>: calls that nobody stands still for, and what callbacks throw.
#pragma once

#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "handover/result.hpp"

namespace handover::client {

/// Gets what a callback has thrown, on the callback's thread: exceptions end here, since C
/// functions stand between the callback and whoever runs the loop. The call that a Client's
/// callback was about is failed with what the exception says besides. Empty: a line on standard
/// error. What it throws itself ends the process. Set it before anything else.
inline std::function<void(std::exception_ptr)> exception_handler;

namespace detail {

inline std::string what(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "not an std::exception";
  }
}

/// Runs a callback. What it threw, or null.
template <typename Callback>
std::exception_ptr guard(const Callback& callback) noexcept {
  try {
    callback();
    return nullptr;
  } catch (...) {
    auto thrown = std::current_exception();
    if (exception_handler) {
      exception_handler(thrown);
    } else {
      std::fprintf(stderr, "libhandover: a callback threw: %s\n", what(thrown).c_str());
    }
    return thrown;
  }
}

/// An operation with its callback. The library calls back into it, so it keeps itself as long.
struct PendingBase {
  PendingBase() = default;
  PendingBase(const PendingBase&) = delete;
  PendingBase& operator=(const PendingBase&) = delete;
  virtual ~PendingBase() = default;

  void cancel() {
    const auto keep = std::move(self);
    handover_operation_unref(std::exchange(operation, nullptr));
  }

  handover_operation* operation = nullptr;
  std::shared_ptr<PendingBase> self;  ///< until the callback has run, or never will
};

template <typename T>
struct Pending : PendingBase {
  /// The end: at most one, and last of all.
  static void finish(void* userdata, Result<T> result) {
    auto* const pending = static_cast<Pending*>(userdata);
    const auto keep = std::move(pending->self);
    handover_operation_unref(std::exchange(pending->operation, nullptr));
    guard([&] { pending->done(std::move(result)); });
  }

  std::function<void(Result<T>)> done;
};

inline void on_done(int result, const handover_error* error, void* userdata) {
  using Nothing = Pending<void>;
  Nothing::finish(userdata, result < 0 ? Result<void>(error_of(error, result)) : Result<void>());
}

inline void on_fd(int result, const handover_error* error, void* userdata) {
  Pending<Fd>::finish(userdata,
                      result < 0 ? Result<Fd>(error_of(error, result)) : Result<Fd>(Fd(result)));
}

}  // namespace detail

/// A call of the daemon that has not been answered yet. Destroying it cancels it: its callback is
/// not called then, though the daemon may do what it was asked for. It may be destroyed in its own
/// callback, which runs once, from the connection's loop; with ECANCELED if the connection goes.
class [[nodiscard]] Operation {
 public:
  Operation() = default;
  explicit Operation(std::shared_ptr<detail::PendingBase> pending) : pending_(std::move(pending)) {}
  Operation(Operation&&) noexcept = default;
  Operation& operator=(Operation&& other) noexcept {
    cancel();
    pending_ = std::move(other.pending_);
    return *this;
  }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation() { cancel(); }

  void cancel() {
    if (const auto pending = std::exchange(pending_, nullptr)) pending->cancel();
  }
  /// Lets it run to its end, with nobody who can cancel it.
  void detach() { pending_.reset(); }

 private:
  std::shared_ptr<detail::PendingBase> pending_;
};

namespace detail {

/// `call(userdata, &operation, error)` begins it.
template <typename T, typename Call>
Result<Operation> begin(std::function<void(Result<T>)> done, const Call& call) {
  auto pending = std::make_shared<Pending<T>>();
  pending->done = std::move(done);
  ErrorSlot error;
  const int r = call(pending.get(), &pending->operation, error.get());
  if (r < 0) return error.take(r);
  pending->self = pending;
  return Operation(std::move(pending));
}

}  // namespace detail
}  // namespace handover::client
