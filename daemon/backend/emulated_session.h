// SPDX-License-Identifier: LGPL-2.1-or-later
// One session of the emulated backend: descriptors kept in this process.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/emulated_kernel.h"

namespace handover::backend {

class EmulatedSession final : public Session {
 public:
  static Result<std::unique_ptr<EmulatedSession>> create(std::shared_ptr<EmulatedKernel> kernel,
                                                         const std::string& name);
  static Result<std::unique_ptr<EmulatedSession>> adopt(std::shared_ptr<EmulatedKernel> kernel,
                                                        Adopted adopted);
  ~EmulatedSession() override;

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::string_view backend() const override { return "emulated"; }
  [[nodiscard]] bool incoming() const override { return incoming_; }
  Result<Descriptor> preserve(std::uint64_t token, int fd) override;
  Result<void> unpreserve(std::uint64_t token) override;
  Result<UniqueFd> retrieve(std::uint64_t token) override;
  Result<void> finish() override;
  Result<void> discard() override;
  [[nodiscard]] std::vector<Descriptor> describe() const override;
  [[nodiscard]] std::optional<UniqueFd> duplicate(std::uint64_t token) const override;
  Result<void> preserve_again(const std::function<Result<void>()>& between) override;
  [[nodiscard]] std::vector<StoredFd> stored_fds() const override;

 private:
  /// `fd` is empty if it did not come back.
  struct Held {
    Descriptor descriptor;
    FileType type;
    UniqueFd fd;
    bool retrieved = false;
  };

  EmulatedSession(std::shared_ptr<EmulatedKernel> kernel, std::string name, bool incoming)
      : kernel_(std::move(kernel)), name_(std::move(name)), incoming_(incoming) {}
  void release();

  std::shared_ptr<EmulatedKernel> kernel_;
  std::string name_;
  bool incoming_ = false;
  bool finished_ = false;
  bool discarded_ = false;
  UniqueFd marker_;  ///< a memfd with the name: part "s"
  std::map<std::uint64_t, Held> held_;
};

}  // namespace handover::backend
