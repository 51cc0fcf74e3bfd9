// SPDX-License-Identifier: LGPL-2.1-or-later
// What a callback throws ends one operation: the connection, the loop and the process go on.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <systemd/sd-bus.h>

#include <array>
#include <optional>
#include <stdexcept>
#include <string>

#include "bus/sd_bus.h"
#include "core/unique_fd.h"
#include "daemon_side.h"

namespace handover::test {
namespace {

constexpr const char* path = "/bug";

int throw_in_method(sd_bus_message*, void*, sd_bus_error*) { return std::stoi("no number"); }
int throw_in_getter(sd_bus*, const char*, const char*, const char*, sd_bus_message*, void*,
                    sd_bus_error*) {
  throw std::runtime_error("no value");
}
int throw_in_source(sd_event_source*, int, std::uint32_t, void* userdata) {
  ++*static_cast<int*>(userdata);
  throw 5;
}
int answer(sd_bus_message* message, void*, sd_bus_error*) {
  return sd_bus_reply_method_return(message, "");
}

class Callbacks : public testing::Test {
 protected:
  void SetUp() override {
    static const std::array<sd_bus_vtable, 5> vtable = {
        {SD_BUS_VTABLE_START(0),
         SD_BUS_METHOD("Throw", "", "", bus::safe<throw_in_method>, SD_BUS_VTABLE_UNPRIVILEGED),
         SD_BUS_METHOD("Answer", "", "", bus::safe<answer>, SD_BUS_VTABLE_UNPRIVILEGED),
         SD_BUS_PROPERTY("Value", "s", bus::safe<throw_in_getter>, 0, 0), SD_BUS_VTABLE_END}};
    sd_bus_slot* made = nullptr;
    must(sd_bus_add_object_vtable(daemon.get(), &made, path, manager_interface, vtable.data(),
                                  nullptr),
         "an object");
    slot.reset(made);
    must(sd_bus_request_name(daemon.get(), bus_name, 0), "a name");
  }

  Answer call(const char* interface, const char* member, const Connection::Append& append = {}) {
    std::optional<Answer> answer;
    caller.send(path, interface, member, append, [&](Answer got) { answer = std::move(got); });
    EXPECT_TRUE(side.run_until([&] { return answer.has_value(); }));
    return answer ? std::move(*answer) : Answer{};
  }

  DaemonSide side;
  bus::BusPtr daemon = side.connect();
  bus::SlotPtr slot;
  Connection caller{side.outer(), side.address()};
};

TEST_F(Callbacks, AThrowingMethodAnswersInternal) {
  for (int i = 0; i < 2; ++i) {
    const auto refused = call(manager_interface, "Throw");
    EXPECT_EQ(refused.error, error_name("Internal"));
    EXPECT_NE(refused.message.find("bug"), std::string::npos) << refused.message;
  }
  EXPECT_TRUE(call(manager_interface, "Answer").ok());
}

TEST_F(Callbacks, AThrowingGetterAnswersInternal) {
  const auto refused =
      call("org.freedesktop.DBus.Properties", "Get", with("ss", manager_interface, "Value"));
  EXPECT_EQ(refused.error, error_name("Internal"));
  EXPECT_TRUE(call(manager_interface, "Answer").ok());
}

/// sd-event switches a source off whose callback returns an error.
TEST_F(Callbacks, AThrowingSourceStaysOn) {
  const UniqueFd ready(eventfd(1, EFD_CLOEXEC));
  int calls = 0;
  sd_event_source* source = nullptr;
  must(sd_event_add_io(side.loop().get(), &source, ready.get(), EPOLLIN, bus::safe<throw_in_source>,
                       &calls),
       "a source");
  const SourcePtr owned(source);
  // Readable for ever: it is called in each turn of the loop.
  for (int turn = 0; turn < 3; ++turn) must(sd_event_run(side.loop().get(), 0), "sd_event_run");
  EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace handover::test
