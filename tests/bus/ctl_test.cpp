// SPDX-License-Identifier: LGPL-2.1-or-later
// The program handoverctl: exit codes, one line for people, JSON for programs, nothing changed by
// what was refused.
#include "ctl.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "memory.h"

namespace handover::test {
namespace {

constexpr int failed = 1;
constexpr int usage = 2;
constexpr int not_found = 3;
constexpr int update_failed = 6;
constexpr int unreachable = 8;
constexpr int left = 9;

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

void expect_plain(const std::string& text) {
  for (const char byte : text) {
    EXPECT_TRUE(byte == '\n' || static_cast<unsigned char>(byte) >= 0x20)
        << static_cast<int>(byte) << " in " << testing::PrintToString(text);
  }
}

void expect_columns(const std::string& text) {
  constexpr std::ptrdiff_t columns = 80;
  const auto begins_character = [](char byte) { return (byte & 0xc0) != 0x80; };
  for (const auto& line : lines_of(text)) {
    EXPECT_LE(std::count_if(line.begin(), line.end(), begins_character), columns) << line;
  }
}

class Ctl : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    ASSERT_TRUE(host.create_session("here").ok());
    ASSERT_TRUE(host.preserve("here", 1, memory.get()).ok());
    sessions = host.list_sessions();
  }

  CtlEnd ctl(const std::vector<std::string>& arguments,
             const std::function<void()>& in_child = {}) {
    return run_ctl(host, arguments, in_child);
  }

  /// Refused by that error and exit code, in one line or one JSON object; and all is as it was.
  void expect_refused(const std::vector<std::string>& arguments, int code, const std::string& name,
                      const std::function<void()>& in_child = {}) {
    SCOPED_TRACE(testing::PrintToString(arguments));
    const auto plain = ctl(arguments, in_child);
    EXPECT_EQ(plain.code, code) << plain.err;
    EXPECT_EQ(plain.out, "");
    const std::string prefix = "handoverctl: ";
    EXPECT_TRUE(plain.err.starts_with(prefix)) << plain.err;
    EXPECT_EQ(std::count(plain.err.begin(), plain.err.end(), '\n'), 1) << plain.err;

    auto with_json = arguments;
    with_json.insert(with_json.begin(), "--json");
    const auto json = ctl(with_json, in_child);
    EXPECT_EQ(json.code, code);
    EXPECT_EQ(json.out, "");
    EXPECT_EQ(std::count(json.err.begin(), json.err.end(), '\n'), 1) << json.err;
    const auto object = json.err_json();
    ASSERT_TRUE(object.is_object()) << json.err;
    EXPECT_EQ(object["error"], error_name(name)) << json.err;
    EXPECT_GT(object["message"].get<std::string>().size(), 10U) << json.err;
    expect_unchanged();
  }

  void expect_unchanged() {
    EXPECT_EQ(host.state(), "normal");
    EXPECT_EQ(host.list_sessions(), sessions);
    EXPECT_EQ(host.history().size(), generation);
  }

  void update() {
    ASSERT_TRUE(host.update().ok());
    ASSERT_EQ(host.finished().outcome, "done");
    sessions = host.list_sessions();
    generation = 1;
  }

