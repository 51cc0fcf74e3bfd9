// SPDX-License-Identifier: LGPL-2.1-or-later
// Where preserved state lives: one small interface, implemented by luo, tracker, emulated, and by
// what chooses between the first two for each descriptor (backend/composite.h).
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
  /// "memfd" (shmem), "tmpfs" (shmem with a name), "hugetlb", "fd"; by the tracker also "range",
  /// "allocated", "handover" (a file of the module's, preserved again) and "kernel" (another
  /// module's: nobody retrieves it here)
  std::string kind;
  std::uint64_t bytes = 0;  ///< file size; 0 if it has none
  std::string backend;      ///< which holds it: "luo", "tracker" or "emulated"
  bool retrieved = false;   ///< incoming, and somebody has it
};

/// What a session may hold, as far as the kernel can be told to enforce it. 0: no limit.
struct Limits {
  std::uint64_t bytes = 0;
  std::uint32_t descriptors = 0;
};

/// The companion module, as it is loaded.
struct Module {
  std::uint32_t abi = 0;     ///< of its ioctls
  std::uint32_t format = 0;  ///< of the tables that it writes; the next kernel's must read it
  bool kho = false;          ///< the kernel lets it preserve anything
  std::uint32_t lost = 0;    ///< sessions of the earlier kernel whose tables were damaged
};

/// A named set of preserved descriptors. Destroying the object of a session that lives by its
/// descriptors (luo, emulated: stored_fds() has an "s") ends it: an outgoing one drops what the
/// kernel preserves through it, an incoming one loses what was not retrieved. The tracker's are the
/// kernel's own and stay; finish() and discard() end them.
class Session {
 public:
  Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  virtual ~Session() = default;

  [[nodiscard]] virtual const std::string& name() const = 0;
  /// The name of the backend that what it preserves goes to, unless told otherwise.
  [[nodiscard]] virtual std::string_view backend() const = 0;
  /// Came from the earlier kernel: only retrieve and finish are possible.
  [[nodiscard]] virtual bool incoming() const = 0;

  /// token_taken; already_preserved; unsupported (the message names the descriptor's type);
  /// incoming; io.
  virtual Result<Descriptor> preserve(std::uint64_t token, int fd) = 0;
  /// The same in that backend and no other. no_such_backend: it is not there, or not for this
  /// session.
  virtual Result<Descriptor> preserve_in(const std::string& backend, std::uint64_t token, int fd);
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
  /// Everything preserved is dropped, at once; the object is of no use afterwards. incoming; io,
  /// and it can be tried again.
  virtual Result<void> discard() = 0;

  /// Descriptors that the session holds, sorted by token. An incoming one tells those that its
  /// backend can list: the tracker's. (LUO cannot.)
  [[nodiscard]] virtual std::vector<Descriptor> describe() const = 0;
  /// A descriptor of the module's session, for its ioctls: whoever has it preserves and retrieves
  /// by himself, and describe() tells of it. no_such_backend: no module here, or not for this
  /// session; no_such_session: incoming, and the module has nothing of it.
  virtual Result<UniqueFd> open_tracker();
  /// What an adopted session should hold and does not. Nearly always empty.
  struct Loss {
    std::uint64_t token = 0;
    std::string sentence;
  };
  [[nodiscard]] virtual std::vector<Loss> losses() const { return {}; }
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
  Limits limits;  ///< for what is made in the kernel from now on
};

class Backend {
 public:
  virtual ~Backend() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  /// False while what it needs is not there (the module may come and go).
  [[nodiscard]] virtual bool available() const { return true; }
  /// name_taken (in the kernel); busy; io.
  virtual Result<std::unique_ptr<Session>> create(const std::string& name,
                                                  const Limits& limits) = 0;
  Result<std::unique_ptr<Session>> create(const std::string& name) { return create(name, {}); }
  /// A session of the earlier kernel, by name. no_such_session; state_lost; io.
  virtual Result<std::unique_ptr<Session>> retrieve(const std::string& name) = 0;
  /// A session of the manifest, with what came back of it from the fd store. io if the parts do not
  /// make one. An outgoing one without its "s" is made anew if every token's part is there; an
  /// incoming one is retrieved.
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

  /// Does, while workloads run on, what close_tables() would find to do in the blackout: what was
  /// written into holes since it was preserved. Worker thread. io.
  virtual Result<void> rehearse_tables() { return {}; }
  /// Writes what the next kernel needs to find the sessions, last, with every client frozen; until
  /// open_tables() sessions cannot change. Twice does nothing. io, and nothing is closed.
  virtual Result<void> close_tables() { return {}; }
  virtual Result<void> open_tables() { return {}; }
  /// The companion module, if this backend uses it and it is loaded.
  [[nodiscard]] virtual std::optional<Module> module() const { return std::nullopt; }

  /// Sessions that were finished, as far as their owners can tell, and are kept in the kernel until
  /// restore_rest(): only through them can it restore what nobody has touched yet. Nobody else may
  /// have the processors for that before the last client is thawed.
  [[nodiscard]] virtual std::vector<std::string> resting() const { return {}; }
  /// Those that an earlier process of ours left.
  virtual void adopt_resting(const std::vector<std::string>& /*names*/) {}
  /// The last client is thawed: restores in the background, with so many threads, what the resting
  /// sessions and those finished from now on have given out. io: one of them stays.
  virtual Result<void> restore_rest(unsigned /*threads*/) { return {}; }
};

/// Where the real backends find the kernel; tests point it elsewhere.
struct Paths {
  std::string liveupdate = "/dev/liveupdate";
  std::string handover = "/dev/handover";
};

/// no_such_backend names what is missing.
Result<std::unique_ptr<Backend>> make_luo(const Paths& paths);
Result<std::unique_ptr<Backend>> make_emulated();
/// Always there to be asked; available() tells whether the module is.
std::unique_ptr<Backend> make_tracker(const Paths& paths);

}  // namespace handover::backend
