// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "system/log.h"

namespace handover::bus {

namespace {

constexpr std::uint64_t reconnect_usec = 1'000'000;
constexpr const char* default_bus_address = "unix:path=/run/dbus/system_bus_socket";

}  // namespace

std::string session_path(const std::string& name) {
  char* path = nullptr;
  if (sd_bus_path_encode(session_root, name.c_str(), &path) < 0) return session_root;
  std::string result = path;
  std::free(path);  // NOLINT(cppcoreguidelines-no-malloc): sd-bus allocates with malloc()
  return result;
}

std::string job_path(std::uint64_t id) { return std::string(job_root) + "/" + std::to_string(id); }

Result<void> Server::listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::io, "The path " + path + " is too long for a socket.");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket");
  unlink(path.c_str());
  const auto mask = umask(0177);
  const int bound = bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  umask(mask);
  if (bound < 0) return fail_errno("bind " + path);
  if (::listen(fd.get(), SOMAXCONN) < 0) return fail_errno("listen " + path);
  listener_ = std::move(fd);
  return check(sd_event_add_io(loop_.get(), nullptr, listener_.get(), EPOLLIN, on_peer, this),
               "sd_event_add_io");
}

int Server::on_peer(sd_event_source*, int fd, std::uint32_t, void* userdata) {
  auto& server = *static_cast<Server*>(userdata);
  UniqueFd peer(accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!peer) return 0;  // it has gone again
  auto link = std::make_unique<Link>(server.loop_);
  link->direct = true;
  link->id = "direct-" + std::to_string(server.next_peer_++);
  sd_bus* bus = nullptr;
  sd_id128_t id{};
  int result = sd_bus_new(&bus);
  link->bus.reset(bus);
  if (result >= 0) result = sd_bus_set_fd(bus, peer.get(), peer.get());
  if (result >= 0) [[maybe_unused]]
    const int taken = peer.release();
  if (result >= 0) result = sd_id128_randomize(&id);
  if (result >= 0) result = sd_bus_set_server(bus, 1, id);
  if (result >= 0) result = sd_bus_negotiate_fds(bus, 1);
  if (result >= 0) result = sd_bus_start(bus);
  if (result >= 0) result = sd_bus_attach_event(bus, server.loop_.get(), SD_EVENT_PRIORITY_NORMAL);
  auto added = check(result, "private connection");
  if (added) added = server.add_objects(*link);
  if (!added) {
    log::warning("A private connection could not be served: ", added.error().message);
    return 0;
  }
  auto id_copy = link->id;
  server.links_.emplace(std::move(id_copy), std::move(link));
  return 0;
}

Result<void> Server::connect() {
  auto link = std::make_unique<Link>(loop_);
  link->id = "system";
  sd_bus* bus = nullptr;
  const char* address = std::getenv("DBUS_SYSTEM_BUS_ADDRESS");
  int result = sd_bus_new(&bus);
  link->bus.reset(bus);
  if (result >= 0) {
    result = sd_bus_set_address(bus, address != nullptr ? address : default_bus_address);
  }
  if (result >= 0) result = sd_bus_set_bus_client(bus, 1);
  if (result >= 0) result = sd_bus_negotiate_fds(bus, 1);
  if (result >= 0) result = sd_bus_set_watch_bind(bus, 1);
  if (result >= 0) result = sd_bus_start(bus);
  if (result >= 0) result = sd_bus_attach_event(bus, loop_.get(), SD_EVENT_PRIORITY_NORMAL);
  if (auto started = check(result, "connecting to the system bus"); !started) return started;
  if (auto added = add_objects(*link); !added) return added;
  if (auto attached = authority_.attach(*link); !attached) return attached;

  sd_bus_slot* slot = nullptr;
  // Queued behind a daemon that is just going (re-exec); a second daemon is kept out by the lock.
  result = sd_bus_request_name_async(bus, &slot, bus_name, SD_BUS_NAME_QUEUE, on_name_reply, this);
  if (result >= 0) {
    link->slots.emplace_back(slot);
    result = sd_bus_add_match_async(bus, &slot,
                                    "type='signal',sender='org.freedesktop.DBus',"
                                    "interface='org.freedesktop.DBus',member='NameOwnerChanged',"
                                    "path='/org/freedesktop/DBus',arg2=''",
                                    on_name_lost, nullptr, this);
  }
  if (result >= 0) link->slots.emplace_back(slot);
  if (auto matched = check(result, "using the system bus"); !matched) return matched;
  links_.insert_or_assign("system", std::move(link));
  return {};
}

int Server::on_name_reply(sd_bus_message* message, void*, sd_bus_error*) {
  if (const auto* error = sd_bus_message_get_error(message)) {
    log::critical("The bus refuses the name ", bus_name, ": ",
                  error->message != nullptr ? error->message : error->name);
  }
  return 1;
}

int Server::on_disconnected(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto& server = *static_cast<Server*>(userdata);
  const auto& link = server.link_of(message);
  // Not from within the connection's own callback.
  server.loop_.post([&server, id = link.id, direct = link.direct] {
    if (direct) {
      server.links_.erase(id);
      server.engine().connection_gone(id);
      return;
    }
    log::warning("The system bus is gone; connecting again.");
    // And everybody on it: a new bus gives the same unique names to others.
    std::set<std::string> gone;
    for (const auto& [name, client] : server.engine().clients()) {
      if (client.bus_name.starts_with(':')) gone.insert(client.bus_name);
    }
    for (const auto& connection : gone) server.engine().connection_gone(connection);
    server.reconnect_ = server.loop_.after(reconnect_usec, [&server] {
      if (auto connected = server.connect(); !connected) {
        log::error(connected.error().message);
      }
    });
  });
  return 0;
}