  Host host;
  UniqueFd memory = memory_with(9, 300'000);
  std::vector<ListedSession> sessions;
  std::size_t generation = 0;
};

TEST_F(Ctl, CommandLines) {
  const std::vector<std::vector<std::string>> wrong = {
      {"bogus"},
      {"--nope"},
      {"status", "--nope"},
      {"two\nlines"},
      {"session"},
      {"session", "bogus"},
      {"session", "create"},
      {"session", "retrieve", "here", "-1"},
      {"session", "preserve", "here", "2", "--file", ""},
      {"update", ""},
      {"update", "--cmdline", ""},
      {"prepare", "--immediate", "--orderly"},
      {"history", "-n", "many"},
      {"history", "-n", "0"},
      {"wait"},
      {"wait", "--for", "bogus"},
      {"client", "unregister"},
      {"status", "--timeout", "0"},
  };
  for (const auto& arguments : wrong) expect_refused(arguments, usage, "InvalidArgument");
  EXPECT_NE(ctl({"session", "bogus"}).err.find("'bogus'"), std::string::npos);
  expect_refused({"history", "999999"}, not_found, "NoSuchUpdate");
}

TEST_F(Ctl, Names) {
  const std::vector<std::string> wrong = {"", std::string(64, 'x'), "a/b", "\xff\xfe", "a\xc3"};
  for (const auto& name : wrong) {
    expect_refused({"session", "create", name}, usage, "InvalidName");
  }
  expect_refused({"session", "create", "here"}, failed, "NameTaken");
  expect_refused({"session", "unpreserve", "\xff\xfe", "1"}, usage, "InvalidName");
  expect_refused({"session", "preserve", "\xff\xfe", "1", "--stdin"}, usage, "InvalidName");
  expect_refused({"session", "preserve", std::string(300, 'x'), "1", "--stdin"}, not_found,
                 "NoSuchSession");
  expect_refused({"session", "create", "new", "--client", "\xff"}, usage, "InvalidName");
  expect_refused({"session", "create", "new", "--backend", "\xff"}, usage, "InvalidName");
  expect_refused({"update", "/boot/\xff"}, usage, "InvalidArgument");
}

TEST_F(Ctl, WhatTheDaemonRefuses) {
  const auto missing = host.directory().path("vmlinuz-missing");
  const auto text = host.directory().write("vmlinuz-text", "This is no kernel.\n");
  for (const auto* command : {"update", "prepare"}) {
    expect_refused({command, missing}, not_found, "KernelNotFound");
    expect_refused({command, text}, update_failed, "NotAKernel");
  }
  expect_refused({"session", "create", "new", "--backend", "tape"}, not_found, "NoSuchBackend");
  expect_refused({"session", "create", "new", "--client", "nobody"}, not_found, "NoSuchClient");
  expect_refused({"session", "preserve", "nowhere", "1", "--stdin"}, not_found, "NoSuchSession");
  expect_refused({"session", "preserve", "here", "1", "--stdin"}, failed, "TokenTaken");
  expect_refused({"session", "preserve", "here", "2", "--file", text}, failed, "Unsupported");
  expect_refused({"session", "preserve", "here", "2", "--file", missing}, failed, "Io");
  expect_refused({"session", "unpreserve", "here", "2"}, not_found, "NoSuchToken");
  expect_refused({"session", "finish", "here"}, failed, "NotIncoming");
  expect_refused({"session", "discard", "nowhere"}, not_found, "NoSuchSession");
  expect_refused({"sessions", "nowhere"}, not_found, "NoSuchSession");
  EXPECT_NE(ctl({"sessions", "nowhere"}).err.find("'nowhere'"), std::string::npos);
  expect_refused({"cancel"}, failed, "NothingToCancel");
}

TEST_F(Ctl, Preflight) {
  const auto missing = host.directory().path("vmlinuz-missing");
  const auto absent = ctl({"preflight", missing});
  EXPECT_EQ(absent.code, update_failed) << absent.err;
  EXPECT_NE(absent.out.find("kernel-not-found"), std::string::npos) << absent.out;
  const auto text = host.directory().write("vmlinuz-text", "This is no kernel.\n");
  const auto unusable = ctl({"preflight", "--json", text}).out_json()["findings"];
  ASSERT_EQ(unusable.size(), 1U);
  EXPECT_EQ(unusable[0]["id"], "kernel-unusable");
  expect_refused({"preflight", "--allow", "no-such-finding"}, usage, "InvalidArgument");
  expect_refused({"update", "--allow", "no-such-finding"}, usage, "InvalidArgument");
  const auto good = ctl({"preflight"});
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_EQ(good.out, "Nothing stands in the way of an update.\n");
  const auto json = ctl({"preflight", "--json"});
  EXPECT_EQ(json.code, 0);
  EXPECT_EQ(json.out_json(), (nlohmann::json{{"findings", nlohmann::json::array()}}));
}

TEST_F(Ctl, DescriptorsThatCannotBePreserved) {
  constexpr int passed = 5;
  const std::vector<std::string> preserve = {"session", "preserve", "here", "2", "--fd", "5"};
  expect_refused(preserve, failed, "Unsupported", [] {
    int pair[2] = {-1, -1};
    if (pipe(pair) == 0) dup2(pair[0], passed);
  });
  expect_refused(preserve, failed, "Unsupported",
                 [] { dup2(socket(AF_UNIX, SOCK_STREAM, 0), passed); });
  expect_refused(preserve, failed, "Unsupported", [] { dup2(open("/", O_RDONLY), passed); });
}

/// None was passed; some of these numbers are then descriptors of handoverctl's own.
TEST_F(Ctl, DescriptorsThatWereNotPassed) {
  for (const auto* number : {"3", "4", "5", "6", "7", "8", "90"}) {
    expect_refused({"session", "preserve", "here", "2", "--fd", number}, failed, "Io",
                   [] { close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); });
  }
}

