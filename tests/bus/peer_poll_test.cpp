// SPDX-License-Identifier: LGPL-2.1-or-later
// The connections of the private socket: each is served, whatever the others do.
#include "bus/peer_poll.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>

#include "bus/private_socket.h"
#include "event_loop.h"
#include "light_peer.h"
#include "stranger.h"
#include "support/temporary_directory.h"
#include "system/loop.h"

namespace handover::test {
namespace {

using std::chrono::milliseconds;

constexpr bus::PeerPoll::Limits limits{
    .unread = 50, .unread_bytes = 500'000, .look_again_usec = 100'000};
/// sd-bus gives its sockets room for 8 MB (SNDBUF_SIZE, systemd 252); of these, some hundred fit.
const std::string long_text(60'000, 'x');
/// More messages than any socket has room for.
constexpr std::uint32_t many = 500;

std::string echo_bytes(std::uint32_t serial, const std::string& text,
                       const std::string& member = "Echo") {
  return call_bytes(serial, member, "s", wire::Writer().text(text).bytes());
}

class Peers : public testing::Test {
 protected:
  struct Served {
    Peers* test = nullptr;
    bus::BusPtr bus;
    bus::SlotPtr slot;
    std::optional<bus::Unread> unread;
    std::size_t calls = 0;
  };

  void SetUp() override {
    ASSERT_TRUE(poll.open());
    ASSERT_TRUE(socket.listen(path()));
    ASSERT_TRUE(socket.open([this](bus::Peer peer) { serve(std::move(peer)); }));
  }

  void serve(bus::Peer peer) {
    static const std::array<sd_bus_vtable, 4> vtable = {
        {SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Echo", "s", "s", echo, SD_BUS_VTABLE_UNPRIVILEGED),
         SD_BUS_METHOD("LargeEcho", "s", "s", large_echo, SD_BUS_VTABLE_UNPRIVILEGED),
         SD_BUS_VTABLE_END}};
    auto& made = served[next];
    made.test = this;
    sd_bus* bus = nullptr;
    must(sd_bus_new(&bus), "a connection");
    made.bus.reset(bus);
    must(sd_bus_set_fd(bus, peer.socket.get(), peer.socket.get()), "a peer");
    [[maybe_unused]] const int taken = peer.socket.release();
    must(sd_bus_set_server(bus, 1, sd_id128_t{{1}}), "a server");
    must(sd_bus_negotiate_fds(bus, 1), "descriptors");
    must(sd_bus_start(bus), "a peer");
    sd_bus_slot* slot = nullptr;
    must(
        sd_bus_add_object_vtable(bus, &slot, manager_path, manager_interface, vtable.data(), &made),
        "an object");
    made.slot.reset(slot);
    made.unread.emplace(bus);
    ASSERT_TRUE(poll.add(next++, bus, *made.unread));
  }

  static int echo(sd_bus_message* message, void* userdata, sd_bus_error*) {
    auto& served = *static_cast<Served*>(userdata);
    ++served.calls;
    const char* text = nullptr;
    must(sd_bus_message_read(message, "s", &text), "a text");
    return sd_bus_reply_method_return(message, "s", text);
  }

  /// One whose answer is counted.
  static int large_echo(sd_bus_message* message, void* userdata, sd_bus_error* error) {
    static_cast<Served*>(userdata)->unread->add(long_text.size());
    return echo(message, userdata, error);
  }

  void has_ended(std::uint64_t id) {
    ended.push_back(id);
    auto& gone = served.at(id);
    gone.slot.reset();
    served.erase(id);
  }

  [[nodiscard]] std::string path() const { return directory.path("private"); }
  [[nodiscard]] Address address() const { return {"unix:path=" + path(), true}; }
  std::unique_ptr<LightPeer> connect() {
    return std::make_unique<LightPeer>(outer, address(),
                                       LightPeer::Handlers{nullptr, nullptr, [] {}});
  }
  /// Of those that are there, in the order in which they came.
  Served& last() { return served.rbegin()->second; }
  [[nodiscard]] std::uint64_t unread_by(const Served& peer) const {
    std::uint64_t unread = 0;
    must(sd_bus_get_n_queued_write(peer.bus.get(), &unread), "what is unread");
    return unread;
  }

  /// Sends long calls until nothing moves any more; returns how many, of which the last one has not
  /// found room.
  std::uint32_t flood(Stranger& stranger, const std::string& member = "Echo") {
    for (std::uint32_t sent = 1; sent <= many; ++sent) {
      stranger.write(echo_bytes(sent, long_text, member));
      constexpr int tries = 100;
      for (int left = tries; !stranger.write(); --left) {
        if (left == 0) return sent;
        work();
      }
      work();
    }
    return many;
  }

  /// The daemon's loop alone: the peers' side stands still.
  bool turn() { return must(sd_event_run(loop.get(), 0), "sd_event_run") > 0; }
  void work() {
    while (turn()) {
    }
  }
  bool run_until(const std::function<bool()>& done, milliseconds limit = patience) {
    return outer.run_until(
        [&] {
          work();
          return done();
        },
        limit);
  }

  TemporaryDirectory directory;
  EventLoop outer;
  system::Loop loop;
  std::map<std::uint64_t, Served> served;
  std::vector<std::uint64_t> ended;
  std::uint64_t next = 1;
  bus::PeerPoll poll{loop, [this](std::uint64_t id) { has_ended(id); }, limits};
  bus::PrivateSocket socket{loop};
};

TEST_F(Peers, AreAllServed) {
  constexpr std::size_t clients = 30;
  constexpr std::size_t calls = 50;
  std::vector<std::unique_ptr<LightPeer>> peers;
  std::vector<std::vector<std::string>> answers(clients);
  for (std::size_t i = 0; i < clients; ++i) peers.push_back(connect());
  for (std::size_t call = 0; call < calls; ++call) {
    for (std::size_t i = 0; i < clients; ++i) {
      peers[i]->call(manager_path, manager_interface, "Echo", "s",
                     wire::Writer().text(std::to_string(call)).bytes(), [&, i](auto& answer) {
                       answers[i].emplace_back(wire::Reader(answer.message.body).text());
                     });
    }
  }
  EXPECT_TRUE(run_until([&] {
    return std::all_of(answers.begin(), answers.end(),
                       [](const auto& own) { return own.size() == calls; });
  }));
  for (const auto& own : answers) {
    for (std::size_t call = 0; call < calls; ++call) EXPECT_EQ(own[call], std::to_string(call));
  }
}

TEST_F(Peers, AMessageMayComeByteByByte) {
  Stranger stranger(path());
  stranger.greet();
  const auto bytes = echo_bytes(1, "slowly");
  for (const auto byte : bytes) {
    work();
    EXPECT_EQ(last().calls, 0U);
    ASSERT_TRUE(stranger.write(std::string(1, byte)));
  }
  work();
  EXPECT_EQ(last().calls, 1U);
  EXPECT_NE(stranger.read().find("slowly"), std::string::npos);
}

/// Its own callbacks have nothing to do with it.
TEST_F(Peers, GetWhatTheirSocketHadNoRoomFor) {
  std::vector<std::string> got;
  const LightPeer peer(
      outer, address(),
      {nullptr, [&](auto& signal) { got.emplace_back(wire::Reader(signal.message.body).text()); },
       [] {}});
  ASSERT_TRUE(run_until([&] { return !served.empty() && sd_bus_is_ready(last().bus.get()) > 0; }));
  for (std::size_t i = 0; i < many; ++i) {
    must(sd_bus_emit_signal(last().bus.get(), manager_path, manager_interface, "News", "s",
                            (std::to_string(i) + long_text).c_str()),
         "a signal");
  }
  work();
  EXPECT_GT(unread_by(last()), limits.unread) << "all of it found room";
  ASSERT_TRUE(run_until([&] { return got.size() == many; }));
  for (std::size_t i = 0; i < many; ++i) EXPECT_EQ(got[i], std::to_string(i) + long_text);
  EXPECT_EQ(unread_by(last()), 0U);
}

TEST_F(Peers, WhoReadsNothingIsNotRead) {
  Stranger stranger(path());
  stranger.greet();
  const auto sent = flood(stranger);
  EXPECT_LT(sent, many);
  EXPECT_GT(unread_by(last()), limits.unread);
  EXPECT_LE(unread_by(last()), limits.unread + 1);
  EXPECT_LT(last().calls, sent);

  // Others do not notice.
  const auto other = connect();
  bool answered = false;
  other->call(manager_path, manager_interface, "Echo", "s", wire::Writer().text("?").bytes(),
              [&](auto&) { answered = true; });
  EXPECT_TRUE(run_until([&] { return answered; }));

  // As soon as it reads, it goes on.
  auto& peer = served.begin()->second;
  EXPECT_TRUE(run_until([&] {
    while (!stranger.read().empty()) {
    }
    return stranger.write() && peer.calls == sent && unread_by(peer) == 0;
  }));
}

/// A few of its answers may be as large as many messages.
TEST_F(Peers, WhoLeavesLargeAnswersUnreadIsNotRead) {
  Stranger stranger(path());
  stranger.greet();
  const auto sent = flood(stranger, "LargeEcho");
  EXPECT_LT(sent, many);
  const auto most = limits.unread_bytes / long_text.size() + 2;
  EXPECT_GT(unread_by(last()), 0U);
  EXPECT_LE(unread_by(last()), most);
  auto& peer = served.begin()->second;
  EXPECT_TRUE(run_until([&] {
    while (!stranger.read().empty()) {
    }
    return stranger.write() && peer.calls == sent && unread_by(peer) == 0;
  }));
}

/// The end of such a peer is noticed all the same.
TEST_F(Peers, WhoReadsNothingMayLeave) {
  {
    Stranger stranger(path());
    stranger.greet();
    flood(stranger);
    EXPECT_GT(unread_by(last()), limits.unread);
  }
  work();
  EXPECT_EQ(ended, std::vector<std::uint64_t>{1});
  EXPECT_TRUE(served.empty());
}

TEST_F(Peers, AFloodLeavesTheOthersTheirTurn) {
  Stranger greedy(path());
  greedy.greet();
  Stranger other(path());
  other.greet();
  work();
  auto& first = served.at(1);
  auto& second = served.at(2);
  const UniqueFd ready(eventfd(1, EFD_CLOEXEC));
  std::size_t elsewhere = 0;
  sd_event_source* source = nullptr;
  const auto count = [](sd_event_source*, int, std::uint32_t, void* userdata) {
    ++*static_cast<std::size_t*>(userdata);
    return 0;
  };
  must(sd_event_add_io(loop.get(), &source, ready.get(), EPOLLIN, count, &elsewhere), "a source");
  const SourcePtr owned(source);

  std::uint32_t sent = 1;
  while (sent < many && greedy.write(echo_bytes(sent, "flood"))) ++sent;
  ASSERT_GT(sent, 100U);
  while (first.calls == 0) turn();
  ASSERT_TRUE(other.write(echo_bytes(1, "and I")));
  const auto before = first.calls;
  elsewhere = 0;
  while (second.calls == 0) turn();
  constexpr std::size_t few = 40;
  EXPECT_LE(first.calls - before, few);
  const auto until_then = first.calls;
  while (first.calls < 100) turn();
  constexpr std::size_t most_at_once = 8;
  EXPECT_GE(elsewhere, (first.calls - until_then) / most_at_once);
}

TEST_F(Peers, EndOnce) {
  auto peer = connect();
  std::optional<int> failed;
  ASSERT_TRUE(run_until([&] { return !served.empty() && sd_bus_is_ready(last().bus.get()) > 0; }));
  // Who waits for its answer is told before.
  const auto answered = [](sd_bus_message* reply, void* userdata, sd_bus_error*) {
    *static_cast<std::optional<int>*>(userdata) = sd_bus_message_get_errno(reply);
    return 1;
  };
  sd_bus_slot* slot = nullptr;
  must(sd_bus_call_method_async(last().bus.get(), &slot, nullptr, "/c", client_interface, "Freeze",
                                answered, &failed, ""),
       "a call");
  last().slot.reset();
  const bus::SlotPtr owned(slot);
  peer.reset();
  EXPECT_TRUE(run_until([&] { return !ended.empty(); }));
  work();
  EXPECT_EQ(ended, std::vector<std::uint64_t>{1});
  ASSERT_TRUE(failed.has_value());
  EXPECT_NE(*failed, 0);
}

/// sd-bus reports it, and leaves the connection as it is.
TEST_F(Peers, WhoSendsNonsenseIsLeft) {
  Stranger stranger(path());
  stranger.greet();
  work();
  ASSERT_TRUE(stranger.write(std::string(64, 'x')));
  work();
  EXPECT_EQ(ended, std::vector<std::uint64_t>{1});
  pollfd look{stranger.fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&look, 1, 0), 1);
  EXPECT_NE(look.revents & POLLHUP, 0);
}

/// No event tells of a peer that hears no more, but could still speak.
TEST_F(Peers, WhoHearsNoMoreIsLeftAfterAWhile) {
  Stranger stranger(path());
  stranger.greet();
  work();
  must(shutdown(stranger.fd(), SHUT_RD) < 0 ? -errno : 0, "shutdown");
  work();
  EXPECT_TRUE(ended.empty());
  EXPECT_LT(sd_bus_emit_signal(last().bus.get(), manager_path, manager_interface, "News", ""), 0);
  EXPECT_TRUE(run_until([&] { return !ended.empty(); }));
  EXPECT_EQ(ended, std::vector<std::uint64_t>{1});
}

}  // namespace
}  // namespace handover::test
