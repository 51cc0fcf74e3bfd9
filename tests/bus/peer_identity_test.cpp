// SPDX-License-Identifier: LGPL-2.1-or-later
// Who is behind a connection of the private socket, where the daemon is short of descriptors.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <vector>

#include "bus/private_socket.h"
#include "daemon_side.h"
#include "support/sanitized.h"

namespace handover::test {
namespace {

/// As long as it lives one more descriptor can be opened, and no second one.
class OneDescriptorLeft {
 public:
  OneDescriptorLeft() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const UniqueFd next(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
    auto limit = before_;
    limit.rlim_cur = static_cast<rlim_t>(next.get()) + 1;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  ~OneDescriptorLeft() { setrlimit(RLIMIT_NOFILE, &before_); }
  OneDescriptorLeft(const OneDescriptorLeft&) = delete;
  OneDescriptorLeft& operator=(const OneDescriptorLeft&) = delete;

 private:
  rlimit before_{};
};

class PeerIdentity : public testing::Test {
 protected:
  PeerIdentity() {
    EXPECT_TRUE(socket.listen(path));
    EXPECT_TRUE(socket.open([this](bus::Peer peer) { peers.push_back(std::move(peer)); }));
  }
  [[nodiscard]] UniqueFd connect_to_it() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }

  DaemonSide side;
  TemporaryDirectory directory;
  const std::string path = directory.path("private");
  bus::PrivateSocket socket{side.loop()};
  std::vector<bus::Peer> peers;
};

TEST_F(PeerIdentity, IsFoundOutOnTheNextConnectionIfItCannotBeNow) {
  if (sanitized) GTEST_SKIP() << "the sanitizer needs descriptors itself";
  bool warm = false;  // what the loop needs for its timers is there
  const auto timer = side.loop().after(1, [&] { warm = true; });
  ASSERT_TRUE(side.run_until([&] { return warm; }));
  const auto first = connect_to_it();
  {
    const OneDescriptorLeft short_of_them;
    const auto closed = [&] {
      char byte = 0;
      return recv(first.get(), &byte, 1, MSG_DONTWAIT) == 0 || !peers.empty();
    };
    ASSERT_TRUE(side.run_until(closed));
    EXPECT_TRUE(peers.empty());
  }
  peers.clear();
  const auto second = connect_to_it();
  ASSERT_TRUE(side.run_until([&] { return !peers.empty(); }));
  EXPECT_TRUE(peers[0].caller) << peers[0].caller.error().message;
}

}  // namespace
}  // namespace handover::test
