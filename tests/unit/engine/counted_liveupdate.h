// SPDX-License-Identifier: LGPL-2.1-or-later
// A kernel's LUO whose calls count as effects of the daemon's process.
#pragma once

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "../backend/fake_liveupdate.h"
#include "backend/luo_device.h"
#include "machine.h"

namespace handover::engine::test {

class CountedLiveupdate final : public backend::LuoDevice {
 public:
  /// Errnos with which a session cannot be retrieved, by its name.
  using Refused = std::map<std::string, int>;

  CountedLiveupdate(Machine& machine, std::shared_ptr<backend::test::FakeLiveupdate> kernel,
                    const Refused& refused)
      : machine_(machine), kernel_(std::move(kernel)), refused_(refused) {}

  std::shared_ptr<void> hold() override { return kernel_->hold(); }
  backend::KernelResult<void> open() override {
    machine_.effect("luo open");
    return kernel_->open();
  }
  backend::KernelResult<UniqueFd> create_session(const std::string& name) override {
    machine_.effect("luo create_session");
    return kernel_->create_session(name);
  }
  backend::KernelResult<UniqueFd> retrieve_session(const std::string& name) override {
    machine_.effect("luo retrieve_session");
    if (const auto it = refused_.find(name); it != refused_.end()) {
      return tl::unexpected<int>(it->second);
    }
    return kernel_->retrieve_session(name);
  }
  int preserve_fd(int session, std::uint64_t token, int fd) noexcept override {
    if (!machine_.effect_noexcept("luo preserve_fd")) return -EINTR;
    return kernel_->preserve_fd(session, token, fd);
  }
  int retrieve_fd(int session, std::uint64_t token) noexcept override {
    if (!machine_.effect_noexcept("luo retrieve_fd")) return -EINTR;
    return kernel_->retrieve_fd(session, token);
  }
  backend::KernelResult<void> finish(int session) override {
    machine_.effect("luo finish");
    return kernel_->finish(session);
  }
  backend::KernelResult<std::string> session_name(int session) override {
    return kernel_->session_name(session);
  }

 private:
  Machine& machine_;
  std::shared_ptr<backend::test::FakeLiveupdate> kernel_;
  const Refused& refused_;
};

}  // namespace handover::engine::test
