// SPDX-License-Identifier: LGPL-2.1-or-later
// Each bad input has its own named error with a sentence, and changes nothing.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "host.h"
#include "light_peer.h"
#include "memory.h"

namespace handover::test {
namespace {

class BadInput : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    client = &host.add({.name = "client"});
    client->keep("kept", 1, 3, 5000);
    ASSERT_TRUE(host.start_clients());
    ASSERT_TRUE(host.create_session("here").ok());
    ASSERT_TRUE(host.preserve("here", 1, memory.get()).ok());
    clients = host.list_clients();
    sessions = host.list_sessions();
    stored = host.manager().stored_names();
    host.observer().clear();
  }

  /// `answer` is that error, with a sentence; and all is as it was.
  void expect(const Answer& answer, const std::string& name) {
    EXPECT_EQ(answer.error, error_name(name)) << answer.message;
    EXPECT_GT(answer.message.size(), 10U) << "no sentence: " << answer.message;
    EXPECT_EQ(answer.message.find('\n'), std::string::npos) << answer.message;
    EXPECT_EQ(host.state(), "normal");
    EXPECT_EQ(host.list_clients(), clients);
    EXPECT_EQ(host.list_sessions(), sessions);
    EXPECT_EQ(host.manager().stored_names(), stored);
    EXPECT_EQ(host.history().size(), 0U);
    EXPECT_EQ(host.journal().entries().size(), 0U);
  }

  Answer manager(const char* member, const Connection::Append& append) {
    return host.admin().call(manager_path, manager_interface, member, append);
  }
  Answer session(const std::string& name, const char* member,
                 const Connection::Append& append = {}) {
    return host.admin().call(session_path(name), session_interface, member, append);
  }
  Answer enroll(const std::string& name, const std::vector<const char*>& needs) {
    return manager("RegisterClient", [&](sd_bus_message* message) {
      must(sd_bus_message_append(message, "so", name.c_str(), "/"), "name");
      must(sd_bus_message_open_container(message, 'a', "s"), "needs");
      for (const auto* need : needs) must(sd_bus_message_append(message, "s", need), "need");
      must(sd_bus_message_close_container(message), "needs");
      return sd_bus_message_append(message, "a{sv}", 0);
    });
  }

  Host host;
  ScriptedClient* client = nullptr;
  UniqueFd memory = memory_with(9, 4096);
  std::vector<ListedClient> clients;
  std::vector<ListedSession> sessions;
  std::vector<std::string> stored;
};

TEST_F(BadInput, Names) {
  for (const auto& name :
       {std::string(), std::string(64, 'x'), std::string("a/b"), std::string("."),
        std::string(".."), std::string("tab\there"), std::string("\u0085")}) {
    SCOPED_TRACE(name);
    expect(host.create_session(name), "InvalidName");
    expect(enroll(name, {}), "InvalidName");
    expect(enroll("fine", {name.c_str()}), "InvalidName");
  }
  for (const auto* name : {"systemd", "handoverd"}) {
    expect(host.create_session(name), "InvalidName");
  }
  expect(host.create_session("here"), "NameTaken");
  expect(enroll("client", {}), "NameTaken");

  // The longest that is allowed, and what only looks odd.
  for (const auto& name :
       {std::string(63, 'x'), std::string("ümläut 名前"), std::string("a.b c%")}) {
    const auto made = host.create_session(name);
    ASSERT_TRUE(made.ok()) << made.message;
    const auto path = made.text();
    EXPECT_EQ(path, session_path(name));
    EXPECT_EQ(host.admin().get_property(path, session_interface, "Name", "s").text(), name);
    EXPECT_TRUE(host.end_session(name, "Discard").ok());
  }
}

