// SPDX-License-Identifier: LGPL-2.1-or-later
// The socket of socket_group: its members register early, and may do nothing else.
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <system_error>

#include "host.h"
#include "memory.h"

namespace handover::test {
namespace {

constexpr int somebody_uid = 1;
constexpr int another_uid = 2;

/// The one group in the file's access control list.
gid_t admitted(const std::string& path) {
  std::array<char, 256> list{};
  const auto size = getxattr(path.c_str(), "system.posix_acl_access", list.data(), list.size());
  posix_acl_xattr_entry entry{};
  for (std::size_t at = sizeof(posix_acl_xattr_header);
       size > 0 && at + sizeof entry <= static_cast<std::size_t>(size); at += sizeof entry) {
    std::memcpy(&entry, list.data() + at, sizeof entry);
    if (entry.e_tag == ACL_GROUP) return entry.e_id;
  }
  return static_cast<gid_t>(-1);
}

struct stat status_of(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
  return status;
}

class GroupSocket : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can connect as other users";
  }

  void boot(const std::string& group) {
    host = std::make_unique<Host>(nlohmann::json{{"socket_group", group}});
    host->boot();
  }
  [[nodiscard]] std::string path() const { return host->directory().path("run/group"); }
  /// As that user, whose group is root's: that of the test's process.
  [[nodiscard]] Address as(int uid) const { return {"unix:path=" + path(), true, uid}; }

  static Answer manager(Connection& by, const char* member, const Connection::Append& append) {
    return by.call(manager_path, manager_interface, member, append);
  }
  static Answer create(Connection& by, const char* name) {
    return manager(by, "CreateSession", with("sa{sv}", name, 0));
  }
  static Answer enroll(Connection& by, const char* name) {
    return manager(by, "RegisterClient", with("soasa{sv}", name, "/", 0, 0));
  }

  std::unique_ptr<Host> host;
};

TEST_F(GroupSocket, IsForTheGroup) {
  boot("daemon");
  const auto status = status_of(path());
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777U, 0660U);
  EXPECT_EQ(status.st_uid, 0U);
  EXPECT_EQ(admitted(path()), getgrnam("daemon")->gr_gid);
  EXPECT_EQ(status_of(host->directory().path("run/private")).st_mode & 0777U, 0600U);
  EXPECT_THROW(Connection(host->loop(), as(somebody_uid)), std::system_error) << "no member";
}

TEST_F(GroupSocket, IsNotThereUnlessItIsAskedFor) {
  boot("");
  EXPECT_NE(access(path().c_str(), F_OK), 0);
  boot("no-such-group");
  EXPECT_NE(access(path().c_str(), F_OK), 0);
  EXPECT_TRUE(host->log_says("There is no group 'no-such-group' (socket_group)."));
  boot("1");
  EXPECT_EQ(admitted(path()), 1U);
}

