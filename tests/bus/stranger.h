// SPDX-License-Identifier: LGPL-2.1-or-later
// A direct connection of bytes, which reads what it likes.
#pragma once

#include <cstdint>
#include <string>

#include "core/unique_fd.h"

namespace handover::test {

class Stranger {
 public:
  /// Connects to the socket at `path`. Throws std::system_error.
  explicit Stranger(const std::string& path);

  void greet();
  /// False: the socket does not take all of it; what is left goes first the next time.
  bool write(const std::string& bytes = "");
  /// "": there is nothing, or nobody.
  std::string read();
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  UniqueFd socket_;
  std::string left_;
};

/// A call of the Manager, as it goes over the wire.
std::string call_bytes(std::uint32_t serial, const std::string& member,
                       const std::string& signature, const std::string& body);

}  // namespace handover::test
