// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bare_daemon.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "bus/peer_poll.h"
#include "connection.h"
#include "core/unique_fd.h"
#include "system/loop.h"

namespace handover::bench {

namespace {

using test::must;

/// As handoverd, which leaves the rest of a system bus's 128 for others.
constexpr std::size_t most_unanswered = 100;

class BareDaemon {
 public:
  BareDaemon(const std::string& path, const std::string& bus_address);
  int run() { return must(loop_.run(), "the loop"); }

 private:
  struct Client {
    sd_bus* bus = nullptr;
    std::string unique_name;  ///< "" on a direct connection
  };
  struct Call {
    BareDaemon* daemon;
    std::string client;
  };
  using Bus = std::unique_ptr<sd_bus, test::UnrefBus>;

  static BareDaemon& self(void* userdata) { return *static_cast<BareDaemon*>(userdata); }
  static int on_peer(sd_event_source*, int fd, std::uint32_t, void* userdata);
  static int on_register(sd_bus_message* message, void* userdata, sd_bus_error*);
  static int on_update(sd_bus_message* message, void* userdata, sd_bus_error*);
  static int on_retrieve(sd_bus_message* message, void* userdata, sd_bus_error*);
  static int on_nothing(sd_bus_message* message, void*, sd_bus_error*);
  static int on_answer(sd_bus_message*, void* userdata, sd_bus_error*);
  static int get_state(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                       void* userdata, sd_bus_error*);

  void serve(sd_bus* bus);
  void call(const std::string& client);
  void send_waiting();
  void answered(const std::string& client);
  void let_go();

