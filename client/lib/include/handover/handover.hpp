// SPDX-License-Identifier: LGPL-2.1-or-later
// The C++ face of libhandover: RAII and errors as values over the C interface, header only.
//
// Units, threads and the meaning of each call are those of handover.h. Needs C++17.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

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

/// Collects what a C function says, and turns it into a Result.
class ErrorSlot {
 public:
  ErrorSlot() = default;
  ErrorSlot(const ErrorSlot&) = delete;
  ErrorSlot& operator=(const ErrorSlot&) = delete;
  ~ErrorSlot() { handover_error_free(&error_); }

  handover_error* get() { return &error_; }
  [[nodiscard]] Error take(int result) const {
    return Error{error_.name ? error_.name : "", error_.message ? error_.message : "",
                 error_.code ? error_.code : -result};
  }
  [[nodiscard]] Result<void> result(int value) const {
    if (value < 0) return take(value);
    return {};
  }

 private:
  handover_error error_ = HANDOVER_ERROR_NULL;
};

template <auto Unref>
struct Unreferencer {
  template <typename T>
  void operator()(T* object) const {
    Unref(object);
  }
};

}  // namespace detail

/// One preserved descriptor.
using Token = handover_token;

/// A session of the daemon's. Destroying the object leaves the session alone.
class Session {
 public:
  explicit Session(handover_session* session) : session_(session) {}

  [[nodiscard]] std::string_view name() const { return handover_session_get_name(session_.get()); }

  Result<void> preserve(std::uint64_t token, int fd) {
    detail::ErrorSlot error;
    return error.result(handover_session_preserve(session_.get(), token, fd, error.get()));
  }
  /// In the backend of that name and no other.
  Result<void> preserve_in(const std::string& backend, std::uint64_t token, int fd) {
    detail::ErrorSlot error;
    return error.result(
        handover_session_preserve_in(session_.get(), backend.c_str(), token, fd, error.get()));
  }
  Result<void> preserve_blob(std::uint64_t token, std::string_view bytes) {
    detail::ErrorSlot error;
    return error.result(handover_session_preserve_blob(session_.get(), token, bytes.data(),
                                                       bytes.size(), error.get()));
  }
  Result<void> unpreserve(std::uint64_t token) {
    detail::ErrorSlot error;
    return error.result(handover_session_unpreserve(session_.get(), token, error.get()));
  }
  Result<Fd> retrieve(std::uint64_t token) {
    detail::ErrorSlot error;
    int fd = -1;
    const int r = handover_session_retrieve(session_.get(), token, &fd, error.get());
    if (r < 0) return error.take(r);
    return Fd(fd);
  }
  /// A descriptor of the companion module's session, for its ioctls.
  Result<Fd> open_tracker() {
    detail::ErrorSlot error;
    int fd = -1;
    const int r = handover_session_open_tracker(session_.get(), &fd, error.get());
    if (r < 0) return error.take(r);
    return Fd(fd);
  }
  Result<void> finish() {
    detail::ErrorSlot error;
    return error.result(handover_session_finish(session_.get(), error.get()));
  }
  Result<void> discard() {
    detail::ErrorSlot error;
    return error.result(handover_session_discard(session_.get(), error.get()));
  }
  Result<std::vector<Token>> tokens() {
    detail::ErrorSlot error;
    Token* list = nullptr;
    std::size_t count = 0;
    const int r = handover_session_list_tokens(session_.get(), &list, &count, error.get());
    if (r < 0) return error.take(r);
    std::unique_ptr<Token, detail::Unreferencer<&std::free>> owned(list);
    return std::vector<Token>(list, list + count);
  }

 private:
  std::unique_ptr<handover_session, detail::Unreferencer<&handover_session_unref>> session_;
};

/// A connection to the daemon; see handover_connect().
class Connection {
 public:
  struct Options {
    unsigned flags = 0;
    std::uint64_t timeout_usec = 0;
    sd_event* event = nullptr;
  };
  static Result<Connection> open(const Options& options) {
    detail::ErrorSlot error;
    handover_connection* connection = nullptr;
    const int r = handover_connect(options.flags, options.timeout_usec, options.event, &connection,
                                   error.get());
    if (r < 0) return error.take(r);
    return Connection(connection);
  }

  [[nodiscard]] handover_connection* get() const { return connection_.get(); }
  [[nodiscard]] sd_bus* bus() const { return handover_get_bus(get()); }
  [[nodiscard]] const char* destination() const { return handover_get_destination(get()); }
  [[nodiscard]] bool connected() const { return handover_is_connected(get()) > 0; }
  [[nodiscard]] int fd() const { return handover_get_fd(get()); }
  int process() { return handover_process(get()); }
  int wait(std::uint64_t timeout_usec) { return handover_wait(get(), timeout_usec); }
  int set_call_timeout(std::uint64_t usec) { return handover_set_call_timeout(get(), usec); }

  Result<Session> create_session(const std::string& name, const std::string& backend = "",
                                 const std::string& client = "") {
    detail::ErrorSlot error;
    handover_session* session = nullptr;
    const int r =
        handover_session_create(get(), name.c_str(), backend.empty() ? nullptr : backend.c_str(),
                                client.empty() ? nullptr : client.c_str(), &session, error.get());
    if (r < 0) return error.take(r);
    return Session(session);
  }
  Result<Session> get_session(const std::string& name) {
    detail::ErrorSlot error;
    handover_session* session = nullptr;
    const int r = handover_session_get(get(), name.c_str(), &session, error.get());
    if (r < 0) return error.take(r);
    return Session(session);
  }

