// SPDX-License-Identifier: LGPL-2.1-or-later
// The service manager's end of NOTIFY_SOCKET (sd_notify(3)).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/unique_fd.h"

namespace handover::test {

class NotifySocket {
 public:
  /// Listens at `path`, which must not be there yet. Throws std::system_error.
  explicit NotifySocket(const std::string& path);

  struct Notification {
    std::string text;           ///< "NAME=value" lines
    std::vector<UniqueFd> fds;  ///< of a BARRIER=1 too, which is answered by closing it
  };
  /// The next one that was sent, without waiting.
  std::optional<Notification> receive();

  /// Readable when there is one to receive.
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  UniqueFd socket_;
};

}  // namespace handover::test
