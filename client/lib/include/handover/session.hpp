// SPDX-License-Identifier: LGPL-2.1-or-later
// Part of <handover/handover.hpp>: a session of the daemon's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "handover/operation.hpp"

namespace handover::client {

/// One preserved descriptor; see handover_token_kind().
struct Token {
  std::uint64_t token = 0;
  std::uint64_t bytes = 0;
  bool retrieved = false;
  std::string kind;
  std::string backend;
};

namespace detail {

/// Frees the list.
inline std::vector<Token> take_tokens(handover_token_list* list) {
  const std::unique_ptr<handover_token_list, Unreferencer<&handover_token_list_free>> owned(list);
  std::vector<Token> tokens;
  tokens.reserve(handover_token_list_count(list));
  for (std::size_t i = 0; i < handover_token_list_count(list); ++i) {
    const auto* const token = handover_token_list_get(list, i);
    tokens.push_back({handover_token_number(token), handover_token_bytes(token),
                      handover_token_is_retrieved(token) != 0, handover_token_kind(token),
                      handover_token_backend(token)});
  }
  return tokens;
}

}  // namespace detail

/// A session of the daemon's. Destroying the object leaves the session alone, and operations that
/// it has begun.
class Session {
 public:
  using Done = std::function<void(Result<void>)>;

  /// Takes it over.
  explicit Session(handover_session* session) : session_(session) {}

  [[nodiscard]] handover_session* get() const { return session_.get(); }
  [[nodiscard]] std::string_view name() const { return handover_session_get_name(get()); }

  Result<void> preserve(std::uint64_t token, int fd) {
    return plain([&](auto** error) { return handover_session_preserve(get(), token, fd, error); });
  }
  Result<Operation> preserve_async(std::uint64_t token, int fd, Done done) {
    return later(std::move(done), [&](auto... end) {
      return handover_session_preserve_async(get(), token, fd, detail::on_done, end...);
    });
  }
  /// In the backend of that name and no other.
  Result<void> preserve_in(const std::string& backend, std::uint64_t token, int fd) {
    return plain([&](auto** error) {
      return handover_session_preserve_in(get(), backend.c_str(), token, fd, error);
    });
  }
  Result<Operation> preserve_in_async(const std::string& backend, std::uint64_t token, int fd,
                                      Done done) {
    return later(std::move(done), [&](auto... end) {
      return handover_session_preserve_in_async(get(), backend.c_str(), token, fd, detail::on_done,
                                                end...);
    });
  }
  Result<void> preserve_blob(std::uint64_t token, std::string_view bytes) {
    return plain([&](auto** error) {
      return handover_session_preserve_blob(get(), token, bytes.data(), bytes.size(), error);
    });
  }
  Result<Operation> preserve_blob_async(std::uint64_t token, std::string_view bytes, Done done) {
    return later(std::move(done), [&](auto... end) {
      return handover_session_preserve_blob_async(get(), token, bytes.data(), bytes.size(),
                                                  detail::on_done, end...);
    });
  }
  Result<void> unpreserve(std::uint64_t token) {
    return plain([&](auto** error) { return handover_session_unpreserve(get(), token, error); });
  }
  Result<Operation> unpreserve_async(std::uint64_t token, Done done) {
    return later(std::move(done), [&](auto... end) {
      return handover_session_unpreserve_async(get(), token, detail::on_done, end...);
    });
  }
  Result<Fd> retrieve(std::uint64_t token) {
    return descriptor(
        [&](int* fd, auto** error) { return handover_session_retrieve(get(), token, fd, error); });
  }
  Result<Operation> retrieve_async(std::uint64_t token, std::function<void(Result<Fd>)> done) {
    return detail::begin<Fd>(std::move(done), [&](auto... end) {
      return handover_session_retrieve_async(get(), token, detail::on_fd, end...);
    });
  }
  /// A descriptor of the companion module's session, for its ioctls.
  Result<Fd> open_tracker() {
    return descriptor(
        [&](int* fd, auto** error) { return handover_session_open_tracker(get(), fd, error); });
  }
  Result<Operation> open_tracker_async(std::function<void(Result<Fd>)> done) {
    return detail::begin<Fd>(std::move(done), [&](auto... end) {
      return handover_session_open_tracker_async(get(), detail::on_fd, end...);
    });
  }
  /// A descriptor of LUO's own session, for its ioctls.
  Result<Fd> open_luo() {
    return descriptor(
        [&](int* fd, auto** error) { return handover_session_open_luo(get(), fd, error); });
  }
  Result<Operation> open_luo_async(std::function<void(Result<Fd>)> done) {
    return detail::begin<Fd>(std::move(done), [&](auto... end) {
      return handover_session_open_luo_async(get(), detail::on_fd, end...);
    });
  }
  Result<void> finish() {
    return plain([&](auto** error) { return handover_session_finish(get(), error); });
  }
  Result<Operation> finish_async(Done done) {
    return later(std::move(done), [&](auto... end) {
      return handover_session_finish_async(get(), detail::on_done, end...);
    });
  }
  Result<void> discard() {
    return plain([&](auto** error) { return handover_session_discard(get(), error); });
  }
  Result<Operation> discard_async(Done done) {
    return later(std::move(done), [&](auto... end) {
      return handover_session_discard_async(get(), detail::on_done, end...);
    });
  }
  Result<std::vector<Token>> tokens() {
    detail::ErrorSlot error;
    handover_token_list* list = nullptr;
    const int r = handover_session_list_tokens(get(), &list, error.get());
    if (r < 0) return error.take(r);
    return detail::take_tokens(list);
  }
  Result<Operation> tokens_async(std::function<void(Result<std::vector<Token>>)> done) {
    using Tokens = std::vector<Token>;
    constexpr auto on_tokens = [](int result, handover_token_list* list,
                                  const handover_error* error, void* userdata) {
      auto tokens = detail::take_tokens(list);
      detail::Pending<Tokens>::finish(userdata,
                                      result < 0 ? Result<Tokens>(detail::error_of(error, result))
                                                 : Result<Tokens>(std::move(tokens)));
    };
    return detail::begin<Tokens>(std::move(done), [&](auto... end) {
      return handover_session_list_tokens_async(get(), on_tokens, end...);
    });
  }

 private:
  template <typename Call>
  static Result<void> plain(const Call& call) {
    detail::ErrorSlot error;
    return error.result(call(error.get()));
  }
  template <typename Call>
  static Result<Fd> descriptor(const Call& call) {
    detail::ErrorSlot error;
    int fd = -1;
    const int r = call(&fd, error.get());
    if (r < 0) return error.take(r);
    return Fd(fd);
  }
  template <typename Call>
  static Result<Operation> later(Done done, const Call& call) {
    return detail::begin<void>(std::move(done), call);
  }

  std::unique_ptr<handover_session, detail::Unreferencer<&handover_session_unref>> session_;
};

}  // namespace handover::client
