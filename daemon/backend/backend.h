// SPDX-License-Identifier: LGPL-2.1-or-later
// Where preserved state lives: one small interface, implemented by luo, tracker and emulated.
//
// Threads: every object is used by one thread at a time; the daemon hands a session to its worker
// while preparing and takes it back. No call blocks on a client. Ownership: descriptors passed in
// are duplicated if kept; descriptors returned belong to the caller.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::backend {

/// What describe() and preserve() tell of one descriptor.
struct Descriptor {
  std::uint64_t token = 0;
  std::string kind;         ///< "memfd" (shmem), "hugetlb", or "fd"
  std::uint64_t bytes = 0;  ///< file size; 0 if it has none
};

/// A named set of preserved descriptors. Destroying an outgoing session's object drops what the
/// kernel preserves through it; destroying an incoming one loses what was not retrieved.
class Session {
 public:
  virtual ~Session() = default;

  [[nodiscard]] virtual const std::string& name() const = 0;
  /// Came from the earlier kernel: only retrieve and finish are possible.
  [[nodiscard]] virtual bool incoming() const = 0;

  /// token_taken; already_preserved; unsupported (the message names the descriptor's type);
  /// incoming; io.
  virtual Result<Descriptor> preserve(std::uint64_t token, int fd) = 0;
  /// no_such_token; incoming; not_supported if another descriptor is in the kernel only (adopted
  /// without its part): nothing changes. Other tokens stay preserved (LUO has no single unpreserve:
  /// the session is made anew; if that fails, the error is io and describe() tells what is left).
  /// The session's "s" part must be out of the fd store (forgotten, and the barrier passed) before:
  /// while anyone holds it, its name stays taken. stored_fds() are others afterwards.
  virtual Result<void> unpreserve(std::uint64_t token) = 0;
  /// not_incoming; no_such_token; already_retrieved; state_lost.
  virtual Result<UniqueFd> retrieve(std::uint64_t token) = 0;
  /// The kernel gives up its claim; what was not retrieved is freed. not_incoming; io.
  virtual Result<void> finish() = 0;

  /// Descriptors held by an outgoing session, sorted by token. (LUO cannot list an incoming one.)
  [[nodiscard]] virtual std::vector<Descriptor> describe() const = 0;
  /// A duplicate of the descriptor preserved under `token`, if this process still has it.
  [[nodiscard]] virtual std::optional<UniqueFd> duplicate(std::uint64_t token) const = 0;
  /// Drops everything preserved in the kernel and preserves it again: between the two, `between`
  /// runs with nothing pinned, so that the pages may be collapsed. What it returns is passed on
  /// after everything is preserved again. incoming; not_supported (as unpreserve(): `between` does
  /// not run and nothing changes); io, and describe() tells what is left. The same holds for the fd
  /// store.
  virtual Result<void> preserve_again(const std::function<Result<void>()>& between) = 0;

  /// Descriptors to keep in systemd's fd store: (part, fd) with part "s" for the session itself and
  /// "t<token>" for each preserved descriptor. Borrowed; valid until the session changes. Take the
  /// "t" parts out of the store before an orderly kexec on luo: systemd would try to preserve them
  /// a second time and warn that they are lost (luo_preserve_fd_stores(), systemd 262).
  struct StoredFd {
    std::string part;
    int fd = -1;
  };
  [[nodiscard]] virtual std::vector<StoredFd> stored_fds() const = 0;
};

/// What comes back from the fd store (or from a re-exec) for one session.
struct Adopted {
  struct Part {
    std::string part;
    UniqueFd fd;
  };
  std::string name;
  bool incoming = false;  ///< luo asks the kernel; see Session::incoming() of what adopt() returns
  std::vector<Descriptor> tokens;  ///< what the manifest says it holds
  std::vector<Part> parts;
};

class Backend {
 public:
  virtual ~Backend() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  /// name_taken (in the kernel); io.
  virtual Result<std::unique_ptr<Session>> create(const std::string& name) = 0;
  /// A session of the earlier kernel, by name. no_such_session; state_lost; io.
  virtual Result<std::unique_ptr<Session>> retrieve(const std::string& name) = 0;
  /// A session whose descriptors came back from the fd store. io if the parts do not make one. An
  /// outgoing one without its "s" is made anew if every token's part is there.
  virtual Result<std::unique_ptr<Session>> adopt(Adopted adopted) = 0;

  /// Keeps `text` as the daemon's manifest where it survives the kexec, always the newest one.
  virtual Result<void> seal(std::string_view text) = 0;
  /// The manifest that an earlier kernel's daemon sealed; nullopt if there is none. Finishes and
  /// releases the kernel's copy. state_lost if it is there and cannot be read.
  virtual Result<std::optional<std::string>> unseal() = 0;
  /// As Session::stored_fds(), for the manifest's own session.
  [[nodiscard]] virtual std::vector<Session::StoredFd> stored_fds() const = 0;
  /// Parts that came back for the manifest's own session ("s" and others).
  virtual Result<void> adopt_manifest(std::vector<Adopted::Part> parts) = 0;
};

/// Where the real backends find the kernel; tests point it elsewhere.
struct Paths {
  std::string liveupdate = "/dev/liveupdate";
};

/// no_such_backend names what is missing.
Result<std::unique_ptr<Backend>> make_luo(const Paths& paths);
Result<std::unique_ptr<Backend>> make_emulated();

}  // namespace handover::backend
