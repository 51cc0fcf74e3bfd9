// SPDX-License-Identifier: LGPL-2.1-or-later
// One session of the emulated backend: descriptors kept in this process.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "backend/emulated_kernel.h"

namespace handover::backend {

class EmulatedSession final : public Session {
 public:
  static Result<std::unique_ptr<Session>> create(std::shared_ptr<EmulatedKernel> kernel,
                                                 const std::string& name);
  /// As Backend::adopt().
  static Result<Adoption> adopt(std::shared_ptr<EmulatedKernel> kernel, Adopted& adopted);
  ~EmulatedSession() override;

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] Keeper keeper() const override { return Keeper::emulated; }
  [[nodiscard]] bool incoming() const override { return incoming_; }
  Result<Preserved> preserve(std::uint64_t token, int fd, std::optional<Keeper> only,
                             const std::string& cgroup) override;
  Result<void> unpreserve(std::uint64_t token) override;
  Result<Retrieved> retrieve(std::uint64_t token, const std::string& cgroup) override;
  Result<void> finish() override;
  Result<void> discard() override;
  [[nodiscard]] bool holds(std::uint64_t token) const override;
  [[nodiscard]] std::vector<Descriptor> describe() const override;
  [[nodiscard]] std::optional<UniqueFd> duplicate(std::uint64_t token) const override;
  Result<void> preserve_again(const std::function<Result<void>()>& between) override;
  [[nodiscard]] std::vector<StoredFd> stored_fds() const override;

 private:
  struct Held {
    Descriptor descriptor;
    FileType type;
    UniqueFd fd;
  };

  EmulatedSession(std::shared_ptr<EmulatedKernel> kernel, std::string name, bool incoming)
      : kernel_(std::move(kernel)), name_(std::move(name)), incoming_(incoming) {}
  /// Takes over what came back, and returns what did not. An error leaves `adopted` as it was.
  Result<std::vector<Loss>> take_over(Adopted& adopted);
  void release();
  /// false if the file is preserved already. `fd` stays open while the session holds it.
  [[nodiscard]] bool claim(const Held& held, int fd);

  std::shared_ptr<EmulatedKernel> kernel_;
  std::string name_;
  bool incoming_ = false;
  bool name_claimed_ = false;
  UniqueFd marker_;  ///< a memfd with the name: the session's own descriptor
  std::map<std::uint64_t, Held> held_;
  std::map<std::uint64_t, Loss> lost_;  ///< by token: did not come back
};

}  // namespace handover::backend
