// SPDX-License-Identifier: LGPL-2.1-or-later
// The sessions there are: their records, what a backend holds for them, their fd-store copies, and
// what each user is charged for them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/config.h"
#include "core/error.h"
#include "core/manifest.h"
#include "system/notify.h"

namespace handover::engine {

/// Keeps descriptors in systemd's fd store under names of ours, so that a crash loses none.
class FdStore {
 public:
  /// Makes the store hold exactly `fds` under "<prefix>-<part>".
  Result<void> keep(const std::string& prefix, const std::vector<backend::Session::StoredFd>& fds);
  /// The same if there is room; limit_exceeded. For what is new: what came back from the store is
  /// kept, whatever the limit has become.
  Result<void> keep_more(const std::string& prefix,
                         const std::vector<backend::Session::StoredFd>& fds);
  /// Forgets "<prefix>-<part>"; returns when the service manager has closed it, so that the kernel
  /// session behind it can go (a stored duplicate would hold it open).
  Result<void> forget(const std::string& prefix, const std::string& part);
  Result<void> forget_all(const std::string& prefix);
  /// The same without waiting.
  Result<void> drop_all(const std::string& prefix);

  /// "<prefix>-<part>".
  static std::string stored_name(const std::string& prefix, const std::string& part);

 private:
  /// For these under `prefix`, beside all others.
  [[nodiscard]] Result<void> check_room(
      const std::string& prefix, const std::vector<backend::Session::StoredFd>& wanted) const;

  std::optional<std::size_t> limit_ = system::fd_store_limit();
  std::map<std::string, std::map<std::string, int>> kept_;  ///< prefix → part → fd stored
};

class Sessions {
 public:
  struct Held {
    SessionRecord record;
    std::unique_ptr<backend::Session> kernel;
    /// What was retrieved, by token: the kernel gives it once, and a client may die before it has
    /// made anything of it. Until the session is finished its next start finds it here.
    std::map<std::uint64_t, UniqueFd> given;
  };
  using Backends = std::map<std::string, std::unique_ptr<backend::Backend>>;

  Sessions(Backends backends, std::string default_backend, const Config& config);

  [[nodiscard]] const std::map<std::string, Held>& all() const { return sessions_; }
  [[nodiscard]] std::vector<SessionRecord> records() const;
  /// Those that can be used now.
  [[nodiscard]] std::vector<std::string> backend_names() const;
  /// The companion module, if it is loaded and a backend uses it.
  [[nodiscard]] std::optional<backend::Module> module() const;
  [[nodiscard]] std::vector<std::string> resting() const;
  [[nodiscard]] const std::string& default_backend() const { return default_backend_; }
  /// The backend that carries the manifest.
  [[nodiscard]] backend::Backend& main_backend() { return *backends_.at(default_backend_); }
  [[nodiscard]] FdStore& fd_store() { return fd_store_; }

  /// no_such_session; access_denied unless `caller` may use it.
  Result<Held*> find(const std::string& name, const Owner& caller);
  [[nodiscard]] const Held* find(const std::string& name) const;

  /// `backend` "" means the default one.
  Result<const SessionRecord*> create(std::uint64_t id, const std::string& name, const Owner& owner,
                                      const std::string& backend, const std::string& client);
  /// `backend` "": where it is kept best.
  Result<void> preserve(Held& held, std::uint64_t token, int fd, bool blob,
                        const std::string& backend);
  Result<void> unpreserve(Held& held, std::uint64_t token);
  Result<UniqueFd> retrieve(Held& held, std::uint64_t token);
  /// A descriptor of the tracker's session for its owner; from now on refresh() looks there.
  Result<UniqueFd> open_tracker(Held& held);
  /// Takes into the records what owners preserved and retrieved in the tracker by themselves.
  void refresh();
  /// Notes that a session is about to be ended, to be persisted before it is: finish() follows.
  /// not_incoming.
  static Result<void> begin_finish(Held& held);
  /// The same before discard(). incoming.
  static Result<void> begin_discard(Held& held);
  [[nodiscard]] std::vector<std::string> incoming() const;
  /// Ends an incoming session. Returns the tokens that nobody retrieved: they are freed.
  Result<std::vector<std::uint64_t>> finish(const std::string& name);
  /// Ends an outgoing session.
  Result<void> discard(const std::string& name);

  /// Runs `between` with nothing of the session pinned (backend::Session::preserve_again()).
  /// Worker thread: the caller keeps everybody else away meanwhile.
  Result<void> preserve_again(Held& held, const std::function<Result<void>()>& between);

  /// Before an orderly kexec: leaves only the kernel sessions in the fd store. systemd >= 261 would
  /// preserve the descriptors beside them a second time, be refused, and say that they are lost.
  Result<void> store_sessions_only();
  /// Undoes store_sessions_only().
  Result<void> store_everything();

  /// Takes a session of the manifest over at start-up, with what the fd store gave back for it.
  /// Returns a sentence for each token that is lost although the session is not.
  Result<std::vector<std::string>> adopt(const SessionRecord& record,
                                         std::vector<backend::Adopted::Part> parts);

  static std::string store_prefix(std::uint64_t id) { return "session-" + std::to_string(id); }

 private:
  struct Usage {
    std::uint64_t sessions = 0;
    std::uint64_t descriptors = 0;
    std::uint64_t bytes = 0;
  };
  [[nodiscard]] Usage usage(std::uint32_t uid) const;
  Result<void> keep(const Held& held);
  /// The same for a session that has become larger: limit_exceeded.
  Result<void> keep_more(const Held& held);
  [[nodiscard]] backend::Limits limits_of(const Owner& owner) const;
  /// The record tells what the tracker holds.
  static void take_in(Held& held);
  /// After a failed remake: the record tells again what the kernel holds.
  static void reconcile(Held& held);

  Backends backends_;
  std::string default_backend_;
  const Config& config_;
  std::map<std::string, Held> sessions_;
  FdStore fd_store_;
};

}  // namespace handover::engine