TEST_F(Ctl, StatusIsNotCut) {
  const auto status = ctl({"status"});
  EXPECT_EQ(status.code, 0) << status.err;
  EXPECT_EQ(status.out.find("…"), std::string::npos) << status.out;
  EXPECT_NE(status.out.find("available:"), std::string::npos) << status.out;
}

TEST_F(Ctl, StatusShowsWhatTheDaemonCounts) {
  EXPECT_EQ(ctl({"status"}).out.find("polkit"), std::string::npos);
  Connection peer(host.loop(), host.private_address());
  ASSERT_TRUE(peer.get_property(manager_path, manager_interface, "State", "s").ok());
  // Where the bus is slow, handoverctl would be a second peer.
  std::filesystem::rename(host.directory().path("run/private"), host.directory().path("run/away"));
  const auto status = ctl({"status", "--verbose"});
  EXPECT_EQ(status.code, 0) << status.err;
  expect_columns(status.out);
  EXPECT_NE(status.out.find("  1  connections to the private socket\n"), std::string::npos)
      << status.out;
  EXPECT_NE(status.out.find("questions to polkit"), std::string::npos) << status.out;
  const auto json = ctl({"--json", "status"}).out_json();
  EXPECT_EQ(json["statistics"]["connections"], 1) << json;
  // It has words for each.
  for (const auto& [name, number] : json["statistics"].items()) {
    auto bare = name;
    std::replace(bare.begin(), bare.end(), '-', ' ');
    EXPECT_EQ(status.out.find("  " + bare + "\n"), std::string::npos) << status.out;
  }
}

/// A line of `monitor --json` is flat, and has the fields of handoverctl(1).
void expect_documented(const nlohmann::json& line) {
  const std::map<std::string, std::set<std::string>> fields = {
      {"JobNew", {"id", "job"}},
      {"JobRemoved", {"id", "job", "result", "reason"}},
      {"JobChanged", {"id", "path", "Phase", "Progress", "Detail"}},
      {"ClientAdded", {"name"}},
      {"ClientRemoved", {"name"}},
      {"ClientChanged", {"name", "phase"}},
      {"SessionAdded", {"name", "session"}},
      {"SessionRemoved", {"name", "session"}},
      {"SessionChanged", {"session", "path", "Incoming"}},
      {"TokenAdded", {"session", "token"}},
      {"TokenRemoved", {"session", "token"}},
      {"UpdateFinished", {"outcome", "reason", "generation"}},
      {"StateLost", {"session", "client", "reason"}},
      {"ManagerChanged", {"path", "State", "Generation", "CurrentJob"}},
      {"DaemonGone", {}},
      {"DaemonBack", {"State", "Generation"}},
  };
  const std::string event = line["event"];
  ASSERT_TRUE(fields.contains(event)) << line;
  const auto& known = fields.at(event);
  const bool changes = event.ends_with("Changed") && event != "ClientChanged";
  std::size_t count = 0;
  for (const auto& [name, value] : line.items()) {
    EXPECT_TRUE(value.is_primitive()) << line;
    if (name == "event" || name == "realtime_usec") continue;
    EXPECT_TRUE(known.contains(name)) << line;
    ++count;
  }
  const bool some = changes || event == "DaemonBack";
  EXPECT_TRUE(some || count == known.size()) << line;
}

