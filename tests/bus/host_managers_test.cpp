// SPDX-License-Identifier: LGPL-2.1-or-later
// What logind and PID 1 are asked for before an update, and our own lock on shutdown, with managers
// that the test plays.
#include "bus/host_managers.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <optional>

#include "bus/shutdown_inhibitor.h"
#include "connection.h"
#include "core/unique_fd.h"
#include "daemon_side.h"

namespace handover::test {
namespace {

struct Lock {
  const char* what;
  const char* who;
  const char* why;
  const char* mode;
  std::uint32_t process;
};

/// logind and PID 1 in one, on one connection.
class Managers {
 public:
  Managers(EventLoop& loop, const Address& address) : connection_(loop, address) {
    static const std::array<sd_bus_vtable, 5> login = {
        {SD_BUS_VTABLE_START(0),
         SD_BUS_METHOD("ListInhibitors", "", "a(ssssuu)", list_locks, SD_BUS_VTABLE_UNPRIVILEGED),
         SD_BUS_METHOD("Inhibit", "ssss", "h", inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
         SD_BUS_PROPERTY("ScheduledShutdown", "(st)", get_scheduled, 0, 0), SD_BUS_VTABLE_END}};
    static const std::array<sd_bus_vtable, 4> manager = {
        {SD_BUS_VTABLE_START(0),
         SD_BUS_METHOD("ListJobs", "", "a(usssoo)", list_jobs, SD_BUS_VTABLE_UNPRIVILEGED),
         SD_BUS_PROPERTY("SystemState", "s", get_state, 0, 0), SD_BUS_VTABLE_END}};
    static const std::array<sd_bus_vtable, 5> unit = {
        {SD_BUS_VTABLE_START(0), SD_BUS_PROPERTY("UnitFileState", "s", get_file_state, 0, 0),
         SD_BUS_PROPERTY("WantedBy", "as", get_wanted_by, 0, 0),
         SD_BUS_PROPERTY("Names", "as", get_wanted_by, 0, 0), SD_BUS_VTABLE_END}};
    static const std::array<sd_bus_vtable, 3> service = {
        {SD_BUS_VTABLE_START(0), SD_BUS_PROPERTY("FileDescriptorStoreMax", "u", get_limit, 0, 0),
         SD_BUS_VTABLE_END}};
    add("/org/freedesktop/login1", "org.freedesktop.login1.Manager", login.data());
    add("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", manager.data());
    const std::string units = "/org/freedesktop/systemd1/unit/";
    add(units + "handoverd_2eservice", "org.freedesktop.systemd1.Unit", unit.data());
    add(units + "handoverd_2eservice", "org.freedesktop.systemd1.Service", service.data());
    add(units + "vm_2eservice", "org.freedesktop.systemd1.Unit", unit.data());
    for (const auto* name : {"org.freedesktop.login1", "org.freedesktop.systemd1"}) {
      must(sd_bus_request_name(connection_.get(), name, 0), name);
    }
  }

  std::vector<Lock> locks;
  std::string scheduled;
  std::string state = "running";
  std::vector<std::pair<std::string, std::string>> jobs;
  std::string file_state = "enabled";
  bool wanted = false;
  bool silent = false;
  bool refuses = false;
  std::string asked_for;  ///< of Inhibit
  UniqueFd lock;          ///< our end: at its end when the other is closed

 private:
  static Managers& self(void* userdata) { return *static_cast<Managers*>(userdata); }

  void add(const std::string& path, const char* interface, const sd_bus_vtable* vtable) {
    sd_bus_slot* slot = nullptr;
    must(sd_bus_add_object_vtable(connection_.get(), &slot, path.c_str(), interface, vtable, this),
         interface);
    slots_.emplace_back(slot);
  }

  static int list_locks(sd_bus_message* message, void* userdata, sd_bus_error*) {
    if (self(userdata).silent) return 1;
    sd_bus_message* made = nullptr;
    must(sd_bus_message_new_method_return(message, &made), "a reply");
    const MessagePtr reply(made);
    must(sd_bus_message_open_container(made, 'a', "(ssssuu)"), "locks");
    for (const auto& lock : self(userdata).locks) {
      must(sd_bus_message_append(made, "(ssssuu)", lock.what, lock.who, lock.why, lock.mode, 0,
                                 lock.process),
           "a lock");
    }
    must(sd_bus_message_close_container(made), "locks");
    return sd_bus_send(nullptr, made, nullptr);
  }

  static int list_jobs(sd_bus_message* message, void* userdata, sd_bus_error*) {
    sd_bus_message* made = nullptr;
    must(sd_bus_message_new_method_return(message, &made), "a reply");
    const MessagePtr reply(made);
    must(sd_bus_message_open_container(made, 'a', "(usssoo)"), "jobs");
    for (const auto& [unit, type] : self(userdata).jobs) {
      must(sd_bus_message_append(made, "(usssoo)", 1, unit.c_str(), type.c_str(), "waiting", "/j",
                                 "/u"),
           "a job");
    }
    must(sd_bus_message_close_container(made), "jobs");
    return sd_bus_send(nullptr, made, nullptr);
  }

  static int inhibit(sd_bus_message* message, void* userdata, sd_bus_error* error) {
    auto& managers = self(userdata);
    const char* what = nullptr;
    const char* who = nullptr;
    const char* why = nullptr;
    const char* mode = nullptr;
    must(sd_bus_message_read(message, "ssss", &what, &who, &why, &mode), "a lock");
    managers.asked_for = std::string(what) + " " + who + " " + mode;
    if (managers.refuses) return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "No.");
    int ends[2] = {-1, -1};
    must(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), "a lock");
    managers.lock.reset(ends[0]);
    const UniqueFd given(ends[1]);
    return sd_bus_reply_method_return(message, "h", given.get());
  }

