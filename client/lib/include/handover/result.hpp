// SPDX-License-Identifier: LGPL-2.1-or-later
// Part of <handover/handover.hpp>: errors as values, and descriptors with an owner.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "handover/handover.h"

namespace handover::client {

/// What went wrong: the D-Bus error name, a sentence, a positive errno.
struct Error {
  std::string name;
  std::string message;
  int code = 0;

  /// `name` in full, or without "org.handover1.Error.".
  [[nodiscard]] bool is(std::string_view wanted) const {
    constexpr std::string_view prefix = HANDOVER_ERROR_PREFIX;
    return name == wanted || (name.size() == prefix.size() + wanted.size() &&
                              name.compare(0, prefix.size(), prefix) == 0 &&
                              name.compare(prefix.size(), wanted.size(), wanted) == 0);
  }
};

/// A value or an Error. Reading the one that is not there throws std::bad_variant_access.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : content_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return content_.index() == 0; }
  [[nodiscard]] T& value() { return std::get<0>(content_); }
  [[nodiscard]] const T& value() const { return std::get<0>(content_); }
  T& operator*() { return value(); }
  T* operator->() { return &value(); }
  [[nodiscard]] const Error& error() const { return std::get<1>(content_); }

 private:
  std::variant<T, Error> content_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  explicit operator bool() const { return !error_.has_value(); }
  [[nodiscard]] const Error& error() const { return error_.value(); }

 private:
  std::optional<Error> error_;
};

/// A file descriptor with one owner.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

namespace detail {

inline Error error_of(const handover_error* error, int result) {
  return Error{handover_error_name(error), handover_error_message(error),
               error ? handover_error_errno(error) : -result};
}

/// Collects what a C function says, and turns it into a Result.
class ErrorSlot {
 public:
  ErrorSlot() = default;
  ErrorSlot(const ErrorSlot&) = delete;
  ErrorSlot& operator=(const ErrorSlot&) = delete;
  ~ErrorSlot() { handover_error_free(error_); }

  handover_error** get() { return &error_; }
  [[nodiscard]] Error take(int result) const { return error_of(error_, result); }
  [[nodiscard]] Result<void> result(int value) const {
    if (value < 0) return take(value);
    return {};
  }

 private:
  handover_error* error_ = nullptr;
};

template <auto Unref>
struct Unreferencer {
  template <typename T>
  void operator()(T* object) const {
    Unref(object);
  }
};

/// NULL for what the C functions take as "not given".
inline const char* or_null(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

}  // namespace detail
}  // namespace handover::client
