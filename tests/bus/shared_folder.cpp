// SPDX-License-Identifier: LGPL-2.1-or-later
// The device is virtio-9p-pci as specified in "Virtual I/O Device (VIRTIO)", 4.1.4.8 (legacy
// interface) and 2.7 (split queues); the protocol is 9P2000.L (diod's protocol.md); qtest's
// commands are described in QEMU's softmmu/qtest.c.
#include "shared_folder.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace handover::test {
namespace {

constexpr std::uint32_t virtio_9p = 0x10091af4;
constexpr unsigned slots = 32;
// The device's registers.
constexpr std::uint32_t guest_features = 4;
constexpr std::uint32_t queue_page = 8;
constexpr std::uint32_t queue_length = 12;
constexpr std::uint32_t queue_select = 14;
constexpr std::uint32_t queue_notify = 16;
constexpr std::uint32_t device_status = 18;
constexpr std::uint32_t driver_found = 3;  // ACKNOWLEDGE and DRIVER
constexpr std::uint32_t driver_ok = 7;
// In the guest's memory, above what the firmware uses.
constexpr std::uint32_t page = 4096;
constexpr std::uint32_t queue = 16 << 20;
constexpr std::uint32_t request = queue + (1 << 20);
constexpr std::uint32_t answer = request + page;
constexpr std::uint16_t next_flag = 1;
constexpr std::uint16_t write_flag = 2;
// Messages.
constexpr std::uint8_t version_type = 100;
constexpr std::uint8_t attach_type = 104;
constexpr std::uint8_t clunk_type = 120;
constexpr std::uint32_t no_fid = ~UINT32_C(0);
constexpr std::size_t header_bytes = 7;

void put(std::vector<std::uint8_t>& bytes, std::uint64_t value, unsigned size) {
  for (unsigned i = 0; i < size; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

void put(std::vector<std::uint8_t>& bytes, const std::string& text) {
  put(bytes, text.size(), 2);
  bytes.insert(bytes.end(), text.begin(), text.end());
}

std::string hex(std::uint64_t value) {
  char text[2 + 16 + 1];
  std::snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

SharedFolder::SharedFolder(const std::string& qtest)
    : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, qtest.c_str(), sizeof(address.sun_path) - 1);
  timeval patience = {60, 0};
  setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  if (connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
    throw std::runtime_error("cannot connect to " + qtest);
  }
}

std::string SharedFolder::ask(const std::string& line) {
  const auto sent = line + "\n";
  if (send(socket_.get(), sent.data(), sent.size(), MSG_NOSIGNAL) < 0) {
    throw std::runtime_error("qtest does not listen");
  }
  for (;;) {
    const auto end = input_.find('\n');
    if (end == std::string::npos) {
      char buffer[8192];
      const auto n = recv(socket_.get(), buffer, sizeof(buffer), 0);
      if (n <= 0) throw std::runtime_error("qtest is silent");
      input_.append(buffer, static_cast<std::size_t>(n));
      continue;
    }
    const auto said = input_.substr(0, end);
    input_.erase(0, end + 1);
    if (said.rfind("IRQ", 0) == 0) continue;
    if (said.rfind("OK", 0) != 0) throw std::runtime_error(line + ": " + said);
    return said.size() > 3 ? said.substr(3) : "";
  }
}

std::uint32_t SharedFolder::number(const std::string& line) {
  return static_cast<std::uint32_t>(std::stoul(ask(line), nullptr, 16));
}

void SharedFolder::out(char width, std::uint32_t port, std::uint32_t value) {
  ask(std::string("out") + width + " " + hex(port) + " " + hex(value));
}

std::uint32_t SharedFolder::pci(unsigned slot, unsigned offset) {
  out('l', 0xcf8, UINT32_C(1) << 31 | slot << 11 | offset);
  return number("inl 0xcfc");
}

void SharedFolder::write(std::uint32_t address, const Bytes& bytes) {
  std::string text = "0x";
  for (const auto byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    text += digits;
  }
  ask("write " + hex(address) + " " + hex(bytes.size()) + " " + text);
}

SharedFolder::Bytes SharedFolder::read(std::uint32_t address, std::size_t count) {
  const auto text = ask("read " + hex(address) + " " + hex(count));
  Bytes bytes;
  for (std::size_t at = 2; at + 1 < text.size(); at += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(text.substr(at, 2), nullptr, 16)));
  }
  if (bytes.size() != count) throw std::runtime_error("qtest reads too little");
  return bytes;
}

void SharedFolder::open_device() {
  unsigned slot = 0;
  while (slot < slots && pci(slot, 0) != virtio_9p) ++slot;
  if (slot == slots) throw std::runtime_error("there is no 9p device");
  port_ = pci(slot, 0x10) & ~UINT32_C(3);
  if (port_ == 0) throw std::runtime_error("the firmware has not set up the 9p device yet");
  out('b', port_ + device_status, 0);
  out('b', port_ + device_status, driver_found);
  out('l', port_ + guest_features, 0);
  out('w', port_ + queue_select, 0);
  length_ = static_cast<std::uint16_t>(number("inw " + hex(port_ + queue_length)));
  out('l', port_ + queue_page, queue / page);
  out('b', port_ + device_status, driver_ok);
  const std::uint32_t available_end = queue + 16U * length_ + 6 + 2U * length_;
  used_ = (available_end + page - 1) / page * page;
}

void SharedFolder::call(std::uint8_t type, const Bytes& body) {
  Bytes message;
  put(message, header_bytes + body.size(), 4);
  put(message, type, 1);
  put(message, type == version_type ? 0xffff : 1, 2);
  message.insert(message.end(), body.begin(), body.end());
  write(request, message);

  Bytes descriptors;
  put(descriptors, request, 8);
  put(descriptors, message.size(), 4);
  put(descriptors, next_flag, 2);
  put(descriptors, 1, 2);
  put(descriptors, answer, 8);
  put(descriptors, page, 4);
  put(descriptors, write_flag, 2);
  put(descriptors, 0, 2);
  write(queue, descriptors);

  const std::uint32_t available = queue + 16U * length_;
  write(available + 4 + 2U * (calls_ % length_), {0, 0});
  ++calls_;
  Bytes index;
  put(index, calls_, 2);
  write(available + 2, index);
  out('w', port_ + queue_notify, 0);
  for (int wait = 0; read(used_ + 2, 2) != index; ++wait) {
    if (wait == 3000) throw std::runtime_error("the 9p device does not answer");
    poll(nullptr, 0, 10);
  }
  const auto said = read(answer, header_bytes).at(4);
  if (said != type + 1) throw std::runtime_error("9p answers by " + std::to_string(said));
}

void SharedFolder::mount() {
  open_device();
  Bytes version;
  put(version, 8192, 4);
  put(version, "9P2000.L");
  call(version_type, version);
  Bytes attach;
  put(attach, 0, 4);  // fid
  put(attach, no_fid, 4);
  put(attach, "root");
  put(attach, "");
  put(attach, 0, 4);
  call(attach_type, attach);
}

void SharedFolder::unmount() {
  Bytes clunk;
  put(clunk, 0, 4);
  call(clunk_type, clunk);
}

}  // namespace handover::test
