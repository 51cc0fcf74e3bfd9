// SPDX-License-Identifier: LGPL-2.1-or-later
// A D-Bus connection that costs a test a few microseconds a message, so that a thousand of them
// leave the CPU to the daemon.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "connection.h"
#include "core/unique_fd.h"
#include "event_loop.h"
#include "wire.h"

namespace handover::test {

class LightPeer {
 public:
  /// What came, with the descriptors that came with it.
  struct Received {
    wire::Message message;
    std::vector<UniqueFd> fds;

    [[nodiscard]] bool ok() const { return message.type == wire::Message::Type::method_return; }
    /// An error's sentence.
    [[nodiscard]] std::string sentence() const;
  };
  using Answered = std::function<void(Received&)>;
  struct Handlers {
    std::function<void(Received&)> called;  ///< a method call
    std::function<void(Received&)> signalled;
    std::function<void()> lost;  ///< by the other side; the last word of this peer
  };

  /// Connects; what is sent before the other side has agreed goes out when it has. A handler may
  /// destroy the peer. Throws std::system_error.
  LightPeer(EventLoop& loop, const Address& address, Handlers handlers);
  ~LightPeer();
  LightPeer(const LightPeer&) = delete;
  LightPeer& operator=(const LightPeer&) = delete;

  /// org.handover1's, or the bus's own by its interface. Waits while the other side does not read.
  void call(const std::string& path, const std::string& interface, const std::string& member,
            const std::string& signature, const std::string& body, Answered answered, int fd = -1);
  void reply(const wire::Message& to, const std::string& signature = "",
             const std::string& body = "", int fd = -1);
  void reply_error(const wire::Message& to, const std::string& name, const std::string& sentence);
  /// Signals that match come to Handlers::signalled.
  void match(const std::string& rule);

 private:
  struct Waiting {
    std::string bytes;
    UniqueFd fd;
  };

  void send(wire::Message message, int fd);
  void write(const std::string& bytes, int fd);
  void on_readable();
  bool take_greeting();
  void take_messages();
  void dispatch(Received& received);

  Address address_;
  Handlers handlers_;
  UniqueFd socket_;
  SourcePtr source_;
  std::string input_;
  std::deque<UniqueFd> fds_;
  bool agreed_ = false;
  std::vector<Waiting> waiting_;  ///< until the other side has agreed
  std::uint32_t serial_ = 0;
  std::unordered_map<std::uint32_t, Answered> calls_;
  bool* destroyed_ = nullptr;  ///< while a handler runs
};

}  // namespace handover::test