/// It subscribes, on either way to the daemon, and to each daemon anew.
TEST_F(Ctl, MonitorSeesWhatHappensOften) {
  auto& client = host.add({.name = "client"});
  client.start();
  ASSERT_TRUE(client.started());
  host.observer().unsubscribe();
  const auto watch = [&](const ChildProcess& monitor) {
    const auto subscribed = [&] { return host.statistic("subscribers") == 1; };
    ASSERT_TRUE(host.run_until(subscribed));
    ASSERT_TRUE(host.end_session("here", "Discard").ok());
    ASSERT_TRUE(host.create_session("here").ok());
    ASSERT_TRUE(host.preserve("here", 7, memory.get()).ok());
    ASSERT_TRUE(host.kill_daemon());
    ASSERT_TRUE(host.run_until(subscribed));
    ASSERT_TRUE(host.prepare().ok());
    ASSERT_TRUE(host.run_until([&] { return host.state() == "prepared"; }));
    ASSERT_TRUE(host.cancel().ok());
    ASSERT_EQ(host.finished().outcome, "cancelled");
    // It has seen all that was sent before the daemon answered this.
    EXPECT_EQ(host.statistic("subscribers"), 1U);
    // A signal while it asks for something else would end it before it has told of it.
    ASSERT_TRUE(host.run_until([&] {
      return text_of(host.directory().path("ctl.out")).find("UpdateFinished") != std::string::npos;
    }));
    monitor.signal(SIGTERM);
  };
  const auto end = run_ctl(host, {"--json", "monitor"}, {}, watch);
  EXPECT_EQ(end.code, 0) << end.err;
  std::set<std::string> events;
  for (const auto& line : lines_of(end.out)) {
    const auto event = nlohmann::json::parse(line);
    events.insert(event["event"]);
    expect_documented(event);
    if (event["event"] == "TokenAdded") {
      EXPECT_EQ(event["session"], "here");
      EXPECT_EQ(event["token"], 7);
    }
  }
  for (const auto* event : {"TokenAdded", "ClientChanged", "JobChanged", "DaemonBack",
                            "UpdateFinished", "ManagerChanged"}) {
    EXPECT_TRUE(events.contains(event)) << event << "\n" << end.out;
  }
}

TEST_F(Ctl, WithoutADaemonSaysWhatStartsIt) {
  host.shut_down();
  for (const auto* command : {"status", "update"}) {
    const auto end = ctl({command});
    EXPECT_EQ(end.code, unreachable);
    EXPECT_NE(end.err.find("systemctl start handoverd"), std::string::npos) << end.err;
    EXPECT_EQ(std::count(end.err.begin(), end.err.end(), '\n'), 1) << end.err;
  }
}

TEST_F(Ctl, WithoutACommandShowsWhatThereIs) {
  const auto end = ctl({});
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_NE(end.out.find("State: normal"), std::string::npos) << end.out;
  EXPECT_NE(end.out.find("SESSION"), std::string::npos) << end.out;
  expect_columns(end.out);
  EXPECT_EQ(ctl({"sessions", "--no-legend"}).out.find("SESSION"), std::string::npos);
}

