// SPDX-License-Identifier: LGPL-2.1-or-later
// A 9p share (-virtfs) as the driver in a guest uses it, played to a real QEMU over its test
// protocol (-qtest): what a guest's kernel would do to QEMU's device, without that kernel.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/unique_fd.h"

namespace handover::test {

/// Throws std::runtime_error, whatever goes wrong. The guest must have 32 MiB, and a firmware that
/// has set up its devices.
class SharedFolder {
 public:
  /// `qtest`: path of the socket.
  explicit SharedFolder(const std::string& qtest);

  void mount();
  void unmount();

 private:
  using Bytes = std::vector<std::uint8_t>;

  /// A line of the protocol: what follows "OK ".
  std::string ask(const std::string& line);
  std::uint32_t number(const std::string& line);
  void out(char width, std::uint32_t port, std::uint32_t value);
  std::uint32_t pci(unsigned slot, unsigned offset);
  void write(std::uint32_t address, const Bytes& bytes);
  Bytes read(std::uint32_t address, std::size_t count);
  /// Finds the device, and gives it a queue.
  void open_device();
  /// A message of 9P2000.L; the type of the answer has to be one more.
  void call(std::uint8_t type, const Bytes& body);

  UniqueFd socket_;
  std::string input_;
  std::uint32_t port_ = 0;    ///< of the device's registers
  std::uint32_t used_ = 0;    ///< address of the queue's used ring
  std::uint16_t calls_ = 0;   ///< so far
  std::uint16_t length_ = 0;  ///< of the queue
};

}  // namespace handover::test