/// A bus throws out who sends such a string; on the private socket it reaches the daemon.
TEST_F(BadInput, NamesThatAreNotUtf8) {
  LightPeer peer(host.loop(), host.private_address(), {});
  const auto create = [&](const char* name) {
    std::optional<Answer> answer;
    peer.call(manager_path, manager_interface, "CreateSession", "sa{sv}",
              wire::Writer().text(name).array(8, [] {}).bytes(), [&](const auto& got) {
                answer = Answer{nullptr, got.message.error, got.sentence()};
              });
    EXPECT_TRUE(host.run_until([&] { return answer.has_value(); }));
    return std::move(*answer);
  };
  for (const auto* name : {"\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80"}) {
    expect(create(name), "InvalidName");
  }
  // The connection is none the worse for it.
  EXPECT_EQ(create("fine").error, "");
  EXPECT_TRUE(host.end_session("fine", "Discard").ok());
}

TEST_F(BadInput, Dependencies) {
  expect(enroll("self", {"self"}), "InvalidArgument");
  auto& a = host.add({.name = "a", .needs = {"b"}});
  a.start();
  ASSERT_TRUE(a.started());
  clients = host.list_clients();
  // It may come before what it needs; the update may not.
  expect(host.update(), "UnknownDependency");
  expect(enroll("b", {"a"}), "DependencyCycle");
  EXPECT_NE(enroll("b", {"a"}).message.find("b → a → b"), std::string::npos);
}

TEST_F(BadInput, Options) {
  const auto* const anything = "x";
  expect(manager("CreateSession", with("sa{sv}", "new", 1, "colour", "s", anything)),
         "InvalidArgument");
  expect(manager("CreateSession", with("sa{sv}", "new", 1, "backend", "b", 1)), "InvalidArgument");
  expect(manager("CreateSession", with("sa{sv}", "new", 1, "backend", "as", 0)), "InvalidArgument");
  expect(manager("CreateSession", with("sa{sv}", "new", 1, "backend", "s", "tape")),
         "NoSuchBackend");
  expect(manager("CreateSession", with("sa{sv}", "new", 1, "backend", "s", "luo")),
         "NoSuchBackend");
  expect(manager("CreateSession", with("sa{sv}", "new", 1, "client", "s", "nobody")),
         "NoSuchClient");
  expect(manager("RegisterClient", with("soasa{sv}", "new", "/", 0, 1, "required", "s", "yes")),
         "InvalidArgument");
  expect(manager("RegisterClient", with("soasa{sv}", "new", "/", 0, 1, "patience", "t", 1UL)),
         "InvalidArgument");
  expect(host.request("Update", {{"mode", "sideways"}}), "InvalidArgument");
  expect(host.request("Prepare", {{"speed", "high"}}), "InvalidArgument");
  expect(manager("Update", with("a{sv}", 1, "kernel", "b", 1)), "InvalidArgument");
  // Not taken for options that were left out.
  for (const auto* name : {"kernel", "cmdline", "mode"}) {
    expect(host.request("Update", {{name, ""}}), "InvalidArgument");
    expect(host.request("Prepare", {{name, ""}}), "InvalidArgument");
  }
}

TEST_F(BadInput, Kernels) {
  const auto missing = host.directory().path("vmlinuz-missing");
  expect(host.request("Update", {{"kernel", missing}}), "KernelNotFound");
  expect(host.request("Prepare", {{"kernel", missing}}), "KernelNotFound");
  host.directory().write("vmlinuz-text", "This is no kernel.\n");
  expect(host.request("Update", {{"kernel", host.directory().path("vmlinuz-text")}}), "NotAKernel");
  // It told that a job began, and that it failed; nobody heard of an update.
  EXPECT_EQ(host.observer().all("JobNew").size(), 3U);
  EXPECT_EQ(host.observer().all("JobRemoved").size(), 3U);
  EXPECT_TRUE(host.observer().all("UpdateFinished").empty());
}