/// A bus that takes connections and says nothing, as one whose daemon hangs.
TEST_F(Ctl, GoesByThePrivateSocketWhereTheBusIsSilent) {
  const auto path = host.directory().path("silent");
  const UniqueFd silent(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(silent.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(silent.get(), 8), 0);
  const auto begin = std::chrono::steady_clock::now();
  const auto end = run_ctl(host, {"status"}, {}, {}, "unix:path=" + path);
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_NE(end.out.find("normal"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

TEST_F(Ctl, ADaemonThatHangsIsNamed) {
  kill(host.manager().pid(), SIGSTOP);
  const auto plain = ctl({"status", "--timeout", "8"});
  const auto json = ctl({"status", "--timeout", "8", "--json"});
  kill(host.manager().pid(), SIGCONT);
  EXPECT_EQ(plain.code, unreachable);
  const auto lines = lines_of(plain.err);
  ASSERT_EQ(lines.size(), 2U) << plain.err;
  EXPECT_NE(lines[0].find("does not answer yet"), std::string::npos) << lines[0];
  EXPECT_NE(lines[1].find("systemctl status handoverd"), std::string::npos) << lines[1];
  EXPECT_EQ(json.code, unreachable);
  EXPECT_EQ(lines_of(json.err).size(), 1U) << json.err;
  EXPECT_EQ(ctl({"status"}).code, 0);
}

TEST_F(Ctl, CancelEndsWhenEverybodyRuns) {
  auto& client = host.add({.name = "slow"});
  client.start();
  ASSERT_TRUE(client.started());
  client.on(Call::cancel, ScriptedClient::Behaviour::hold);
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.reaches("prepared"));
  EXPECT_EQ(ctl({"cancel", "--no-block"}).code, 0);
  ASSERT_TRUE(host.run_until([&] { return client.holds(); }));
  EXPECT_EQ(host.state(), "cancelling");
  client.let_go();
  ASSERT_TRUE(host.reaches("normal"));

  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.reaches("prepared"));
  bool answered = false;
  const auto waited = run_ctl(host, {"cancel"}, {}, [&](const ChildProcess& running) {
    ASSERT_TRUE(host.run_until([&] { return client.holds(); }));
    (void)host.loop().run_until([] { return false; }, std::chrono::milliseconds(400));
    EXPECT_TRUE(running.running());
    client.let_go();
    answered = true;
  });
  EXPECT_TRUE(answered);
  EXPECT_EQ(waited.code, 0) << waited.err;
  EXPECT_EQ(host.state(), "normal");
}

TEST_F(Ctl, AnUpdateThatIsOnlyBegun) {
  auto& client = host.add({.name = "slow"});
  client.start();
  ASSERT_TRUE(client.started());
  client.on(Call::prepare, ScriptedClient::Behaviour::hold);
  const auto prepared = ctl({"prepare", "--no-block", "--json"});
  EXPECT_EQ(prepared.code, 0) << prepared.err;
  ASSERT_TRUE(host.run_until([&] { return client.holds(); }));
  const auto job = prepared.out_json();
  EXPECT_EQ(job["job"], "/org/handover1/job/" + std::to_string(job["id"].get<int>()));
  client.let_go();
  ASSERT_TRUE(host.reaches("prepared"));
  ASSERT_TRUE(host.cancel().ok());
  EXPECT_EQ(host.finished().outcome, "cancelled");
  ASSERT_TRUE(host.reaches("normal"));
  client.on(Call::prepare, ScriptedClient::Behaviour::answer);

  // What is refused before anybody was asked ends without a signal.
  EXPECT_EQ(ctl({"update", "--no-block", host.directory().path("missing")}).code, not_found);
  const auto begun = ctl({"update", "--no-block"});
  EXPECT_EQ(begun.code, 0) << begun.err;
  EXPECT_EQ(host.finished().outcome, "done");
  EXPECT_EQ(begun.out, std::to_string(host.history()[0]["id"].get<int>()) + "\n");
}

TEST_F(Ctl, WaitsForStatesAndPhases) {
  EXPECT_EQ(ctl({"wait", "--for", "normal"}).code, 0);
  const auto late = ctl({"wait", "--for", "prepared", "--timeout", "5"});
  EXPECT_EQ(late.code, update_failed) << late.err;
  auto& client = host.add({.name = "db"});
  client.start();
  ASSERT_TRUE(client.started());
  EXPECT_EQ(ctl({"wait", "--for", "db=idle"}).code, 0);
  const auto prepared = run_ctl(host, {"wait", "--for", "db=prepared"}, {},
                                [&](const ChildProcess&) { EXPECT_TRUE(host.prepare().ok()); });
  EXPECT_EQ(prepared.code, 0) << prepared.err;
  ASSERT_TRUE(host.reaches("prepared"));
  EXPECT_EQ(ctl({"cancel"}).code, 0);
}

TEST_F(Ctl, AClientThatIsGoneIsShownAndForgotten) {
  auto& client = host.add({.name = "db"});
  client.keep("db", 1, 1, 1000);
  client.start();
  ASSERT_TRUE(client.started());
  client.die();
  EXPECT_EQ(ctl({"wait", "--for", "db=gone"}).code, 0);
  const auto listed = ctl({"clients", "--json"}).out_json();
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0]["phase"], "gone");
  EXPECT_EQ(listed[0]["bus_name"], "");
  EXPECT_EQ(ctl({"client", "unregister", "nobody"}).code, not_found);
  EXPECT_EQ(ctl({"client", "unregister", "db"}).code, 0);
  EXPECT_TRUE(host.list_clients().empty());
  EXPECT_EQ(host.list_sessions().size(), 2U);
}

