// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake_bus.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <string_view>

namespace handover::client::test {
namespace {

constexpr int poll_msec = 10;
constexpr const char* service = "org.freedesktop.DBus";

int must(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + " failed in the fake bus");
  return result;
}

bool readable(int fd) {
  pollfd wait = {fd, POLLIN, 0};
  return poll(&wait, 1, poll_msec) > 0;
}

}  // namespace

FakeBus::FakeBus(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), std::begin(address.sun_path));
  const int listener = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  must(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), "bind");
  must(listen(listener, 1), "listen");
  thread_ = std::thread([this, listener] { serve(listener); });
}

void FakeBus::change_owner_and_die() {
  changes_owner_ = true;
  die();
}

void FakeBus::die() {
  dies_ = true;
  if (thread_.joinable()) thread_.join();
}

int FakeBus::on_message(sd_bus_message* message, void*, sd_bus_error*) {
  std::uint8_t type = 0;
  must(sd_bus_message_get_type(message, &type), "sd_bus_message_get_type");
  if (type != SD_BUS_MESSAGE_METHOD_CALL) return 0;
  const std::string_view member = sd_bus_message_get_member(message);
  if (member == "Hello") return sd_bus_reply_method_return(message, "s", ":1.7");
  if (member == "GetNameOwner") return sd_bus_reply_method_return(message, "s", ":1.1");
  if (member == "RegisterClient") return sd_bus_reply_method_return(message, "s", "new");
  return sd_bus_reply_method_return(message, "");  // AddMatch
}

void FakeBus::serve(int listener) {
  while (!dies_ && !readable(listener)) {
  }
  if (!dies_) {
    const int fd = must(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept4");
    sd_bus* bus = nullptr;
    sd_id128_t id = {};
    must(sd_id128_randomize(&id), "sd_id128_randomize");
    must(sd_bus_new(&bus), "sd_bus_new");
    must(sd_bus_set_fd(bus, fd, fd), "sd_bus_set_fd");
    must(sd_bus_set_server(bus, 1, id), "sd_bus_set_server");
    must(sd_bus_negotiate_fds(bus, 1), "sd_bus_negotiate_fds");
    must(sd_bus_add_filter(bus, nullptr, on_message, nullptr), "sd_bus_add_filter");
    must(sd_bus_start(bus), "sd_bus_start");
    while (!dies_) {
      while (sd_bus_process(bus, nullptr) > 0) {
      }
      readable(fd);
    }
    if (changes_owner_) tell_of_new_owner(bus);
    sd_bus_close_unref(bus);
  }
  close(listener);
}

void FakeBus::tell_of_new_owner(sd_bus* bus) {
  sd_bus_message* signal = nullptr;
  must(
      sd_bus_message_new_signal(bus, &signal, "/org/freedesktop/DBus", service, "NameOwnerChanged"),
      "sd_bus_message_new_signal");
  must(sd_bus_message_set_sender(signal, service), "sd_bus_message_set_sender");
  must(sd_bus_message_append(signal, "sss", "org.handover1", ":1.1", ":1.2"),
       "sd_bus_message_append");
  must(sd_bus_send(bus, signal, nullptr), "sd_bus_send");
  must(sd_bus_flush(bus), "sd_bus_flush");
  sd_bus_message_unref(signal);
}

}  // namespace handover::client::test
