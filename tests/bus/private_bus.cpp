// SPDX-License-Identifier: LGPL-2.1-or-later
#include "private_bus.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <stdexcept>

namespace handover::test {

namespace {

std::string limit(const char* name, unsigned value) {
  if (value == 0) return {};
  return std::string("<limit name=\"") + name + "\">" + std::to_string(value) + "</limit>";
}

/// type "system" as on the real one; limits stay the built-in ones of a system bus, except how many
/// connections a user may have: here one user plays everybody.
std::string configuration(const std::string& socket, const PrivateBus::Limits& limits) {
  return R"(<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=)" +
         socket + R"(</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
  <limit name="max_connections_per_user">1024</limit>
)" + limit("max_replies_per_connection", limits.replies) +
         limit("max_outgoing_unix_fds", limits.descriptors) + "</busconfig>\n";
}

bool listens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd && connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

PrivateBus::PrivateBus(EventLoop& loop, const TemporaryDirectory& directory, const Limits& limits)
    : loop_(loop), directory_(directory), address_("unix:path=" + directory.path("bus")) {
  directory_.write("bus.conf", configuration(directory_.path("bus"), limits));
  start();
}

void PrivateBus::start() {
  ChildProcess::Setup setup;
  setup.argv = {"/usr/bin/dbus-daemon", "--config-file=" + directory_.path("bus.conf"), "--nofork",
                "--nopidfile", "--nosyslog"};
  setup.log = directory_.path("bus.log");
  process_ = std::make_unique<ChildProcess>(loop_, setup, [](int) {});
  constexpr std::chrono::milliseconds between_looks{2};
  SourcePtr again;
  std::function<void()> look;
  bool up = false;
  look = [&] {
    up = listens(directory_.path("bus"));
    if (!up) again = loop_.after(between_looks, look);
  };
  look();
  if (!loop_.run_until([&] { return up || !process_->running(); }) || !up) {
    throw std::runtime_error("dbus-daemon does not start: " + text_of(directory_.path("bus.log")));
  }
}

void PrivateBus::restart() {
  process_.reset();
  unlink(directory_.path("bus").c_str());
  start();
}

}  // namespace handover::test