/// One line for people; for programs the document alone, with the reason in it.
TEST_F(Ctl, AnUpdateThatFailsSaysSoOnce) {
  auto& client = host.add({.name = "stubborn"});
  client.start();
  ASSERT_TRUE(client.started());
  client.on(Call::prepare, ScriptedClient::Behaviour::veto);
  const std::string reason = "stubborn does not want to";
  const auto plain = ctl({"update"});
  EXPECT_EQ(plain.code, update_failed);
  EXPECT_NE(plain.err.find(": The update failed: "), std::string::npos) << plain.err;
  EXPECT_NE(plain.err.find(reason), std::string::npos) << plain.err;
  const auto json = ctl({"--json", "update"});
  EXPECT_EQ(json.code, update_failed);
  EXPECT_EQ(json.err, "");
  const auto document = json.out_json();
  EXPECT_EQ(document["result"], "failed");
  EXPECT_NE(document["reason"].get<std::string>().find(reason), std::string::npos) << document;
  EXPECT_EQ(document["error"], "org.handover1.Error.Vetoed");
  EXPECT_EQ(document["client"], "stubborn");
  EXPECT_EQ(document["call"], "Prepare");
  EXPECT_EQ(document["update"]["error"], document["error"]);
}

/// What a client says is text, on one line, and drives no terminal.
TEST_F(Ctl, AClientsSentenceIsShownAsText) {
  auto& client = host.add({.name = "colourful"});
  client.start();
  ASSERT_TRUE(client.started());
  client.on(Call::prepare, ScriptedClient::Behaviour::veto);
  const std::string letters(200, 'x');
  client.set_veto_sentence("a\n\033[31m\u202e\u200b" + letters);
  const auto end = ctl({"update"});
  EXPECT_EQ(end.code, update_failed);
  expect_plain(end.err);
  const auto lines = lines_of(end.err);
  ASSERT_FALSE(lines.empty());
  EXPECT_TRUE(lines.back().starts_with("handoverctl: The update failed: ")) << end.err;
  EXPECT_NE(lines.back().find(letters), std::string::npos) << end.err;
  EXPECT_EQ(end.err.find("\u202e"), std::string::npos);

  const auto id = std::to_string(host.history()[0]["id"].get<int>());
  const auto history = ctl({"history", id});
  EXPECT_EQ(history.code, 0) << history.err;
  expect_plain(history.out);
  expect_columns(history.out);
}

TEST_F(Ctl, ProgressFitsInEightyColumns) {
  const auto end = ctl({"prepare"});
  EXPECT_EQ(end.code, 0) << end.err;
  expect_columns(end.err);
  EXPECT_TRUE(host.cancel().ok());
}

