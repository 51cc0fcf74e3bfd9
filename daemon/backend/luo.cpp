// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/luo.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "backend/luo_manifest.h"

namespace handover::backend {
namespace {

class Luo final : public Backend {
 public:
  Luo(std::shared_ptr<LuoDevice> device, LuoPatience patience)
      : device_(std::move(device)), patience_(patience), manifest_(device_, patience) {}

  [[nodiscard]] std::string_view name() const override { return "luo"; }

  using Backend::create;
  /// The limits are the caller's to keep: nothing goes in but through this object.
  Result<std::unique_ptr<Session>> create(const std::string& name,
                                          const Limits& /*limits*/) override {
    return upcast(LuoSession::create(device_, name, patience_));
  }
  Result<std::unique_ptr<Session>> retrieve(const std::string& name) override {
    return upcast(LuoSession::retrieve(device_, name, patience_));
  }
  Result<std::unique_ptr<Session>> adopt(Adopted adopted) override {
    return upcast(LuoSession::adopt(device_, std::move(adopted), patience_));
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
  static Result<std::unique_ptr<Session>> upcast(Result<std::unique_ptr<LuoSession>> session) {
    if (!session) return fail(session.error());
    return std::unique_ptr<Session>(std::move(*session));
  }

  std::shared_ptr<LuoDevice> device_;
  LuoPatience patience_;
  LuoManifest manifest_;
};

}  // namespace

std::unique_ptr<Backend> make_luo(std::shared_ptr<LuoDevice> device, LuoPatience patience) {
  return std::make_unique<Luo>(std::move(device), patience);
}

Result<std::unique_ptr<Backend>> make_luo(const Paths& paths) {
  struct stat status = {};
  if (::stat(paths.liveupdate.c_str(), &status) < 0) {
    return fail_errno("the luo backend needs " + paths.liveupdate +
                          " (a kernel with CONFIG_LIVEUPDATE, booted with kho=on liveupdate=on)",
                      errno, ErrorCode::no_such_backend);
  }
  if (!S_ISCHR(status.st_mode)) {
    return fail(ErrorCode::no_such_backend, paths.liveupdate + " is no character device");
  }
  return make_luo(open_luo_device(paths.liveupdate));
}

}  // namespace handover::backend
