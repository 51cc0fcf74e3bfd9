// SPDX-License-Identifier: LGPL-2.1-or-later
// The emulated backend: keeps descriptors through a re-exec of the daemon in place of a kexec.
//
// It needs nothing of the kernel and refuses what LUO would refuse, so that a client meets the same
// errors. Nothing here outlives the process by itself: stored_fds() are passed on by the re-exec
// (or kept by the fd store) and come back through adopt() and adopt_manifest().
#include <cerrno>
#include <utility>

#include "backend/backend.h"
#include "backend/emulated_kernel.h"
#include "backend/emulated_manifest.h"
#include "backend/emulated_session.h"

namespace handover::backend {
namespace {

class Emulated final : public Backend {
 public:
  [[nodiscard]] std::string_view name() const override { return "emulated"; }

  using Backend::create;
  /// The limits are the caller's to keep: nothing goes in but through this object.
  Result<std::unique_ptr<Session>> create(const std::string& name,
                                          const Limits& /*limits*/) override {
    return upcast(EmulatedSession::create(kernel_, name));
  }
  Result<std::unique_ptr<Session>> retrieve(const std::string& name) override {
    // No kernel keeps anything for us: what survives a re-exec is adopted.
    return fail(ErrorCode::no_such_session,
                "session \"" + name + "\" did not come back with the re-exec", ENOENT);
  }
  Result<std::unique_ptr<Session>> adopt(Adopted adopted) override {
    return upcast(EmulatedSession::adopt(kernel_, std::move(adopted)));
  }

  Result<void> seal(std::string_view text) override { return manifest_.seal(text); }
  Result<std::optional<std::string>> unseal() override { return manifest_.unseal(); }
  [[nodiscard]] std::vector<Session::StoredFd> stored_fds() const override {
    return manifest_.stored_fds();
  }
  Result<void> adopt_manifest(std::vector<Adopted::Part> parts) override {
    return manifest_.adopt(std::move(parts));
  }

 private:
  static Result<std::unique_ptr<Session>> upcast(Result<std::unique_ptr<EmulatedSession>> session) {
    if (!session) return fail(session.error());
    return std::unique_ptr<Session>(std::move(*session));
  }

  std::shared_ptr<EmulatedKernel> kernel_ = std::make_shared<EmulatedKernel>();
  EmulatedManifest manifest_;
};

}  // namespace

Result<std::unique_ptr<Backend>> make_emulated() { return std::make_unique<Emulated>(); }

}  // namespace handover::backend
