// SPDX-License-Identifier: LGPL-2.1-or-later
// The lock's client over real HTTP: a FleetLock server that behaves and misbehaves, and TLS.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "fleet/lock.h"
#include "fleet/pause.h"
#include "server_process.h"

namespace handover::test {
namespace {

using fleet::Claim;
using Kind = fleet::LockOutcome::Kind;

const Claim mine{"me", "host-a", 1, "t"};
const Claim yours{"you", "host-b", 1, "t"};

class FleetLockOverHttp : public testing::Test {
 protected:
  explicit FleetLockOverHttp(const char* scheme = "http") : server(scheme) {
    lock.kind = fleet::LockKind::fleetlock;
    lock.group = "web";
    lock.access.proxy = "none";
    lock.access.timeout_usec = 1'000'000;
  }
  void start() {
    server.start();
    lock.urls = {server.url()};
  }
  fleet::LockOutcome take(const Claim& claim = mine) {
    const auto http = fleet::make_http_server(lock.access, given_up);
    return fleet::LockClient(lock, *http, given_up).take(claim);
  }
  fleet::LockOutcome give_back(const Claim& claim = mine) {
    const auto http = fleet::make_http_server(lock.access, given_up);
    return fleet::LockClient(lock, *http, given_up).give_back(claim);
  }

  FleetLockServer server;
  fleet::Lock lock;
  std::atomic<bool> given_up = false;
};

TEST_F(FleetLockOverHttp, TakesRecursivelyAndGivesBack) {
  start();
  EXPECT_TRUE(take().held());
  EXPECT_TRUE(take().held());
  EXPECT_EQ(server.holder("web"), "me");
  const auto refused = take(yours);
  EXPECT_EQ(refused.kind, Kind::refused);
  EXPECT_EQ(refused.message, "The lock's server " + server.url() +
                                 " refused /v1/pre-reboot with HTTP status 409 (failed_lock): the "
                                 "slot of web is held by me.");
  EXPECT_EQ(give_back().kind, Kind::free);
  EXPECT_EQ(give_back().kind, Kind::free);
  EXPECT_EQ(server.holder("web"), "");
  for (const auto& request : server.requests()) EXPECT_EQ(request["protocol"], "true");
}

TEST_F(FleetLockOverHttp, WaitsForASlot) {
  start();
  ASSERT_TRUE(take(yours).held());
  lock.wait_usec = 20'000'000;
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    EXPECT_EQ(give_back(yours).kind, Kind::free);
  });
  EXPECT_TRUE(take().held());
  other.join();
}

TEST_F(FleetLockOverHttp, EachError) {
  start();
  server.behave({{"status", 500}, {"body", R"({"kind": "internal", "value": "oops"})"}});
  EXPECT_EQ(take().kind, Kind::uncertain);
  EXPECT_NE(take().message.find("HTTP status 500 (internal): oops."), std::string::npos);
  server.behave({{"status", 404}, {"body", "<html>"}});
  EXPECT_EQ(take().kind, Kind::uncertain);
  // It does what was asked, and nobody hears of it.
  server.behave({{"drop", true}});
  EXPECT_EQ(take().kind, Kind::uncertain);
  EXPECT_EQ(server.holder("web"), "me");
}

TEST_F(FleetLockOverHttp, SlowAndGone) {
  start();
  server.behave({{"delay", 30}});
  const auto began = fleet::now_usec();
  const auto slow = take();
  EXPECT_EQ(slow.kind, Kind::uncertain);
  EXPECT_NE(slow.message.find("timed out"), std::string::npos) << slow.message;
  EXPECT_LT(fleet::now_usec() - began, 20'000'000U);
  // Nobody wants to know any more.
  lock.access.timeout_usec = 60'000'000;
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    given_up = true;
  });
  EXPECT_EQ(take().kind, Kind::uncertain);
  stopper.join();
  given_up = false;
  EXPECT_LT(fleet::now_usec() - began, 40'000'000U);
  server.stop();
  const auto gone = take();
  EXPECT_EQ(gone.kind, Kind::untouched);
  EXPECT_NE(gone.message.find("gave no answer"), std::string::npos) << gone.message;
}

