// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/composite.h"

#include <utility>

#include "backend/composite_session.h"

namespace handover::backend {
namespace {

class Composite final : public Backend {
 public:
  Composite(Halves halves, Keeper main) : halves_(std::move(halves)), main_(main) {}

  [[nodiscard]] std::string_view name() const override { return keeper_name(main_); }
  [[nodiscard]] bool available() const override {
    if (main_ == Keeper::luo) return halves_.luo->available();
    return halves_.tracker_allowed && halves_.tracker->available();
  }

  using Backend::create;
  Result<std::unique_ptr<Session>> create(const std::string& name, const Limits& limits) override {
    return upcast(CompositeSession::create(halves_, main_, name, limits));
  }
  Result<std::unique_ptr<Session>> retrieve(const std::string& name) override {
    Adopted adopted;
    adopted.name = name;
    adopted.incoming = true;
    return upcast(CompositeSession::adopt(halves_, main_, std::move(adopted)));
  }
  Result<std::unique_ptr<Session>> adopt(Adopted adopted) override {
    return upcast(CompositeSession::adopt(halves_, main_, std::move(adopted)));
  }

  Result<void> seal(std::string_view text) override { return halves_.luo->seal(text); }
  Result<std::optional<std::string>> unseal() override {
    auto text = halves_.luo->unseal();
    if (!text || *text) return text;
    // The earlier kernel may have had no LUO.
    return halves_.tracker->unseal();
  }
  [[nodiscard]] std::vector<Session::StoredFd> stored_fds() const override {
    return halves_.luo->stored_fds();
  }
  Result<void> adopt_manifest(std::vector<Adopted::Part> parts) override {
    return halves_.luo->adopt_manifest(std::move(parts));
  }

  Result<void> rehearse_tables() override { return halves_.tracker->rehearse_tables(); }
  Result<void> close_tables() override { return halves_.tracker->close_tables(); }
  Result<void> open_tables() override { return halves_.tracker->open_tables(); }
  [[nodiscard]] std::optional<Module> module() const override { return halves_.tracker->module(); }
  [[nodiscard]] std::vector<std::string> resting() const override {
    return halves_.tracker->resting();
  }
  void adopt_resting(const std::vector<std::string>& names) override {
    halves_.tracker->adopt_resting(names);
  }
  Result<void> restore_rest(unsigned threads) override {
    return halves_.tracker->restore_rest(threads);
  }

 private:
  static Result<std::unique_ptr<Session>> upcast(
      Result<std::unique_ptr<CompositeSession>> session) {
    if (!session) return fail(session.error());
    return std::unique_ptr<Session>(std::move(*session));
  }

  Halves halves_;
  Keeper main_;
};

}  // namespace

std::unique_ptr<Backend> make_composite(Halves halves, Keeper main) {
  return std::make_unique<Composite>(std::move(halves), main);
}

}  // namespace handover::backend
