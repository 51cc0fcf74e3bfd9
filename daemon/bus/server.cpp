// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/server.h"

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "system/log.h"

namespace handover::bus {

namespace {

/// The daemon's own user may do what root may, also where a test runs it.
uid_t charged_user(uid_t uid) { return uid == geteuid() ? 0 : uid; }

std::string id_of_peer(std::uint64_t number) { return "direct-" + std::to_string(number); }

}  // namespace

Server::Server(system::Loop& loop, const Limits& limits)
    : loop_(loop),
      limits_(limits),
      calls_(limits.calls),
      peers_(limits.peers),
      histories_(limits.histories),
      authority_(limits.questions),
      senders_(limits.senders),
      private_socket_(loop),
      group_socket_(loop),
      peer_poll_(loop, [this](std::uint64_t peer) { peer_gone(id_of_peer(peer)); }),
      bus_(loop, {[this](sd_bus* bus) { return serve_bus(bus); }, [this] { bus_lost(); }}),
      asking_(loop, {[this](sd_bus* bus) {
                       ask_by(bus);
                       return Result<void>();
                     },
                     [this] { ask_by(nullptr); }}) {}

Result<void> Server::listen(const std::string& path) { return private_socket_.listen(path); }

Result<void> Server::listen_for_group(const std::string& path, gid_t group) {
  return group_socket_.listen(path, group);
}

void Server::connect() {
  asking_.connect();
  bus_.connect();
}

Result<void> Server::open_doors() {
  doors_open_ = true;
  if (auto opened = peer_poll_.open(); !opened) return opened;
  for (auto* socket : {&private_socket_, &group_socket_}) {
    if (!socket->listens()) continue;
    auto opened = socket->open([this](Peer peer) { serve_peer(std::move(peer)); });
    if (!opened) return opened;
  }
  return request_name();
}

void Server::serve_peer(Peer peer) {
  const auto served = try_to_serve(std::move(peer));
  if (served) return;
  const std::string what = "A private connection could not be served: " + served.error().message;
  // Whoever tries all the time fills no log.
  if (served.error().code == ErrorCode::limit_exceeded) return log::debug(what);
  log::warning(what);
}

Result<void> Server::try_to_serve(Peer peer) {
  auto share = peers_.take(charged_user(peer.uid));
  if (!share) {
    return fail(ErrorCode::limit_exceeded, "User " + std::to_string(peer.uid) +
                                               ", or all users but root together, have as many "
                                               "connections as they may.");
  }
  sd_bus* made = nullptr;
  sd_id128_t id{};
  int result = sd_bus_new(&made);
  BusPtr bus(made);
  if (result >= 0) result = sd_bus_set_fd(made, peer.socket.get(), peer.socket.get());
  if (result >= 0) [[maybe_unused]]
    const int taken = peer.socket.release();
  if (result >= 0) result = sd_id128_randomize(&id);
  if (result >= 0) result = sd_bus_set_server(made, 1, id);
  if (result >= 0) result = sd_bus_negotiate_fds(made, 1);
  if (result >= 0) result = sd_bus_start(made);
  if (auto started = check(result, "connecting"); !started) return started;

  auto link = std::make_unique<Link>(*this, loop_, std::move(bus));
  link->direct = true;
  link->share = std::move(*share);
  const auto number = next_peer_++;
  link->id = id_of_peer(number);
  link->peer = std::move(peer.caller);
  if (link->peer) link->peer->connection = link->id;
  if (auto added = add_objects(*link); !added) return added;
  if (auto watched = peer_poll_.add(number, made, link->unread); !watched) return watched;
  auto id_copy = link->id;
  links_.peers.emplace(std::move(id_copy), std::move(link));
  return {};
}

void Server::peer_gone(const std::string& id) {
  const auto peer = links_.peers.find(id);
  if (peer == links_.peers.end()) return;
  signals_.left(*peer->second);
  links_.peers.erase(peer);
  engine().connection_gone(id);
}

Result<void> Server::serve_bus(sd_bus* bus) {
  auto served = try_to_serve_bus(bus);
  if (!served) {
    senders_.detach();
    links_.bus.reset();
  }
  return served;
}

Result<void> Server::try_to_serve_bus(sd_bus* bus) {
  links_.bus = std::make_unique<Link>(*this, loop_, BusPtr(sd_bus_ref(bus)));
  links_.bus->id = "system";
  // In front of the objects: their handlers know who calls.
  if (auto attached = senders_.attach(bus); !attached) return attached;
  if (auto added = add_objects(*links_.bus); !added) return added;
  sd_bus_slot* slot = nullptr;
  const int result = sd_bus_add_match_async(bus, &slot,
                                            "type='signal',sender='org.freedesktop.DBus',"
                                            "interface='org.freedesktop.DBus',"
                                            "member='NameOwnerChanged',"
                                            "path='/org/freedesktop/DBus',arg2=''",
                                            safe<on_name_lost>, nullptr, this);
  if (auto matched = check(result, "watching who leaves the bus"); !matched) return matched;
  links_.bus->slots.emplace_back(slot);
  return doors_open_ ? request_name() : Result<void>();
}

Result<void> Server::request_name() {
  if (!links_.bus) return {};
  sd_bus_slot* slot = nullptr;
  // Queued behind a daemon that is just going (re-exec); a second daemon is kept out by the lock.
  const int result = sd_bus_request_name_async(links_.bus->bus.get(), &slot, bus_name,
                                               SD_BUS_NAME_QUEUE, safe<on_name_reply>, this);
  if (auto requested = check(result, "requesting the bus name"); !requested) return requested;
  links_.bus->slots.emplace_back(slot);
  return {};
}

void Server::bus_lost() {
  senders_.detach();
  authority_.all_gone();
  signals_.bus_lost();
  links_.bus.reset();
  // A new bus gives the same unique names to others.
  ++buses_lost_;
  for (const auto& connection : engine().connections()) {
    if (connection.starts_with(':')) engine().connection_gone(connection);
  }
}

void Server::ask_by(sd_bus* asking) {
  authority_.ask_by(asking);
  senders_.ask_by(asking);
  // What was asked on the connection before may have been answered by nobody.
  if (asking != nullptr && doors_open_) look_for_lost_clients();
}

int Server::on_name_reply(sd_bus_message* message, void*, sd_bus_error*) {
  if (const auto* error = sd_bus_message_get_error(message)) {
    log::critical("The bus refuses the name ", bus_name, ": ",
                  error->message != nullptr ? error->message : error->name);
  }
  return 1;
}

int Server::on_name_lost(sd_bus_message* message, void* userdata, sd_bus_error*) {
  const char* name = nullptr;
  const char* before = nullptr;
  const char* after = nullptr;
  if (sd_bus_message_read(message, "sss", &name, &before, &after) >= 0 && *name == ':') {
    static_cast<Server*>(userdata)->left_bus(name);
  }
  return 0;
}

void Server::left_bus(const std::string& name) {
  senders_.gone(name);
  authority_.gone(name);
  signals_.left_bus(name);
  engine().connection_gone(name);
}

void Server::look_for_lost_clients() {
  auto* asking = asking_.get();
  if (asking == nullptr) return;  // ask_by() looks again
  for (const auto& name : engine().connections()) {
    if (!name.starts_with(':')) continue;
    sd_bus_message* made = nullptr;
    int result = sd_bus_message_new_method_call(asking, &made, "org.freedesktop.DBus",
                                                "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                                "NameHasOwner");
    const MessagePtr call(made);
    if (result >= 0) result = sd_bus_message_append(made, "s", name.c_str());
    if (result >= 0) {
      result = call_then(made, UINT64_MAX, [this, name, bus = buses_lost_](sd_bus_message* reply) {
        int there = 1;
        if (sd_bus_message_read(reply, "b", &there) < 0 || there != 0) return;
        loop_.post([this, name, bus] {
          if (bus == buses_lost_) left_bus(name);
        });
      });
    }
    if (result < 0) log::error("The bus cannot be asked whether client ", name, " is there.");
  }
}

Result<void> Server::add_objects(Link& link) {
  for (const auto add :
       {add_manager_object, add_session_objects, add_job_objects, add_log_control}) {
    if (auto added = add(link); !added) return added;
  }
  return {};
}

Result<engine::Caller> Server::caller_of(const Link& link, sd_bus_message* message) const {
  return link.direct ? link.peer : senders_.caller_of(message);
}

Result<HeldCallPtr> Server::hold(const Link& link, sd_bus_message* message) {
  auto caller = caller_of(link, message);
  if (!caller) return fail(caller.error());
  log::debug(caller->connection, ", uid ", caller->owner.uid,
             caller->owner.unit.empty() ? "" : ", ", caller->owner.unit, ", calls ",
             sd_bus_message_get_member(message), ".");
  auto share = calls_.take(charged_user(caller->owner.uid));
  if (!share) {
    ++refused_calls_;
    return fail(ErrorCode::busy,
                "Too many calls of this user wait for their answers; wait, and call again.");
  }
  return std::make_shared<HeldCall>(message, std::move(*caller), std::move(*share));
}

Result<std::shared_ptr<Quota::Share>> Server::take_history(const engine::Caller& caller) {
  auto share = histories_.take(charged_user(caller.owner.uid));
  if (share) return std::make_shared<Quota::Share>(std::move(*share));
  ++refused_calls_;
  return fail(ErrorCode::busy,
              "Too many calls for the history are at work; wait for an answer, and call again.");
}

Result<void> Server::make_room(const engine::Caller& caller, std::size_t bytes) {
  auto* const link = links_.find(caller.connection);
  if (link == nullptr) return {};  // nobody gets it
  const auto most = link->direct ? limits_.unread_bytes : limits_.unread_bytes_on_bus;
  if (link->unread.bytes() + bytes > most) {
    ++refused_calls_;
    return fail(ErrorCode::busy,
                "Earlier answers on this connection are not read yet; read them, and call again.");
  }
  link->unread.add(bytes);
  return {};
}

engine::Engine::Statistics Server::statistics() const {
  std::uint64_t queued = 0;
  std::uint64_t unanswered = 0;
  const auto add = [&](const Link& link) {
    queued += link.calls->waiting();
    unanswered += link.calls->unanswered();
  };
  if (links_.bus) add(*links_.bus);
  for (const auto& [id, peer] : links_.peers) add(*peer);
  auto all = engine_->statistics();
  all["connections"] = links_.peers.size();
  all["subscribers"] = signals_.subscribers();
  all["calls-queued"] = queued;
  all["calls-unanswered"] = unanswered;
  all["calls-held"] = calls_.taken();
  all["calls-of-strangers"] = senders_.held();
  all["calls-refused"] = refused_calls_ + senders_.refused();
  all["questions-open"] = authority_.open_questions();
  all["questions-refused"] = authority_.refused();
  return all;
}

}  // namespace handover::bus