/// On a connection that was kept, curl sends once more by itself, and then finds nobody.
TEST_F(FleetLockOverHttp, AServerThatDiesWithOurRequestMayHaveCarriedItOut) {
  start();
  server.behave({{"keep", true}});
  const auto http = fleet::make_http_server(lock.access, given_up);
  fleet::LockClient client(lock, *http, given_up);
  ASSERT_EQ(client.give_back(mine).kind, Kind::free);
  server.behave({{"die", true}});
  const auto outcome = client.take(mine);
  EXPECT_EQ(server.holder("web"), "me");
  EXPECT_EQ(outcome.kind, Kind::uncertain) << outcome.message;
  EXPECT_EQ(server.requests().size(), 2U);
}

TEST_F(FleetLockOverHttp, BearerTokenFromAFile) {
  start();
  lock.access.token_file = server.directory().write("token", "s3cret\n");
  EXPECT_TRUE(take().held());
  EXPECT_EQ(server.requests().back()["authorization"], "Bearer s3cret");
  lock.access.token_file = server.directory().path("nothing");
  const auto unreadable = take();
  EXPECT_EQ(unreadable.kind, Kind::untouched);
  EXPECT_NE(unreadable.message.find("Cannot open"), std::string::npos) << unreadable.message;
  lock.access.token_file = server.directory().write("token", "a\r\nHost: b");
  EXPECT_EQ(take().kind, Kind::untouched);
}

class FleetLockOverTls : public FleetLockOverHttp {
 protected:
  FleetLockOverTls() : FleetLockOverHttp("https") {}

  [[nodiscard]] std::string in(const char* name) const { return server.directory().path(name); }
  void openssl(const std::string& arguments) const {
    const auto command = "cd '" + in("") + "' && openssl " + arguments + " 2>>openssl.log";
    ASSERT_EQ(system(command.c_str()), 0) << text_of(in("openssl.log"));
  }
  void make_ca(const std::string& name) const {
    openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout " + name +
            ".key -out " + name + ".crt -subj /CN=" + name +
            " -addext basicConstraints=critical,CA:TRUE");
  }
  void make_certificate(const std::string& name, const std::string& ca) const {
    (void)server.directory().write("ext", "subjectAltName=IP:127.0.0.1");
    openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout " + name +
            ".key -out " + name + ".csr -subj /CN=" + name);
    openssl("x509 -req -days 2 -in " + name + ".csr -CA " + ca + ".crt -CAkey " + ca +
            ".key -CAcreateserial -extfile ext -out " + name + ".crt");
  }
};

TEST_F(FleetLockOverTls, ServerAndClientShowWhoTheyAre) {
  make_ca("ca");
  make_ca("clients");
  make_certificate("server", "ca");
  make_certificate("client", "clients");
  make_certificate("stranger", "ca");
  start();
  // The system's authorities do not know it.
  const auto unknown = take();
  EXPECT_EQ(unknown.kind, Kind::untouched);
  EXPECT_NE(unknown.message.find("certificate"), std::string::npos) << unknown.message;
  lock.access.ca = in("ca.crt");
  EXPECT_FALSE(take().held()) << "without a certificate of its own";
  lock.access.certificate = in("stranger.crt");
  lock.access.key = in("stranger.key");
  EXPECT_FALSE(take().held()) << "with one of another authority";
  lock.access.certificate = in("client.crt");
  EXPECT_FALSE(take().held()) << "with a key that does not belong to it";
  EXPECT_EQ(server.holder("web"), "");
  lock.access.key = in("client.key");
  const auto held = take();
  EXPECT_TRUE(held.held()) << held.message;
  EXPECT_EQ(server.holder("web"), "me");
}

}  // namespace
}  // namespace handover::test
