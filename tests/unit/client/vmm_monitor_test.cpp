// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/loop.h"
#include "vmm/monitor.h"
#include "vmm/qmp_message.h"

namespace handover::vmm {
namespace {

constexpr const char* greeting =
    R"({"QMP": {"version": {"qemu": {"micro": 1, "minor": 2, "major": 9}}, "capabilities": []}})"
    "\r\n";

TEST(QmpMessage, EachKind) {
  auto message = parse_message(greeting);
  ASSERT_TRUE(message);
  EXPECT_EQ(std::get<Greeting>(*message).version.major, 9);
  EXPECT_EQ(std::get<Greeting>(*message).version.minor, 2);
  message = parse_message(R"({"return": {"status": "running"}, "id": 7})");
  ASSERT_TRUE(message);
  EXPECT_EQ(std::get<Return>(*message).id, 7U);
  EXPECT_EQ(std::get<Return>(*message).value["status"], "running");
  message = parse_message(R"({"error": {"class": "GenericError", "desc": "no"}, "id": 8})");
  ASSERT_TRUE(message);
  EXPECT_EQ(std::get<Refusal>(*message).id, 8U);
  EXPECT_EQ(std::get<Refusal>(*message).reason, "no");
  message = parse_message(R"({"event": "STOP", "timestamp": {"seconds": 1}})");
  ASSERT_TRUE(message);
  EXPECT_EQ(std::get<Event>(*message).name, "STOP");
  EXPECT_TRUE(std::get<Event>(*message).data.is_object());
}

TEST(QmpMessage, WhatIsMissingIsNotInvented) {
  EXPECT_FALSE(std::get<Return>(*parse_message(R"({"return": {}})")).id);
  EXPECT_FALSE(std::get<Return>(*parse_message(R"({"return": {}, "id": "x"})")).id);
  EXPECT_EQ(std::get<Refusal>(*parse_message(R"({"error": 3})")).reason, "no reason given");
}

TEST(QmpMessage, WhatIsNoQmp) {
  for (const char* text :
       {"", "x", "[]", "3", "\"return\"", "{}", R"({"QMP": 1})", R"({"QMP": {"version": []}})",
        R"({"QMP": {"version": {"qemu": {"major": "9", "minor": 0}}}})", R"({"event": 1})",
        R"({"return": {})", "\xff\xfe"}) {
    EXPECT_FALSE(parse_message(text)) << text;
  }
}

TEST(QmpMessage, CommandsAreOneLine) {
  EXPECT_EQ(make_command(3, "stop", nullptr), "{\"execute\":\"stop\",\"id\":3}\n");
  const auto line = make_command(4, "getfd", {{"fdname", "a\nb"}});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

/// A monitor and the other end of its connection.
struct Line {
  Line() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    monitor.emplace(client::Fd(ends[0]));
    other.reset(ends[1]);
  }
  void say(const std::string& text) const {
    EXPECT_EQ(write(other.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  std::optional<Monitor> monitor;
  client::Fd other;
};

Deadline soon() { return common::now_usec() + 50'000; }

TEST(QmpMonitor, AnswersThatCameTooLateAreDropped) {
  Line line;
  auto late = line.monitor->call("stop", nullptr, soon());
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ETIMEDOUT);
  EXPECT_NE(late.error().message.find("'stop'"), std::string::npos);
  line.say("{\"return\": {\"a\": 1}, \"id\": 1}\n{\"return\": {\"a\": 2}, \"id\": 2}\n");
  auto next = line.monitor->call("cont", nullptr, soon());
  ASSERT_TRUE(next);
  EXPECT_EQ(next.value()["a"], 2);
}

TEST(QmpMonitor, HandsEventsOn) {
  Line line;
  std::string heard;
  line.monitor->on_event([&](const Event& event) { heard += event.name + " "; });
  line.say("{\"event\": \"STOP\"}\n\n{\"return\": {}, \"id\": 1}\n{\"event\": \"RES");
  ASSERT_TRUE(line.monitor->call("stop", nullptr, soon()));
  EXPECT_EQ(heard, "STOP ");
  line.say("UME\"}\n");
  EXPECT_TRUE(line.monitor->drain());
  EXPECT_EQ(heard, "STOP RESUME ");
}

TEST(QmpMonitor, OnceBrokenItStaysSo) {
  Line line;
  line.say("Segmentation fault\n");
  auto first = line.monitor->call("stop", nullptr, soon());
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().code, ECONNRESET);
  line.say("{\"return\": {}, \"id\": 2}\n");
  auto second = line.monitor->call("cont", nullptr, soon());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message, first.error().message);
}

TEST(QmpMonitor, AnEndIsToldAtOnce) {
  Line line;
  line.other.reset();
  const auto started = common::now_usec();
  EXPECT_FALSE(line.monitor->call("stop", nullptr, started + 10'000'000));
  EXPECT_LT(common::now_usec() - started, 5'000'000U);
  EXPECT_FALSE(line.monitor->drain());
}

TEST(QmpMonitor, ALineWithoutEndIsRefused) {
  Line line;
  std::string much(65536, 'x');
  client::Error error;
  for (int i = 0; i < 32 && error.message.empty(); ++i) {
    line.say(much);
    if (auto drained = line.monitor->drain(); !drained) error = drained.error();
  }
  EXPECT_NE(error.message.find("without end"), std::string::npos);
}

TEST(QmpMonitor, NobodyGreets) {
  Line line;
  auto silent = line.monitor->greet(soon());
  ASSERT_FALSE(silent);
  EXPECT_NE(silent.error().message.find("greeting"), std::string::npos);
  Line other;
  other.say("{\"return\": {}, \"id\": 1}\n");
  EXPECT_FALSE(other.monitor->greet(soon()));
}

TEST(QmpMonitor, RefusalsNameTheCommand) {
  Line line;
  line.say("{\"error\": {\"desc\": \"JSON parse error\"}}\n");
  auto refused = line.monitor->call("migrate", nullptr, soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "QEMU refuses 'migrate': JSON parse error");
}

}  // namespace
}  // namespace handover::vmm