TEST_F(BadInput, Descriptors) {
  int pair[2] = {-1, -1};
  ASSERT_EQ(pipe2(pair, O_CLOEXEC), 0);
  const UniqueFd reader(pair[0]);
  const UniqueFd writer(pair[1]);
  expect(host.preserve("here", 2, reader.get()), "Unsupported");
  const UniqueFd socket_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  expect(host.preserve("here", 2, socket_fd.get()), "Unsupported");
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  expect(host.preserve("here", 2, event.get()), "Unsupported");
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  expect(host.preserve("here", 2, null.get()), "Unsupported");
  const UniqueFd regular(open(HANDOVERD_PROGRAM, O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(regular);
  expect(host.preserve("here", 2, regular.get()), "Unsupported");
  // Without any page of its own: that needs no huge pages set aside.
  const UniqueFd huge(memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB));
  if (huge) expect(host.preserve("here", 2, huge.get()), "Unsupported");

  expect(host.preserve("here", 2, memory.get()), "AlreadyPreserved");
  const auto other = memory_with(10, 100);
  expect(host.preserve("here", 1, other.get()), "TokenTaken");
  expect(session("here", "Preserve", with("tha{sv}", 2UL, other.get(), 1, "lazy", "b", 1)),
         "InvalidArgument");
  for (const auto* backend : {"tracker", "luo", "disk"}) {
    expect(
        session("here", "Preserve", with("tha{sv}", 2UL, other.get(), 1, "backend", "s", backend)),
        "NoSuchBackend");
  }
  expect(session("here", "Preserve", with("tha{sv}", 2UL, other.get(), 1, "backend", "t", 1UL)),
         "InvalidArgument");
  expect(session("here", "OpenTracker"), "NoSuchBackend");
  expect(session("here", "OpenLUO"), "NoSuchBackend");
  const std::string large((1U << 20U) + 1, 'x');
  expect(session("here", "PreserveBlob",
                 [&](sd_bus_message* message) {
                   must(sd_bus_message_append(message, "t", UINT64_C(2)), "token");
                   return sd_bus_message_append_array(message, 'y', large.data(), large.size());
                 }),
         "InvalidArgument");
  expect(session("here", "Unpreserve", with("t", 2UL)), "NoSuchToken");
}

TEST_F(BadInput, WhatTheSessionCannotDo) {
  expect(host.retrieve("here", 2), "NoSuchToken");
  expect(host.end_session("here", "Finish"), "NotIncoming");
  expect(manager("GetSession", with("s", "nowhere")), "NoSuchSession");
  expect(manager("UnregisterClient", with("s", "nobody")), "NoSuchClient");
  expect(host.cancel(), "NothingToCancel");
  // There is no object.
  const auto nowhere = host.retrieve("nowhere", 1);
  EXPECT_EQ(nowhere.error, "org.freedesktop.DBus.Error.UnknownObject");
  EXPECT_EQ(manager("GetSession", with("s", "here")).text(), session_path("here"));
}

TEST_F(BadInput, Signatures) {
  EXPECT_EQ(manager("CreateSession", with("s", "new")).error,
            "org.freedesktop.DBus.Error.InvalidArgs");
  EXPECT_EQ(manager("Update", with("s", "now")).error, "org.freedesktop.DBus.Error.InvalidArgs");
  EXPECT_EQ(manager("NoSuchMethod", {}).error, "org.freedesktop.DBus.Error.UnknownMethod");
  EXPECT_EQ(host.list_sessions(), sessions);
}

/// Whatever was refused, the next update is as if nothing had been.
TEST_F(BadInput, LeavesTheNextUpdateAlone) {
  expect(host.request("Update", {{"kernel", "/nonexistent"}}), "KernelNotFound");
  host.update_ends("done");
  EXPECT_EQ(client->memory()[0].retrieved, 1U);
  const auto back = descriptor_of(host.retrieve("here", 1));
  ASSERT_TRUE(back);
  EXPECT_EQ(checksum_of(back.get()), checksum_of(memory.get()));
}

}  // namespace
}  // namespace handover::test