  static int get_scheduled(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                           void* userdata, sd_bus_error*) {
    return sd_bus_message_append(reply, "(st)", self(userdata).scheduled.c_str(), UINT64_C(1));
  }
  static int get_state(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                       void* userdata, sd_bus_error*) {
    return sd_bus_message_append(reply, "s", self(userdata).state.c_str());
  }
  static int get_file_state(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                            void* userdata, sd_bus_error*) {
    return sd_bus_message_append(reply, "s", self(userdata).file_state.c_str());
  }
  static int get_wanted_by(sd_bus*, const char*, const char*, const char* property,
                           sd_bus_message* reply, void* userdata, sd_bus_error*) {
    const bool any = std::string(property) == "Names" || self(userdata).wanted;
    return any ? sd_bus_message_append(reply, "as", 1, "multi-user.target")
               : sd_bus_message_append(reply, "as", 0);
  }
  static int get_limit(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
                       sd_bus_error*) {
    return sd_bus_message_append(reply, "u", 8192U);
  }

  Connection connection_;
  std::vector<SlotPtr> slots_;
};

class HostManagers : public testing::Test {
 protected:
  ManagerFacts ask(sd_bus* bus) {
    std::optional<ManagerFacts> facts;
    bus::ask_host_managers(side.loop(), bus, {"vm.service", "gone.service"},
                           [&](ManagerFacts all) { facts = std::move(all); });
    EXPECT_FALSE(facts) << "answered at once";
    EXPECT_TRUE(side.run_until([&] { return facts.has_value(); }));
    return facts.value_or(ManagerFacts());
  }
  ManagerFacts ask() { return ask(daemon.get()); }

  void SetUp() override {
    ASSERT_TRUE(side.run_until([&] { return sd_bus_is_ready(daemon.get()) > 0; }));
  }

