// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "ctl/gate_window.h"
#include "ctl/options.h"

namespace handover::ctl {
namespace {

constexpr pid_t running = 7;

bool is_alive(pid_t pid) { return pid == running; }

std::string refused(const std::string& text) {
  auto window = parse_gate_window(text, is_alive);
  return window ? "" : window.error().message;
}

TEST(GateWindow, OfWhatTheGateTells) {
  const auto window = [](const char* text) { return parse_gate_window(text, is_alive).value(); };
  EXPECT_EQ(window(R"({"window": {"open": true, "opens": null}})"), (GateWindow{true, ""}));
  EXPECT_EQ(window(R"({"window": {"open": false, "opens": "2026-12-05T01:00:00Z"}})"),
            (GateWindow{false, "2026-12-05T01:00:00Z"}));
  // It has just begun.
  EXPECT_EQ(window(R"({"window": {"open": null}})"), std::nullopt);
  EXPECT_EQ(window("{}"), std::nullopt);
  EXPECT_EQ(window(R"({"pid": 7, "window": {"open": true}})"), (GateWindow{true, ""}));
}

TEST(GateWindow, WhereNobodyKnows) {
  EXPECT_NE(refused("").find("handover-fleet does not run here"), std::string::npos);
  // It was killed.
  EXPECT_NE(refused(R"({"pid": 8, "window": {"open": true}})").find("does not run here"),
            std::string::npos);
  EXPECT_EQ(refused(R"({"window": {"open": null, "failure": "no systemd-analyze"}})"),
            "No maintenance window to wait for: handover-fleet cannot tell it: no "
            "systemd-analyze.");
}

TEST(GateWindow, IsThisHosts) {
  auto options = parse_options({"update", "--wait-for-window"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_TRUE(std::get<UpdateCommand>(options->command).wait_for_window);
  auto elsewhere = parse_options({"update", "--wait-for-window", "-H", "web-1"});
  ASSERT_FALSE(elsewhere);
  EXPECT_EQ(elsewhere.error().message,
            "--wait-for-window is for this host: leave --host and --machine out.");
  EXPECT_FALSE(parse_options({"prepare", "--wait-for-window"}));
}

}  // namespace
}  // namespace handover::ctl
