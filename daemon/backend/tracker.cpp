// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/tracker.h"

#include <cerrno>
#include <utility>

#include "backend/tracker_manifest.h"
#include "backend/tracker_refusal.h"
#include "backend/tracker_rest.h"
#include "backend/tracker_session.h"

namespace handover::backend {
namespace {

class Tracker final : public Backend {
 public:
  explicit Tracker(std::shared_ptr<TrackerDevice> device)
      : device_(std::move(device)),
        rest_(std::make_shared<TrackerRest>(device_)),
        manifest_(device_) {}

  [[nodiscard]] std::string_view name() const override { return "tracker"; }
  [[nodiscard]] bool available() const override { return module().has_value(); }

  using Backend::create;
  Result<std::unique_ptr<Session>> create(const std::string& name, const Limits& limits) override {
    return upcast(TrackerSession::create(device_, rest_, name, limits));
  }
  Result<std::unique_ptr<Session>> retrieve(const std::string& name) override {
    Adopted adopted;
    adopted.name = name;
    auto session = TrackerSession::adopt(device_, rest_, std::move(adopted));
    if (session && !(*session)->incoming()) {
      return fail(ErrorCode::no_such_session,
                  "the earlier kernel left no session \"" + name + "\" here", ENOENT);
    }
    return upcast(std::move(session));
  }
  Result<std::unique_ptr<Session>> adopt(Adopted adopted) override {
    return upcast(TrackerSession::adopt(device_, rest_, std::move(adopted)));
  }

  Result<void> seal(std::string_view text) override { return manifest_.seal(text); }
  Result<std::optional<std::string>> unseal() override { return manifest_.unseal(); }
  [[nodiscard]] std::vector<Session::StoredFd> stored_fds() const override { return {}; }
  Result<void> adopt_manifest(std::vector<Adopted::Part> /*parts*/) override {
    // Nothing of it is ever stored: what came back is another backend's.
    return fail(ErrorCode::io, "the companion module keeps the manifest by its name");
  }

  Result<void> rehearse_tables() override {
    const auto sealed = device_->seal();
    if (!sealed && sealed.error() == ENODEV) return {};
    if (!sealed) return told("seal the tables of", sealed);
    return open_tables();
  }
  Result<void> close_tables() override {
    if (auto room = manifest_.make_room(); !room) return room;
    const auto sealed = device_->seal();
    // Without the module there are no tables: it cannot be unloaded while it holds anything.
    if (!sealed && sealed.error() == ENODEV) return {};
    return told("seal the tables of", sealed);
  }
  Result<void> open_tables() override {
    const auto opened = device_->unseal();
    if (!opened && opened.error() == ENODEV) return {};
    return told("unseal the tables of", opened);
  }
  [[nodiscard]] std::optional<Module> module() const override {
    const auto info = device_->info();
    if (!info) return std::nullopt;
    return Module{info->abi, info->format, info->kho, info->lost};
  }

  [[nodiscard]] std::vector<std::string> resting() const override { return rest_->names(); }
  void adopt_resting(const std::vector<std::string>& names) override { rest_->adopt(names); }
  Result<void> restore_rest(unsigned threads) override { return rest_->restore(threads); }

 private:
  static Result<std::unique_ptr<Session>> upcast(Result<std::unique_ptr<TrackerSession>> session) {
    if (!session) return fail(session.error());
    return std::unique_ptr<Session>(std::move(*session));
  }

  static Result<void> told(const std::string& what, const KernelResult<void>& done) {
    if (done) return {};
    return fail(tracker_error(what, "", done.error()));
  }

  std::shared_ptr<TrackerDevice> device_;
  std::shared_ptr<TrackerRest> rest_;
  TrackerManifest manifest_;
};

}  // namespace

std::unique_ptr<Backend> make_tracker(std::shared_ptr<TrackerDevice> device) {
  return std::make_unique<Tracker>(std::move(device));
}

std::unique_ptr<Backend> make_tracker(const Paths& paths) {
  return make_tracker(open_tracker_device(paths.handover));
}

}  // namespace handover::backend