  DaemonSide side;
  bus::BusPtr daemon = side.connect();
};

TEST_F(HostManagers, SayNothingWhereThereAreNone) {
  for (auto* bus : {daemon.get(), static_cast<sd_bus*>(nullptr)}) {
    const auto facts = ask(bus);
    EXPECT_TRUE(facts.inhibitors.empty());
    EXPECT_TRUE(facts.units.empty());
    EXPECT_EQ(facts.system_state, "");
    EXPECT_FALSE(facts.fd_store_limit);
  }
}

TEST_F(HostManagers, SayWhatTheyKnow) {
  Managers managers(side.outer(), side.address());
  const auto own = static_cast<std::uint32_t>(::getpid());
  managers.locks = {{"sleep:shutdown", "Backup", "It writes", "block", 7},
                    {"shutdown", "Upgrades", "Later", "delay", 8},
                    {"shutdown", "Weak", "Polite", "block-weak", 9},
                    {"sleep", "Network", "Off", "block", 10},
                    {"shutdown", "handoverd", "Ours", "block", own},
                    {"shutdown", "handoverd", "Somebody's", "block", own + 1}};
  managers.scheduled = "poweroff";
  managers.state = "starting";
  managers.jobs = {{"a.service", "start"}, {"reboot.target", "start"}, {"halt.target", "stop"}};
  managers.file_state = "disabled";
  const auto facts = ask();
  ASSERT_EQ(facts.inhibitors.size(), 3U) << "what is weak does not hold root up";
  EXPECT_EQ(facts.inhibitors[0].who, "Backup");
  EXPECT_EQ(facts.inhibitors[0].why, "It writes");
  EXPECT_EQ(facts.inhibitors[0].process, 7U);
  EXPECT_TRUE(facts.inhibitors[0].blocks);
  EXPECT_FALSE(facts.inhibitors[1].blocks);
  EXPECT_EQ(facts.inhibitors[2].why, "Somebody's");
  EXPECT_EQ(facts.scheduled_shutdown, "poweroff");
  EXPECT_EQ(facts.system_state, "starting");
  EXPECT_EQ(facts.shutdown_jobs, std::vector<std::string>{"reboot.target"});
  ASSERT_EQ(facts.units.size(), 2U) << "gone.service is not known";
  EXPECT_EQ(facts.units[0].name, "handoverd.service");
  EXPECT_EQ(facts.units[0].file_state, "disabled");
  EXPECT_FALSE(facts.units[0].wanted);
  EXPECT_EQ(facts.fd_store_limit, 8192U);
  managers.wanted = true;
  managers.scheduled = "dry-reboot";
  const auto later = ask();
  ASSERT_EQ(later.units.size(), 2U);
  EXPECT_TRUE(later.units[1].wanted);
  EXPECT_EQ(later.scheduled_shutdown, "");
}

TEST(HostManagersOfManyUnits, AreNotAskedForAllAtOnce) {
  // polkit is asked by the same connection.
  DaemonSide side(PrivateBus::Limits{.replies = 20});
  const auto daemon = side.connect();
  ASSERT_TRUE(side.run_until([&] { return sd_bus_is_ready(daemon.get()) > 0; }));
  const Managers managers(side.outer(), side.address());
  const std::vector<std::string> units(100, "vm.service");
  std::optional<ManagerFacts> facts;
  bus::ask_host_managers(side.loop(), daemon.get(), units,
                         [&](ManagerFacts all) { facts = std::move(all); });
  ASSERT_TRUE(side.run_until([&] { return facts.has_value(); }));
  EXPECT_EQ(facts->units.size(), 101U);
  EXPECT_EQ(facts->system_state, "running");
  EXPECT_EQ(facts->fd_store_limit, 8192U);
}

TEST_F(HostManagers, AreNotWaitedForLongerThanASecond) {
  Managers managers(side.outer(), side.address());
  managers.locks = {{"shutdown", "Backup", "It writes", "block", 7}};
  managers.silent = true;
  const auto facts = ask();
  EXPECT_TRUE(facts.inhibitors.empty());
  EXPECT_EQ(facts.system_state, "running");
}

TEST_F(HostManagers, AreNotWaitedForWhenTheBusGoes) {
  Managers managers(side.outer(), side.address());
  managers.silent = true;
  std::optional<ManagerFacts> facts;
  bus::ask_host_managers(side.loop(), daemon.get(), {},
                         [&](ManagerFacts all) { facts = std::move(all); });
  daemon.reset();
  EXPECT_TRUE(side.run_until([&] { return facts.has_value(); }));
}

TEST_F(HostManagers, GiveALockOnShutdown) {
  Managers managers(side.outer(), side.address());
  bus::ShutdownInhibitor inhibitor;
  const auto is_closed = [&] {
    char byte = 0;
    return ::read(managers.lock.get(), &byte, 1) == 0;
  };
  inhibitor.take(daemon.get());
  inhibitor.take(daemon.get());
  EXPECT_TRUE(side.run_until([&] { return inhibitor.is_held(); }));
  EXPECT_EQ(managers.asked_for, "shutdown:sleep handoverd block");
  EXPECT_FALSE(is_closed());
  inhibitor.release();
  EXPECT_FALSE(inhibitor.is_held());
  EXPECT_TRUE(side.run_until(is_closed));
  // Let go of before it came.
  managers.lock.reset();
  inhibitor.take(daemon.get());
  inhibitor.release();
  EXPECT_TRUE(side.run_until([&] { return managers.lock && is_closed(); }));
  EXPECT_FALSE(inhibitor.is_held());
}

TEST_F(HostManagers, MayRefuseALockOrNotBeThere) {
  bus::ShutdownInhibitor inhibitor;
  inhibitor.take(nullptr);
  EXPECT_FALSE(inhibitor.is_held());
  inhibitor.take(daemon.get());
  Managers managers(side.outer(), side.address());
  managers.refuses = true;
  EXPECT_TRUE(side.run_until([&] {
    inhibitor.take(daemon.get());
    return !managers.asked_for.empty();
  }));
  EXPECT_FALSE(inhibitor.is_held());
  managers.refuses = false;
  EXPECT_TRUE(side.run_until([&] {
    inhibitor.take(daemon.get());
    return inhibitor.is_held();
  }));
}

}  // namespace
}  // namespace handover::test
