// SPDX-License-Identifier: LGPL-2.1-or-later
// A guest's QEMU as a child process with its monitor.
#pragma once

#include <sys/types.h>

#include <handover/handover.hpp>
#include <memory>
#include <string>

#include "description.h"
#include "guard.h"
#include "migration.h"
#include "program_file.h"

namespace handover::vmm {

/// Where that program is. Looked up as execvp() does.
client::Result<std::string> find_program(const std::string& program);

class Qemu {
 public:
  enum class Begin { fresh, incoming };

  /// Returns once its monitor answers. `ram` stays the caller's. `identity`: as whom it runs; null:
  /// as us.
  static client::Result<Qemu> start(const Description& description, int ram, Begin begin,
                                    const Limits& limits,
                                    const common::Identity* identity = nullptr);
  Qemu(Qemu&& other) noexcept;
  Qemu& operator=(Qemu&&) = delete;
  /// Kills it if it still runs.
  ~Qemu();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] Version version() const { return version_; }
  Monitor& monitor() { return monitor_; }
  [[nodiscard]] Peer peer() { return {monitor_, version_, command_usec_}; }
  /// The program that it runs, whatever its name leads to by now; once. `identity`: as in start().
  client::Result<client::Fd> take_program(const common::Identity* identity);
  /// Somebody else has waited for it.
  void has_ended() { pid_ = 0; }

 private:
  Qemu(pid_t pid, Guard guard, client::Fd socket, std::uint64_t command_usec)
      : pid_(pid),
        guard_(std::move(guard)),
        monitor_(std::move(socket)),
        command_usec_(command_usec) {}

  pid_t pid_;                 ///< 0: none, or not ours any more
  client::Fd first_program_;  ///< none: look at the process
  Guard guard_;
  Monitor monitor_;
  Version version_;
  std::uint64_t command_usec_;
};

}  // namespace handover::vmm