 private:
  explicit Connection(handover_connection* connection) : connection_(connection) {}

  std::unique_ptr<handover_connection, detail::Unreferencer<&handover_unref>> connection_;
};

/// A call of the daemon's that waits for its answer. Dropped unanswered, it is answered by an
/// error.
class Call {
 public:
  explicit Call(handover_call* call) : call_(call) {}
  Call(Call&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  Call& operator=(Call&& other) noexcept {
    drop();
    call_ = std::exchange(other.call_, nullptr);
    return *this;
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() { drop(); }

  [[nodiscard]] std::uint64_t generation() const { return handover_call_generation(call_); }
  [[nodiscard]] std::uint64_t timeout_usec() const { return handover_call_timeout_usec(call_); }
  [[nodiscard]] std::string kernel_release() const { return handover_call_kernel_release(call_); }
  [[nodiscard]] std::string reason() const { return handover_call_reason(call_); }
  /// Restore: false if the update went on without this client's answer to Freeze.
  [[nodiscard]] bool quiesced() const { return handover_call_quiesced(call_) != 0; }

  int done() { return handover_call_done(std::exchange(call_, nullptr)); }
  int fail(const std::string& message) {
    return handover_call_fail(std::exchange(call_, nullptr), message.c_str());
  }

 private:
  void drop() {
    if (call_) fail("The client gave no answer.");
  }

  handover_call* call_;
};

/// A registered client. The callbacks run until it is destroyed.
class Client {
 public:
  using State = handover_client_state;

  struct Callbacks {
    std::function<void(Call)> prepare;
    std::function<void(Call)> cancel;
    std::function<void(Call)> freeze;
    std::function<void(Call)> thaw;
    std::function<void(Call)> restore;
    std::function<void(State)> registered;
    std::function<void(const Error&)> disconnected;
    std::function<void(const std::string&)> session_lost;
  };
  struct Options {
    std::vector<std::string> needs;
    bool optional = false;
    std::uint64_t prepare_timeout_usec = 0;
    std::uint64_t freeze_timeout_usec = 0;
    std::uint64_t restore_timeout_usec = 0;
  };

  static Result<Client> register_client(Connection& connection, const std::string& name,
                                        const Options& options, Callbacks callbacks) {
    std::vector<const char*> needs;
    needs.reserve(options.needs.size() + 1);
    for (const auto& need : options.needs) needs.push_back(need.c_str());
    needs.push_back(nullptr);
    handover_client_options c_options = {};
    c_options.size = sizeof(c_options);
    c_options.needs = needs.data();
    c_options.optional = options.optional ? 1 : 0;
    c_options.prepare_timeout_usec = options.prepare_timeout_usec;
    c_options.freeze_timeout_usec = options.freeze_timeout_usec;
    c_options.restore_timeout_usec = options.restore_timeout_usec;

    handover_client_callbacks c_callbacks = {};
    c_callbacks.size = sizeof(c_callbacks);
    c_callbacks.prepare = forward<&Callbacks::prepare>;
    c_callbacks.cancel = forward<&Callbacks::cancel>;
    c_callbacks.freeze = forward<&Callbacks::freeze>;
    c_callbacks.thaw = forward<&Callbacks::thaw>;
    c_callbacks.restore = forward<&Callbacks::restore>;
    c_callbacks.registered = [](handover_client*, State state, void* userdata) {
      const auto& self = *static_cast<Callbacks*>(userdata);
      if (self.registered) self.registered(state);
    };
    c_callbacks.disconnected = [](handover_client*, const handover_error* error, void* userdata) {
      const auto& self = *static_cast<Callbacks*>(userdata);
      if (self.disconnected) {
        self.disconnected(Error{error->name ? error->name : "",
                                error->message ? error->message : "", error->code});
      }
    };

    c_callbacks.session_lost = [](handover_client*, const char* session, void* userdata) {
      const auto& self = *static_cast<Callbacks*>(userdata);
      if (self.session_lost) self.session_lost(session);
    };

    auto owned = std::make_unique<Callbacks>(std::move(callbacks));
    detail::ErrorSlot error;
    handover_client* client = nullptr;
    const int r = handover_client_register(connection.get(), name.c_str(), &c_options, &c_callbacks,
                                           owned.get(), &client, error.get());
    if (r < 0) return error.take(r);
    return Client(std::move(owned), client);
  }

  [[nodiscard]] State state() const { return handover_client_get_state(client_.get()); }
  Result<void> unregister() {
    detail::ErrorSlot error;
    return error.result(handover_client_unregister(client_.get(), error.get()));
  }

 private:
  Client(std::unique_ptr<Callbacks> callbacks, handover_client* client)
      : callbacks_(std::move(callbacks)), client_(client) {}

  template <auto Member>
  static void forward(handover_client*, handover_call* call, void* userdata) {
    const auto& callback = static_cast<Callbacks*>(userdata)->*Member;
    if (callback) {
      callback(Call(call));
    } else {
      handover_call_done(call);
    }
  }

  std::unique_ptr<Callbacks> callbacks_;  // outlives client_, which calls into it
  std::unique_ptr<handover_client, detail::Unreferencer<&handover_client_unref>> client_;
};

}  // namespace handover::client