/// The client answers nothing, so the update can neither go on nor be cancelled.
TEST_F(Ctl, AnUpdateThatIsLeftAloneHasNotFailed) {
  auto& client = host.add({.name = "silent"});
  client.start();
  ASSERT_TRUE(client.started());
  client.on(Call::prepare, ScriptedClient::Behaviour::hold);
  client.on(Call::cancel, ScriptedClient::Behaviour::hold);
  const auto interrupt_twice = [&](const ChildProcess& running) {
    ASSERT_TRUE(host.run_until([&] { return client.holds(); }));
    running.signal(SIGINT);
    ASSERT_TRUE(host.reaches("cancelling"));
    running.signal(SIGINT);
  };
  const auto let_it_end = [&] {
    ASSERT_TRUE(host.run_until([&] {
      client.let_go();
      return host.state() == "normal";
    }));
    host.observer().clear();
  };

  const auto plain = run_ctl(host, {"update"}, {}, interrupt_twice);
  EXPECT_EQ(plain.code, left) << plain.err;
  EXPECT_NE(plain.err.find(": The update was left alone: "), std::string::npos) << plain.err;
  EXPECT_EQ(plain.err.find("failed"), std::string::npos) << plain.err;
  EXPECT_EQ(plain.err.find("system call"), std::string::npos) << plain.err;
  EXPECT_EQ(host.state(), "cancelling");
  let_it_end();
  const auto json = run_ctl(host, {"--json", "update"}, {}, interrupt_twice);
  EXPECT_EQ(json.code, left);
  EXPECT_EQ(json.err, "");
  EXPECT_EQ(json.out_json()["result"], "left") << json.out;
  let_it_end();
}

/// 1 would say that it is done, with losses.
TEST_F(Ctl, AnUpdateWithStateOfTheLastOneIsRefused) {
  update();
  expect_refused({"update"}, update_failed, "Incoming");
  expect_refused({"prepare"}, update_failed, "Incoming");
}

/// Retrieving into files of a folder of its own.
class CtlRetrieve : public Ctl {
 protected:
  void SetUp() override {
    Ctl::SetUp();
    host.directory().write("files/old", "precious");
  }

  [[nodiscard]] std::string file(const std::string& name) const {
    return host.directory().path("files/" + name);
  }
  [[nodiscard]] std::vector<std::string> retrieve_to(const std::string& path) const {
    return {"session", "retrieve", "here", "1", "--output", path};
  }
  /// The old file, whole, and nothing else.
  void expect_files_unchanged() {
    EXPECT_EQ(text_of(file("old")), "precious");
    const std::filesystem::directory_iterator files(host.directory().path("files"));
    EXPECT_EQ(std::distance(begin(files), end(files)), 1);
  }
  bool retrieved() { return ctl({"--json", "sessions", "here"}).out_json()[0]["retrieved"]; }
};

TEST_F(CtlRetrieve, ChangesNoFileIfItIsRefused) {
  for (const auto* name : {"old", "new"}) {
    expect_refused({"session", "retrieve", "nowhere", "1", "--output", file(name)}, not_found,
                   "NoSuchSession");
    expect_files_unchanged();
  }
  update();
  for (const auto* name : {"old", "new"}) {
    expect_refused({"session", "retrieve", "here", "2", "--output", file(name)}, not_found,
                   "NoSuchToken");
    expect_files_unchanged();
  }
}

/// Its owner may have lost it; it stays preserved.
TEST_F(CtlRetrieve, InTheSameKernelToo) {
  const auto given = ctl(retrieve_to(file("new")));
  EXPECT_EQ(given.code, 0) << given.err;
  EXPECT_FALSE(text_of(file("new")).empty());
  EXPECT_FALSE(retrieved());
  update();
  const auto again = ctl(retrieve_to(file("again")));
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(text_of(file("again")), text_of(file("new")));
}

TEST_F(CtlRetrieve, LooksAtTheFileFirst) {
  update();
  for (const auto& path : {file("missing/new"), host.directory().path("files"), file("old/new"),
                           std::string("/proc/new")}) {
    expect_refused(retrieve_to(path), failed, "Io");
    EXPECT_FALSE(retrieved());
  }
  expect_files_unchanged();
}

