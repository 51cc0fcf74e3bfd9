// SPDX-License-Identifier: LGPL-2.1-or-later
// A backend makes sessions, and takes over sessions that an earlier daemon made. There are luo,
// tracker, emulated, and composite.h, which is the first two in one.
//
// Threads: any thread may call a backend.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/session.h"
#include "core/error.h"
#include "core/part.h"
#include "core/unique_fd.h"
#include "core/words.h"

namespace handover::backend {

/// What a session may hold, for a keeper that can enforce it. 0: no limit.
struct Limits {
  std::uint64_t bytes = 0;
  std::uint32_t descriptors = 0;
};

/// A session of the manifest, with what came back of it from the fd store or over a re-exec.
struct Adopted {
  struct Part {
    handover::Part part;
    UniqueFd fd;
  };
  std::string name;
  Keeper keeper = Keeper::luo;     ///< Session::keeper()
  bool incoming = false;           ///< as recorded; Session::incoming() says what the kernel says
  std::vector<Descriptor> tokens;  ///< what the manifest says it holds
  std::vector<Part> parts;
  bool luo_opened = false;  ///< its owner has had open_luo()'s descriptor
  Limits limits;            ///< of kernel sessions that are made for it from now on
};

struct Adoption {
  std::unique_ptr<Session> session;
  std::vector<Loss> losses;
  /// By token, of an incoming session: descriptors that an earlier daemon retrieved and that will
  /// not be given again (Session::Retrieved::once). Keep them until the session is finished.
  std::map<std::uint64_t, UniqueFd> given;
  bool unexpected = false;  ///< it holds tokens that nobody has on record
};

class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  /// False while something that sessions of `keeper` need is not there (the module can be
  /// unloaded).
  [[nodiscard]] virtual bool available(Keeper keeper) const = 0;
  /// Makes a session that prefers `keeper`. Errors: name_taken (in the kernel); busy; io. Waits for
  /// some seconds for another process that has the kernel's device open.
  virtual Result<std::unique_ptr<Session>> create(const std::string& name, Keeper keeper,
                                                  const Limits& limits) = 0;
  /// Takes a session over. Never waits. An error leaves `adopted` as it was: if it is passing, try
  /// again; any other error means that the session is lost. After success, `adopted.parts` still
  /// has the descriptors that were not needed. An outgoing session whose own descriptor is missing
  /// is made anew from the descriptors that came back; an incoming one is retrieved by its name. If
  /// only a part of the session can be reached now, the session is not whole().
  virtual Result<Adoption> adopt(Adopted& adopted) = 0;
  /// Keeps the kernel's device open while the result lives, for many calls in a row. No other
  /// process can open it meanwhile. The result may be null.
  virtual std::shared_ptr<void> hold() { return nullptr; }
};

}  // namespace handover::backend