int Server::on_name_lost(sd_bus_message* message, void* userdata, sd_bus_error*) {
  const char* name = nullptr;
  const char* before = nullptr;
  const char* after = nullptr;
  if (sd_bus_message_read(message, "sss", &name, &before, &after) >= 0 && *name == ':') {
    static_cast<Server*>(userdata)->engine().connection_gone(name);
  }
  return 0;
}

void Server::look_for_lost_clients() {
  auto& link = *links_.at("system");
  struct Look {
    Server* server;
    std::string name;
  };
  for (const auto& [name, client] : engine_->clients()) {
    if (!client.bus_name.starts_with(':')) continue;
    auto look = std::make_unique<Look>(Look{this, client.bus_name});
    sd_bus_slot* slot = nullptr;
    const int result = sd_bus_call_method_async(
        link.bus.get(), &slot, "org.freedesktop.DBus", "/org/freedesktop/DBus",
        "org.freedesktop.DBus", "NameHasOwner",
        [](sd_bus_message* reply, void* userdata, sd_bus_error*) {
          const auto& looked = *static_cast<Look*>(userdata);
          int there = 1;
          if (sd_bus_message_read(reply, "b", &there) >= 0 && there == 0) {
            looked.server->loop_.post([server = looked.server, lost = looked.name] {
              server->engine().connection_gone(lost);
            });
          }
          return 1;
        },
        look.get(), "s", client.bus_name.c_str());
    if (result < 0) continue;
    sd_bus_slot_set_destroy_callback(slot, [](void* userdata) {
      const std::unique_ptr<Look> owned(static_cast<Look*>(userdata));
    });
    [[maybe_unused]] auto* const owned_by_slot = look.release();
    link.slots.emplace_back(slot);
  }
}

Result<void> Server::add_objects(Link& link) {
  for (const auto add : {add_manager_object, add_session_objects, add_job_objects}) {
    if (auto added = add(*this, link); !added) return added;
  }
  if (auto added = add_log_control(link); !added) return added;
  sd_bus_slot* slot = nullptr;
  // sd-bus makes this signal itself when the connection ends.
  const int result = sd_bus_match_signal_async(
      link.bus.get(), &slot, nullptr, "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
      "Disconnected", on_disconnected, nullptr, this);
  if (result >= 0) link.slots.emplace_back(slot);
  return check(result, "watching a connection");
}

const Link& Server::link_of(sd_bus_message* message) const {
  auto* bus = sd_bus_message_get_bus(message);
  for (const auto& [id, link] : links_) {
    if (link->bus.get() == bus) return *link;
  }
  std::abort();  // a message of a connection that is not ours
}

Link* Server::link_for(const std::string& connection) const {
  const auto it = links_.find(connection.starts_with(':') ? "system" : connection);
  return it == links_.end() ? nullptr : it->second.get();
}

void Server::flush() {
  for (const auto& [id, link] : links_) {
    // A peer that does not read must not hold the update up.
    if (sd_bus_is_ready(link->bus.get()) > 0) sd_bus_process(link->bus.get(), nullptr);
  }
}

template <typename... Arguments>
void Server::signal(const char* member, const char* types, Arguments... arguments) {
  for (const auto& [id, link] : links_) {
    sd_bus_emit_signal(link->bus.get(), manager_path, manager_interface, member, types,
                       arguments...);
  }
}

void Server::changed(const std::string& path, const char* interface, const char* property) {
  for (const auto& [id, link] : links_) {
    sd_bus_emit_properties_changed(link->bus.get(), path.c_str(), interface, property, nullptr);
  }
}

void Server::manager_changed(const char* property) {
  changed(manager_path, manager_interface, property);
}
void Server::session_changed(const std::string& session, const char* property) {
  changed(session_path(session), session_interface, property);
}
void Server::session_added(const std::string& session) {
  // Under a name that was there before, and incoming.
  session_changed(session, "Incoming");
  signal("SessionAdded", "so", session.c_str(), session_path(session).c_str());
}
void Server::session_removed(const std::string& session) {
  signal("SessionRemoved", "so", session.c_str(), session_path(session).c_str());
}
void Server::client_added(const std::string& client) { signal("ClientAdded", "s", client.c_str()); }
void Server::client_removed(const std::string& client) {
  signal("ClientRemoved", "s", client.c_str());
}
void Server::client_changed(const ClientRecord& client) {
  signal("ClientChanged", "ss", client.name.c_str(), std::string(to_string(client.phase)).c_str());
}
void Server::job_added(std::uint64_t id) {
  signal("JobNew", "uo", static_cast<std::uint32_t>(id), job_path(id).c_str());
}
void Server::job_changed(std::uint64_t id) {
  const auto path = job_path(id);
  for (const auto& [name, link] : links_) {
    sd_bus_emit_properties_changed(link->bus.get(), path.c_str(), job_interface, "Phase",
                                   "Progress", "Detail", nullptr);
  }
}
void Server::job_removed(std::uint64_t id, const std::string& result, const std::string& reason) {
  signal("JobRemoved", "uoss", static_cast<std::uint32_t>(id), job_path(id).c_str(), result.c_str(),
         reason.c_str());
}
void Server::update_finished(const std::string& outcome, const std::string& reason,
                             std::uint64_t generation) {
  signal("UpdateFinished", "sst", outcome.c_str(), reason.c_str(), generation);
}
void Server::state_lost(const std::string& session, const std::string& client,
                        const std::string& reason) {
  signal("StateLost", "sss", session.c_str(), client.c_str(), reason.c_str());
}

}  // namespace handover::bus
