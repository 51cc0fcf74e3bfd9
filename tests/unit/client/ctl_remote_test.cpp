// SPDX-License-Identifier: LGPL-2.1-or-later
// --host and --machine of handoverctl: what is asked of ssh and of sd-bus, and what is refused.
#include <gtest/gtest.h>

#include <cstdlib>

#include "ctl/options.h"
#include "ctl/remote.h"

namespace handover::ctl {
namespace {

std::string host(const std::string& name, bool later = false) {
  auto address = bus_address_of({Remote::Kind::host, name}, later);
  return address ? *address : "refused: " + address.error().message;
}

std::string machine(const std::string& name) {
  auto address = bus_address_of({Remote::Kind::machine, name}, false);
  return address ? *address : "refused: " + address.error().message;
}

TEST(CtlRemote, RunsTheBridgeOverSsh) {
  const std::string ssh =
      "unixexec:path=env,argv1=-u,argv2=DBUS_SYSTEM_BUS_ADDRESS,argv3=-u,"
      "argv4=HANDOVER_PRIVATE_SOCKET,argv5=ssh,argv6=-xT,argv7=-o,"
      "argv8=ServerAliveInterval%3d5,";
  EXPECT_EQ(host("db1"), ssh + "argv9=--,argv10=db1,argv11=systemd-stdio-bridge");
  EXPECT_EQ(host("root@db1.example.org"),
            ssh + "argv9=--,argv10=root%40db1.example.org,argv11=systemd-stdio-bridge");
  EXPECT_EQ(host("root@db1:2222"),
            ssh + "argv9=-p,argv10=2222,argv11=--,argv12=root%40db1,argv13=systemd-stdio-bridge");
  EXPECT_EQ(
      host("[2001:db8::1]:22"),
      ssh + "argv9=-p,argv10=22,argv11=--,argv12=2001%3adb8%3a%3a1,argv13=systemd-stdio-bridge");
  // Behind "--" nothing is an option of ssh's, and nothing ends the address.
  EXPECT_EQ(host("-oProxyCommand=x,y;z"),
            ssh + "argv9=--,argv10=-oProxyCommand%3dx%2cy%3bz,argv11=systemd-stdio-bridge");
}

TEST(CtlRemote, WaitsBeforeItAsksAgain) {
  EXPECT_EQ(host("db1", true),
            "unixexec:path=sh,argv1=-c,argv2=sleep%202%3b%20exec%20%22%24%40%22,argv3=sh,argv4=env,"
            "argv5=-u,argv6=DBUS_SYSTEM_BUS_ADDRESS,argv7=-u,argv8=HANDOVER_PRIVATE_SOCKET,"
            "argv9=ssh,argv10=-xT,argv11=-o,argv12=ServerAliveInterval%3d5,argv13=--,argv14=db1,"
            "argv15=systemd-stdio-bridge");
}

std::string value_of(const char* variable) {
  const char* const value = std::getenv(variable);
  return value ? value : "unset";
}

TEST(CtlRemote, LeavesItsEnvironmentToNobody) {
  ::setenv("HANDOVER_PRIVATE_SOCKET", "/run/elsewhere", 1);
  ::unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
  const Environment environment;
  ASSERT_TRUE(go_to({Remote::Kind::machine, "web"}));
  EXPECT_EQ(value_of("HANDOVER_PRIVATE_SOCKET"), "");
  EXPECT_EQ(value_of("DBUS_SYSTEM_BUS_ADDRESS"), "x-machine-unix:machine=web");
  environment.put_back();
  EXPECT_EQ(value_of("HANDOVER_PRIVATE_SOCKET"), "/run/elsewhere");
  EXPECT_EQ(value_of("DBUS_SYSTEM_BUS_ADDRESS"), "unset");
  ::unsetenv("HANDOVER_PRIVATE_SOCKET");
}

TEST(CtlRemote, NamesAMachine) {
  EXPECT_EQ(machine("web-1"), "x-machine-unix:machine=web-1");
  for (const char* wrong : {"", "a/b", "../x", "-x", "a b", "a,guid=0", "x;unix:path=y"}) {
    EXPECT_TRUE(machine(wrong).starts_with("refused: --machine: '")) << wrong;
  }
}

TEST(CtlRemote, RefusesWhatIsNoHost) {
  for (const char* wrong : {"", "@", "@db1", "root@", "db1:", "db1:ssh", "db1:22x", "[::1", "[]",
                            "db 1", "db1/web", "db1\n", "[::1]22"}) {
    EXPECT_TRUE(host(wrong).starts_with("refused: --host: '")) << wrong << ": " << host(wrong);
  }
}

std::string refusal(const std::vector<std::string>& arguments) {
  auto options = parse_options(arguments);
  return options ? "taken" : options.error().message;
}

TEST(CtlRemote, StandsAnywhere) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"-H", "db1", "status"}, {"status", "--host", "db1"}, {"status", "-H", "db1"}}) {
    auto options = parse_options(arguments);
    ASSERT_TRUE(options) << options.error().message;
    EXPECT_EQ(options->remote.kind, Remote::Kind::host);
    EXPECT_EQ(options->remote.name, "db1");
  }
  auto inside = parse_options({"-M", "web", "clients"});
  ASSERT_TRUE(inside);
  EXPECT_EQ(inside->remote.kind, Remote::Kind::machine);
  EXPECT_FALSE(parse_options({"status"})->remote);
}

TEST(CtlRemote, RefusesWhatCannotWork) {
  EXPECT_EQ(refusal({"-H", "db1", "-M", "web", "status"}), "Give --host or --machine, not both.");
  EXPECT_EQ(
      refusal({"-H", "db1", "session", "retrieve", "s", "1"}),
      "'session retrieve' passes a descriptor, which does not go through ssh: run it on db1.");
  EXPECT_EQ(
      refusal({"-H", "db1", "session", "preserve", "s", "1", "--stdin"}),
      "'session preserve' passes a descriptor, which does not go through ssh: run it on db1.");
  EXPECT_EQ(refusal({"-M", "web", "session", "retrieve", "s", "1"}), "taken");
  EXPECT_EQ(refusal({"-H", "db1", "session", "create", "s"}), "taken");
  // A path of that host, not of here.
  EXPECT_EQ(refusal({"-H", "db1", "update", "vmlinuz"}),
            "'vmlinuz' must be a whole path, from /: it is one of db1.");
  EXPECT_EQ(refusal({"-M", "web", "update", "--initrd", "./x"}),
            "'./x' must be a whole path, from /: it is one of web.");
  EXPECT_EQ(refusal({"-H", "db1", "update", "/boot/vmlinuz", "--initrd", ""}), "taken");
}

}  // namespace
}  // namespace handover::ctl