TEST_F(CtlRetrieve, ReplacesAFileAsAWhole) {
  ASSERT_EQ(chmod(file("old").c_str(), 0640), 0);
  std::filesystem::create_symlink("old", file("link"));
  update();
  const auto end = ctl(retrieve_to(file("link")));
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_EQ(text_of(file("old")), contents_of(memory.get()));
  EXPECT_TRUE(std::filesystem::is_symlink(file("link")));
  struct stat old = {};
  ASSERT_EQ(stat(file("old").c_str(), &old), 0);
  EXPECT_EQ(old.st_mode & 07777U, 0640U);
}

/// `ulimit -f`: SIGXFSZ, whose default is the end of the process.
void limit_files_to(rlim_t bytes) {
  const rlimit limit = {bytes, bytes};
  setrlimit(RLIMIT_FSIZE, &limit);
}

TEST_F(CtlRetrieve, AFileThatMayNotBecomeSoLarge) {
  update();
  for (const auto* name : {"old", "new"}) {
    const auto end = ctl(retrieve_to(file(name)), [] { limit_files_to(100'000); });
    EXPECT_EQ(end.code, failed) << end.err;
    EXPECT_NE(end.err.find("File too large"), std::string::npos) << end.err;
    expect_files_unchanged();
    EXPECT_FALSE(retrieved());
  }
}

TEST_F(CtlRetrieve, StandardInputThatIsLongerThanAFileMayBe) {
  const auto input = host.directory().write("input", std::string(300'000, 'x'));
  const auto end = ctl({"session", "preserve", "here", "7", "--stdin"}, [&] {
    const UniqueFd opened(open(input.c_str(), O_RDONLY | O_CLOEXEC));
    dup2(opened.get(), STDIN_FILENO);
    limit_files_to(100'000);
  });
  EXPECT_EQ(end.code, failed) << end.err;
  EXPECT_NE(end.err.find("Cannot write to the memfd: File too large"), std::string::npos)
      << end.err;
  EXPECT_EQ(ctl({"--json", "sessions", "here"}).out_json().size(), 1U);
}

/// The command has the signal as it was.
TEST_F(CtlRetrieve, CommandsAreEndedByTheLimit) {
  update();
  const auto end = ctl({"session", "retrieve", "here", "1", "--", "/bin/sh", "-c",
                        "ulimit -c 0; ulimit -f 1; head -c 100000 /dev/zero > big"},
                       [&] { EXPECT_EQ(chdir(host.directory().path().c_str()), 0); });
  EXPECT_EQ(end.code, 128 + SIGXFSZ) << end.err;
}

/// No program can clean up after SIGKILL; this ends it as suddenly, and in the middle.
void be_killed_at_ftruncate() {
  constexpr std::array filter{
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_ftruncate},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  auto copy = filter;
  const sock_fprog program{copy.size(), copy.data()};
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

TEST_F(CtlRetrieve, LeavesNothingWhenItIsKilled) {
  update();
  for (const auto* name : {"old", "new"}) {
    const auto end = ctl(retrieve_to(file(name)), be_killed_at_ftruncate);
    EXPECT_EQ(end.code, -1) << "was not killed: " << end.err;
    expect_files_unchanged();
  }
  const auto end = ctl(retrieve_to(file("new")));
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_EQ(text_of(file("new")), contents_of(memory.get()));
}

TEST_F(CtlRetrieve, MakesAFileForItsUserOnly) {
  update();
  const auto end = ctl(retrieve_to(file("new")));
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_EQ(text_of(file("new")), contents_of(memory.get()));
  struct stat made = {};
  ASSERT_EQ(stat(file("new").c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 07777U, 0600U);
}

TEST_F(CtlRetrieve, WritesToWhatIsNoFile) {
  update();
  const auto end = ctl(retrieve_to("/dev/stdout"));
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_EQ(end.out, contents_of(memory.get()));
  expect_files_unchanged();
}

}  // namespace
}  // namespace handover::test