/// There is no polkit on this host: nobody but the group's members could do that.
TEST_F(GroupSocket, MembersClientsGoThroughUpdates) {
  boot("root");
  auto& member = host->add({.name = "member"}, as(somebody_uid));
  auto& of_root = host->add({.name = "of-root", .needs = {"member"}});
  member.keep("member", 1, 1, 30'000);
  of_root.keep("of-root", 1, 2, 30'000);
  ASSERT_TRUE(host->start_clients());
  for (const auto& client : host->list_clients()) {
    EXPECT_EQ(client.uid, client.name == "member" ? static_cast<unsigned>(somebody_uid) : 0U);
  }
  for (unsigned round = 1; round <= 2; ++round) {
    host->update_ends("done");
    EXPECT_EQ(member.memory()[0].retrieved, round);
    ASSERT_TRUE(member.started() && of_root.started());
  }
  EXPECT_TRUE(host->observer().all("StateLost").empty());
  host->expect_calm();
  // Also after a death of the daemon's.
  ASSERT_TRUE(host->kill_daemon());
  ASSERT_TRUE(host->run_until(
      [&] { return host->phase_of("member") == "idle" && host->phase_of("of-root") == "idle"; }));
  host->update_ends("done");
  EXPECT_EQ(member.memory()[0].retrieved, 3U);
}

TEST_F(GroupSocket, MembersHaveTheirOwnAndNothingElse) {
  boot("root");
  const UniqueFd memory = memory_with(1, 4096);
  ASSERT_TRUE(host->create_session("of-root").ok());
  ASSERT_TRUE(host->preserve("of-root", 1, memory.get()).ok());
  ASSERT_TRUE(enroll(host->admin(), "of-root").ok());
  Connection somebody(host->loop(), as(somebody_uid));
  Connection another(host->loop(), as(another_uid));
  ASSERT_TRUE(create(somebody, "mine").ok());
  ASSERT_TRUE(enroll(somebody, "mine").ok());

  const auto in_session = [](Connection& by, const char* name, const char* member,
                             const Connection::Append& append = {}) {
    return by.call(session_path(name), session_interface, member, append);
  };
  const UniqueFd more = memory_with(2, 4096);
  for (const char* name : {"of-root", "mine"}) {
    Connection& by = std::string(name) == "mine" ? another : somebody;
    for (const auto& answer :
         {in_session(by, name, "Preserve", with("tha{sv}", UINT64_C(2), more.get(), 0)),
          in_session(by, name, "Unpreserve", with("t", UINT64_C(1))),
          in_session(by, name, "Retrieve", with("t", UINT64_C(1))), in_session(by, name, "Finish"),
          in_session(by, name, "Discard"), manager(by, "UnregisterClient", with("s", name)),
          enroll(by, name)}) {
      EXPECT_EQ(answer.error, error_name("AccessDenied")) << name << ": " << answer.message;
    }
  }
  for (const auto& answer :
       {manager(somebody, "Update", with("a{sv}", 0)),
        manager(somebody, "Update", with("a{sv}", 1, "kernel", "s", "/boot/mine")),
        manager(somebody, "Prepare", with("a{sv}", 0)), manager(somebody, "Cancel", {})}) {
    EXPECT_EQ(answer.error, error_name("AccessDenied"));
    EXPECT_NE(answer.message.find("Members of socket_group may not"), std::string::npos)
        << answer.message;
  }
  const auto level =
      somebody.call("/org/freedesktop/LogControl1", "org.freedesktop.DBus.Properties", "Set",
                    with("ssv", "org.freedesktop.LogControl1", "LogLevel", "s", "debug"));
  EXPECT_EQ(level.error, error_name("AccessDenied")) << level.message;
  EXPECT_EQ(host->state(), "normal");
  EXPECT_EQ(host->list_sessions().size(), 2U);
  EXPECT_EQ(host->list_clients().size(), 2U);
  // Looking is free, and what is one's own can be used.
  EXPECT_TRUE(manager(somebody, "ListSessions", {}).ok());
  EXPECT_TRUE(
      in_session(somebody, "mine", "Preserve", with("tha{sv}", UINT64_C(1), more.get(), 0)).ok());
  EXPECT_TRUE(in_session(somebody, "mine", "Discard").ok());
  EXPECT_TRUE(manager(somebody, "UnregisterClient", with("s", "mine")).ok());
  // Root may do all, on this socket too.
  Connection root(host->loop(), Address{"unix:path=" + path(), true});
  EXPECT_TRUE(manager(root, "Prepare", with("a{sv}", 0)).ok());
}

TEST_F(GroupSocket, MembersCannotCrowdOthersOut) {
  constexpr std::size_t most = 64;
  boot("root");
  std::vector<std::unique_ptr<Connection>> connections;
  const auto answers = [](Connection& by) {
    return by.get_property(manager_path, manager_interface, "State", "s").ok();
  };
  for (std::size_t i = 0; i < most; ++i) {
    connections.push_back(std::make_unique<Connection>(host->loop(), as(somebody_uid)));
    ASSERT_TRUE(answers(*connections.back())) << i;
  }
  const auto one_more = [&] {
    try {
      Connection more(host->loop(), as(somebody_uid));
      return answers(more);
    } catch (const std::system_error&) {
      return false;  // it was closed before all was said
    }
  };
  EXPECT_FALSE(one_more());
  Connection another(host->loop(), as(another_uid));
  EXPECT_TRUE(answers(another));
  Connection root(host->loop(), host->private_address());
  EXPECT_TRUE(answers(root));
  connections.pop_back();
  EXPECT_TRUE(host->run_until(one_more));
}

}  // namespace
}  // namespace handover::test