  // As handoverd: sd-event would ask each of the peers at each event.
  system::Loop loop_;
  std::map<std::uint64_t, Bus> peers_;
  std::map<std::uint64_t, bus::Unread> unread_;
  bus::PeerPoll poll_{loop_, [this](std::uint64_t peer) { peers_.erase(peer); }};
  std::uint64_t next_peer_ = 0;
  UniqueFd listener_;
  UniqueFd memory_{memfd_create("bare", MFD_CLOEXEC)};
  Bus system_;
  std::map<std::string, Client> clients_;
  std::deque<std::string> waiting_;
  std::size_t unanswered_ = 0;
  std::size_t left_ = 0;  ///< who is still to answer before the phase is over
  const char* member_ = "Freeze";
  bool restoring_ = false;
  bool gate_is_open_ = false;
};

BareDaemon::BareDaemon(const std::string& path, const std::string& bus_address) {
  must(poll_.open() ? 0 : -EIO, "the peers");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  must(
      bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ? -errno : 0,
      "the private socket");
  must(listen(listener_.get(), SOMAXCONN) < 0 ? -errno : 0, "listening");
  must(sd_event_add_io(loop_.get(), nullptr, listener_.get(), EPOLLIN, on_peer, this), "listening");
  if (bus_address.empty()) return;
  sd_bus* bus = nullptr;
  must(sd_bus_new(&bus), "a connection");
  system_.reset(bus);
  must(sd_bus_set_address(bus, bus_address.c_str()), "the bus's address");
  must(sd_bus_set_bus_client(bus, 1), "a bus client");
  must(sd_bus_negotiate_fds(bus, 1), "descriptors");
  must(sd_bus_start(bus), "the bus");
  must(sd_bus_attach_event(bus, loop_.get(), SD_EVENT_PRIORITY_NORMAL), "the bus");
  serve(bus);
  must(sd_bus_request_name(bus, test::bus_name, 0), "the name");
}

int BareDaemon::on_peer(sd_event_source*, int fd, std::uint32_t, void* userdata) {
  auto& daemon = self(userdata);
  UniqueFd peer(accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!peer) return 0;
  sd_bus* bus = nullptr;
  sd_id128_t id{};
  must(sd_bus_new(&bus), "a connection");
  const auto number = daemon.next_peer_++;
  daemon.peers_[number].reset(bus);
  must(sd_bus_set_fd(bus, peer.get(), peer.get()), "a peer");
  [[maybe_unused]] const int taken = peer.release();
  must(sd_id128_randomize(&id), "an id");
  must(sd_bus_set_server(bus, 1, id), "a server");
  must(sd_bus_negotiate_fds(bus, 1), "descriptors");
  must(sd_bus_start(bus), "a peer");
  daemon.serve(bus);
  auto& unread = daemon.unread_.insert_or_assign(number, bus::Unread(bus)).first->second;
  must(daemon.poll_.add(number, bus, unread) ? 0 : -EIO, "a peer");
  return 0;
}

void BareDaemon::serve(sd_bus* bus) {
  static const sd_bus_vtable manager[] = {
      SD_BUS_VTABLE_START(0),
      SD_BUS_PROPERTY("State", "s", get_state, 0, 0),
      SD_BUS_METHOD("RegisterClient", "soasa{sv}", "s", on_register, SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_METHOD("CreateSession", "sa{sv}", "", on_nothing, SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_METHOD("Prepare", "a{sv}", "", on_nothing, SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_METHOD("Update", "a{sv}", "", on_update, SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_VTABLE_END};
  static const sd_bus_vtable session[] = {
      SD_BUS_VTABLE_START(0),
      SD_BUS_METHOD("Preserve", "tha{sv}", "", on_nothing, SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_METHOD("Retrieve", "t", "h", on_retrieve, SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_VTABLE_END};
  must(sd_bus_add_object_vtable(bus, nullptr, test::manager_path, test::manager_interface, manager,
                                this),
       "the manager");
  const auto find = [](sd_bus*, const char*, const char*, void* userdata, void** found,
                       sd_bus_error*) {
    *found = userdata;
    return 1;
  };
  must(sd_bus_add_fallback_vtable(bus, nullptr, "/org/handover1/session", test::session_interface,
                                  session, find, this),
       "sessions");
}

int BareDaemon::get_state(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                          void* userdata, sd_bus_error*) {
  return sd_bus_message_append(reply, "s", self(userdata).left_ == 0 ? "normal" : "restoring");
}

int BareDaemon::on_nothing(sd_bus_message* message, void*, sd_bus_error*) {
  return sd_bus_reply_method_return(message, "");
}

int BareDaemon::on_register(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto& daemon = self(userdata);
  const char* name = nullptr;
  const char* path = nullptr;
  must(sd_bus_message_read(message, "so", &name, &path), "a client");
  const char* sender = sd_bus_message_get_sender(message);
  daemon.clients_[name] = {sd_bus_message_get_bus(message), sender != nullptr ? sender : ""};
  must(sd_bus_reply_method_return(message, "s", daemon.restoring_ ? "restoring" : "new"),
       "an answer");
  if (daemon.restoring_ && (daemon.gate_is_open_ || std::strcmp(name, "gate") == 0)) {
    daemon.call(name);
  }
  return 1;
}

int BareDaemon::on_retrieve(sd_bus_message* message, void* userdata, sd_bus_error*) {
  return sd_bus_reply_method_return(message, "h", self(userdata).memory_.get());
}

int BareDaemon::on_update(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto& daemon = self(userdata);
  must(sd_bus_reply_method_return(message, ""), "an answer");
  daemon.left_ = daemon.clients_.size();
  for (const auto& [name, client] : daemon.clients_) {
    if (name != "gate") daemon.call(name);
  }
  return 1;
}

void BareDaemon::call(const std::string& client) {
  waiting_.push_back(client);
  send_waiting();
}

void BareDaemon::send_waiting() {
  for (; unanswered_ < most_unanswered && !waiting_.empty(); waiting_.pop_front()) {
    const auto& client = clients_.at(waiting_.front());
    sd_bus_message* made = nullptr;
    must(sd_bus_message_new_method_call(
             client.bus, &made, client.unique_name.empty() ? nullptr : client.unique_name.c_str(),
             "/c", test::client_interface, member_),
         "a call");
    const test::MessagePtr message(made);
    must(sd_bus_message_append(made, "a{sv}", 2, "generation", "t", UINT64_C(1), "timeout-usec",
                               "t", UINT64_C(30'000'000)),
         "arguments");
    sd_bus_slot* slot = nullptr;
    auto call = std::make_unique<Call>(Call{this, waiting_.front()});
    must(sd_bus_call_async(client.bus, &slot, made, on_answer, call.get(), 0), "calling");
    sd_bus_slot_set_destroy_callback(slot, [](void* userdata) {
      const std::unique_ptr<Call> owned(static_cast<Call*>(userdata));
    });
    sd_bus_slot_set_floating(slot, 1);
    sd_bus_slot_unref(slot);
    [[maybe_unused]] auto* const owned_by_slot = call.release();
    ++unanswered_;
  }
}

int BareDaemon::on_answer(sd_bus_message*, void* userdata, sd_bus_error*) {
  const auto call = *static_cast<Call*>(userdata);
  --call.daemon->unanswered_;
  call.daemon->answered(call.client);
  return 1;
}

void BareDaemon::answered(const std::string& client) {
  --left_;
  send_waiting();
  if (!restoring_) {
    if (left_ == 1) call("gate");
    if (left_ == 0) let_go();
    return;
  }
  if (client != "gate") return;
  gate_is_open_ = true;
  for (const auto& [name, other] : clients_) {
    if (name != "gate") call(name);
  }
}

void BareDaemon::let_go() {
  restoring_ = true;
  member_ = "Restore";
  left_ = clients_.size();
  clients_.clear();
  // Not from within a connection's own callback.
  const auto close = [](sd_event_source* source, void* userdata) {
    sd_event_source_unref(source);
    auto& daemon = self(userdata);
    // Each ends as if its client had closed it.
    for (const auto& [number, peer] : daemon.peers_) shutdown(sd_bus_get_fd(peer.get()), SHUT_RDWR);
    if (!daemon.system_) return 0;
    must(sd_bus_release_name(daemon.system_.get(), test::bus_name), "the name");
    must(sd_bus_request_name(daemon.system_.get(), test::bus_name, 0), "the name");
    return 0;
  };
  sd_event_source* source = nullptr;
  must(sd_event_add_defer(loop_.get(), &source, close, this), "letting go");
}

}  // namespace

int run_bare_daemon(const std::string& path, const std::string& bus_address) {
  return BareDaemon(path, bus_address).run();
}

}  // namespace handover::bench
