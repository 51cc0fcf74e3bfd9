// SPDX-License-Identifier: LGPL-2.1-or-later
// A named set of preserved descriptors.
//
// Errors: Nature::passing means that nothing is lost and the same call may succeed later.
// Threads: one thread at a time uses a session; several threads may use different sessions. A call
// to the kernel can take seconds. No call waits for a client, and none waits for other processes
// unless its comment says so. Ownership: a session duplicates the descriptors that it keeps.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/part.h"
#include "core/unique_fd.h"
#include "core/words.h"

namespace handover::backend {

/// What describe() and preserve() tell of one descriptor.
struct Descriptor {
  std::uint64_t token = 0;
  Kind kind = Kind::fd;     ///< never blob: only the caller knows that it preserves one
  std::uint64_t bytes = 0;  ///< file size; 0 if it has none
  Keeper keeper = Keeper::luo;
  bool retrieved = false;  ///< incoming, and somebody has it
};

/// A token whose descriptor is lost, and a sentence that says why.
struct Loss {
  std::uint64_t token = 0;
  std::string sentence;
};

/// A session of luo or emulated lives as long as its own descriptor is open somewhere, here or in
/// the fd store. When the last one is closed, an outgoing session drops what it preserves, and an
/// incoming session loses what was not retrieved. A session of the tracker belongs to the kernel:
/// only finish() and discard() end it.
class Session {
 public:
  Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  virtual ~Session() = default;

  [[nodiscard]] virtual const std::string& name() const = 0;
  /// The keeper that is preferred for what it preserves.
  [[nodiscard]] virtual Keeper keeper() const = 0;
  /// It came from the earlier kernel: only retrieve() and finish() are possible.
  [[nodiscard]] virtual bool incoming() const = 0;

  /// A descriptor to keep in systemd's fd store. Borrowed; valid until the session changes.
  struct StoredFd {
    Part part;
    int fd = -1;
  };
  struct Preserved {
    Descriptor descriptor;
    /// The parts of stored_fds() that this call has added or changed.
    std::vector<StoredFd> stored;
    std::string warning;  ///< "" nearly always
  };
  /// `only`: use this keeper and no other. `cgroup`: the owner's, which is charged for the memory
  /// that this takes, if the keeper can do that; "" for ours.
  /// Errors: token_taken; already_preserved; unsupported (the message names the descriptor's type);
  /// no_such_backend: `only` is not there, or not for this session; incoming; io. If the kernel's
  /// session must be made first, this waits for another process for some seconds.
  virtual Result<Preserved> preserve(std::uint64_t token, int fd,
                                     std::optional<Keeper> only = std::nullopt,
                                     const std::string& cgroup = {}) = 0;
  /// Other tokens stay preserved. For LUO the session must be made anew, and this waits for other
  /// processes for some seconds; ask whole() and take_losses() afterwards. If it fails, the token
  /// is still preserved, or mend() will preserve it again. Errors: no_such_token; incoming;
  /// not_supported: this process lacks a duplicate of another descriptor (the fd store did not give
  /// it back), and nothing changes. Before the call, take the session's own descriptor out of the
  /// fd store and wait until it is closed there: its name is taken while anyone holds it.
  /// stored_fds() has changed afterwards.
  virtual Result<void> unpreserve(std::uint64_t token) = 0;

  struct Retrieved {
    UniqueFd fd;
    /// The keeper will not give it again. Keep a duplicate, here and in the fd store, until the
    /// session is finished: the owner or the daemon may die before the descriptor is in use.
    bool once = false;
    std::string warning;  ///< "" nearly always
  };
  /// `cgroup` as in preserve(). Errors: not_incoming; no_such_token; state_lost; already_retrieved,
  /// if the keeper gives a descriptor once.
  virtual Result<Retrieved> retrieve(std::uint64_t token, const std::string& cgroup = {}) = 0;
  /// Ends an incoming session; what was not retrieved is freed. Errors: not_incoming; io. After an
  /// error call it again.
  virtual Result<void> finish() = 0;
  /// Ends an outgoing session and drops all that it preserves. Errors: incoming; io. After an error
  /// call it again.
  virtual Result<void> discard() = 0;

  /// False if the kernel does not preserve all of the session now, or cannot be asked. The session
  /// has what it needs to repair that.
  [[nodiscard]] virtual bool whole() const { return true; }
  /// Tries to make the session whole. Never waits. Errors: passing if it is not whole yet;
  /// state_lost if it is whole and something is lost, which take_losses() names. stored_fds() may
  /// have changed afterwards.
  virtual Result<void> mend() { return {}; }
  /// The losses found since the last call. Nearly always empty.
  virtual std::vector<Loss> take_losses() { return {}; }

  /// Whether the session holds something under `token`. LUO cannot tell this of an incoming
  /// session: false.
  [[nodiscard]] virtual bool holds(std::uint64_t token) const = 0;
  /// The descriptors that the session holds, sorted by token. LUO cannot list an incoming session:
  /// nothing.
  [[nodiscard]] virtual std::vector<Descriptor> describe() const = 0;
  /// A descriptor of the module's session. Its owner can preserve and retrieve with the module's
  /// ioctls, and describe() shows the result. Errors: no_such_backend: the module is not there, or
  /// not for this session; no_such_session: incoming, and the module has no session of this name.
  virtual Result<UniqueFd> open_tracker();
  /// A duplicate of the descriptor of LUO's session. Its owner can preserve and retrieve with the
  /// ioctls of <linux/liveupdate.h>, and LUO tells nobody what. From now on the session is never
  /// made anew: unpreserve() and preserve_again() answer not_supported. It ends when he has closed
  /// his descriptor, too. Errors: no_such_backend: LUO does not keep this session.
  virtual Result<UniqueFd> open_luo();
  /// open_luo() has given it to its owner, to this process or an earlier one.
  [[nodiscard]] virtual bool is_luo_opened() const { return false; }
  /// A duplicate of the descriptor preserved under `token`, if this process still has it.
  [[nodiscard]] virtual std::optional<UniqueFd> duplicate(std::uint64_t token) const = 0;
  /// Makes the kernel drop everything, calls `between`, and preserves everything again. While
  /// `between` runs no page is pinned, so that pages can be collapsed; its error is returned.
  /// Other errors: incoming; not_supported, as unpreserve(); passing; state_lost. If `between` has
  /// not run, nothing has changed. Waits as unpreserve(), and the same holds for the fd store.
  /// Without `between`: what the kernel holds and this does not know is dropped, too.
  virtual Result<void> preserve_again(const std::function<Result<void>()>& between) = 0;

  /// Everything of the session that belongs in systemd's fd store: its own descriptor, and each one
  /// that it preserves. Take the tokens out of the store before an orderly kexec with LUO: systemd
  /// would try to preserve them once more, and warn that they are lost (luo_preserve_fd_stores(),
  /// systemd 262).
  [[nodiscard]] virtual std::vector<StoredFd> stored_fds() const = 0;
};

}  // namespace handover::backend
