// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake_daemon.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <set>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#if defined(__SANITIZE_THREAD__)
/// The library under test and this daemon use sd-bus in two threads. libsystemd keeps the latest
/// key of its hash tables in a variable without a lock (systemd, get_hash_key() in hashmap.c).
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "race:getrandom\n"; }
#endif

namespace handover::client::test {
namespace {

// Far more than any machine needs: only a test that fails waits so long.
constexpr std::chrono::seconds patience(60);

int check(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + " failed in the fake daemon");
  return result;
}

}  // namespace

/// One peer, and the sessions' state that it made.
struct FakeDaemon::Connection {
  FakeDaemon* daemon = nullptr;
  std::string state;
  sd_bus* bus = nullptr;
  std::string client_path;
  std::set<std::string> clients;
  std::vector<std::pair<std::string, sd_bus_message*>> held;  ///< names, and their registrations
  std::map<std::string, std::map<std::uint64_t, int>> sessions;
  std::map<std::uint64_t, std::string> backends;  ///< asked for, by token

  ~Connection() {
    for (auto& [name, message] : held) sd_bus_message_unref(message);
    for (auto& [name, tokens] : sessions) {
      for (auto& [token, fd] : tokens) close(fd);
    }
    sd_bus_close_unref(bus);
  }

  static int on_register(sd_bus_message* message, void* userdata, sd_bus_error*) {
    auto* self = static_cast<Connection*>(userdata);
    const char* name = nullptr;
    const char* path = nullptr;
    const int r = sd_bus_message_read(message, "so", &name, &path);
    if (r < 0) return r;
    self->client_path = path;
    // Counted first: the answer is on its way before the call below returns, and a test that has
    // seen it looks at the count.
    ++self->daemon->registrations_;
    if (const auto& refusal = self->daemon->refusal_; !refusal.empty()) {
      return sd_bus_reply_method_errorf(message, ("org.handover1.Error." + refusal).c_str(),
                                        "Refused.");
    }
    if (self->daemon->holds_) {
      self->held.emplace_back(name, sd_bus_message_ref(message));
      return 1;
    }
    return self->add_client(name, message);
  }

  int add_client(const std::string& name, sd_bus_message* message) {
    clients.insert(name);
    daemon->clients_ = static_cast<int>(clients.size());
    return sd_bus_reply_method_return(message, "s", state.c_str());
  }

  void let_go() {
    for (auto& [name, message] : held) {
      add_client(name, message);
      sd_bus_message_unref(message);
    }
    held.clear();
  }

  /// It knows those that were not refused.
  static int on_unregister(sd_bus_message* message, void* userdata, sd_bus_error*) {
    auto* self = static_cast<Connection*>(userdata);
    const char* name = nullptr;
    const int r = sd_bus_message_read(message, "s", &name);
    if (r < 0) return r;
    if (self->daemon->stands_still_ > 0) {
      --self->daemon->stands_still_;
      ++self->daemon->unregistrations_;
      return sd_bus_reply_method_errorf(message, "org.handover1.Error.Busy", "Later.");
    }
    const bool known = self->clients.erase(name) > 0;
    self->daemon->clients_ = static_cast<int>(self->clients.size());
    ++self->daemon->unregistrations_;
    if (known) return sd_bus_reply_method_return(message, nullptr);
    return sd_bus_reply_method_errorf(message, "org.handover1.Error.NoSuchClient", "Unknown.");
  }

  /// One of the name "held" is made, and never answered.
  static int on_create(sd_bus_message* message, void* userdata, sd_bus_error* error) {
    auto* self = static_cast<Connection*>(userdata);
    const char* name = nullptr;
    int r = sd_bus_message_read(message, "s", &name);
    if (r < 0) return r;
    if (self->sessions.count(name) != 0) {
      return sd_bus_error_setf(error, "org.handover1.Error.NameTaken", "A session '%s' exists.",
                               name);
    }
    self->sessions[name];
    if (std::string_view(name) == "held") return 1;
    char* path = nullptr;
    r = sd_bus_path_encode("/org/handover1/session", name, &path);
    if (r < 0) return r;
    r = sd_bus_reply_method_return(message, "o", path);
    free(path);
    return r;
  }

  static int on_get_session(sd_bus_message* message, void* userdata, sd_bus_error* error) {
    auto* self = static_cast<Connection*>(userdata);
    const char* name = nullptr;
    const int r = sd_bus_message_read(message, "s", &name);
    if (r < 0) return r;
    if (self->sessions.count(name) != 0) {
      return sd_bus_reply_method_return(message, "o", "/org/handover1/session/x");
    }
    return sd_bus_error_setf(error, "org.handover1.Error.NoSuchSession", "No session '%s'.", name);
  }

  static int on_discard(sd_bus_message* message, void* userdata, sd_bus_error*) {
    auto* self = static_cast<Connection*>(userdata);
    char* name = nullptr;
    if (sd_bus_path_decode(sd_bus_message_get_path(message), "/org/handover1/session", &name) > 0) {
      for (auto& [token, fd] : self->sessions[name]) close(fd);
      self->sessions.erase(name);
    }
    free(name);
    return sd_bus_reply_method_return(message, nullptr);
  }

  static int find_session(sd_bus*, const char* path, const char*, void* userdata, void** found,
                          sd_bus_error*) {
    auto* self = static_cast<Connection*>(userdata);
    *found = self->tokens_at(path) ? self : nullptr;
    return *found ? 1 : 0;
  }

  /// Of a session that another process made; NULL for others.
  const Held* held_at(const char* path) {
    char* name = nullptr;
    if (sd_bus_path_decode(path, "/org/handover1/session", &name) <= 0) return nullptr;
    const auto found = daemon->held_.find(name);
    free(name);
    return found == daemon->held_.end() ? nullptr : &found->second;
  }

  static int get_client(sd_bus*, const char* path, const char*, const char*, sd_bus_message* reply,
                        void* userdata, sd_bus_error*) {
    const Held* session = static_cast<Connection*>(userdata)->held_at(path);
    return sd_bus_message_append(reply, "s", session ? session->client.c_str() : "");
  }

  static int get_incoming(sd_bus*, const char* path, const char*, const char*,
                          sd_bus_message* reply, void* userdata, sd_bus_error*) {
    const Held* session = static_cast<Connection*>(userdata)->held_at(path);
    return sd_bus_message_append(reply, "b", session && session->incoming ? 1 : 0);
  }

  std::map<std::uint64_t, int>* tokens_at(const char* path) {
    char* name = nullptr;
    if (sd_bus_path_decode(path, "/org/handover1/session", &name) <= 0) return nullptr;
    const auto session = sessions.find(name);
    free(name);
    return session == sessions.end() ? nullptr : &session->second;
  }

  static int on_preserve(sd_bus_message* message, void* userdata, sd_bus_error*) {
    auto* tokens = static_cast<Connection*>(userdata)->tokens_at(sd_bus_message_get_path(message));
    std::uint64_t token = 0;
    int fd = -1;
    int r = sd_bus_message_read(message, "th", &token, &fd);
    if (r >= 0) r = sd_bus_message_enter_container(message, 'a', "{sv}");
    const char* backend = "luo";
    if (r >= 0 && sd_bus_message_at_end(message, 0) == 0) {
      r = sd_bus_message_read(message, "{sv}", nullptr, "s", &backend);
    }
    if (r < 0) return r;
    (*tokens)[token] = dup(fd);
    static_cast<Connection*>(userdata)->backends[token] = backend;
    return sd_bus_reply_method_return(message, nullptr);
  }

  static int on_retrieve(sd_bus_message* message, void* userdata, sd_bus_error* error) {
    auto* tokens = static_cast<Connection*>(userdata)->tokens_at(sd_bus_message_get_path(message));
    std::uint64_t token = 0;
    const int r = sd_bus_message_read(message, "t", &token);
    if (r < 0) return r;
    const auto found = tokens->find(token);
    if (found == tokens->end()) {
      return sd_bus_error_set(error, "org.handover1.Error.NoSuchToken", "There is no such token.");
    }
    return sd_bus_reply_method_return(message, "h", found->second);
  }

  /// Whatever is preserved first stands for the module's session, and for LUO's.
  static int on_open_tracker(sd_bus_message* message, void* userdata, sd_bus_error* error) {
    auto* tokens = static_cast<Connection*>(userdata)->tokens_at(sd_bus_message_get_path(message));
    if (tokens->empty()) {
      return sd_bus_error_set(error, "org.handover1.Error.NoSuchBackend", "No module.");
    }
    return sd_bus_reply_method_return(message, "h", tokens->begin()->second);
  }

  static int get_tokens(sd_bus*, const char* path, const char*, const char*, sd_bus_message* reply,
                        void* userdata, sd_bus_error*) {
    auto* self = static_cast<Connection*>(userdata);
    auto* tokens = self->tokens_at(path);
    int r = sd_bus_message_open_container(reply, 'a', "(tstbs)");
    for (const auto& [token, fd] : *tokens) {
      if (r >= 0) {
        r = sd_bus_message_append(reply, "(tstbs)", token, "memfd", std::uint64_t{4096}, 0,
                                  self->backends[token].c_str());
      }
    }
    return r < 0 ? r : sd_bus_message_close_container(reply);
  }

  static int on_answer(sd_bus_message* message, void* userdata, sd_bus_error*) {
    auto* self = static_cast<Connection*>(userdata);
    const sd_bus_error* error = sd_bus_message_get_error(message);
    const std::lock_guard lock(self->daemon->mutex_);
    self->daemon->answer_ = Answer{error ? error->name : "", error ? error->message : ""};
    self->daemon->changed_.notify_all();
    return 0;
  }

  void serve(int fd) {
    static const sd_bus_vtable manager[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("RegisterClient", "soasa{sv}", "s", on_register, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("UnregisterClient", "s", "", on_unregister, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("CreateSession", "sa{sv}", "o", on_create, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetSession", "s", "o", on_get_session, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END};
    static const sd_bus_vtable session[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Client", "s", get_client, 0, 0),
        SD_BUS_PROPERTY("Incoming", "b", get_incoming, 0, 0),
        SD_BUS_PROPERTY("Tokens", "a(tstbs)", get_tokens, 0, 0),
        SD_BUS_METHOD("Preserve", "tha{sv}", "", on_preserve, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("OpenTracker", "", "h", on_open_tracker, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("OpenLUO", "", "h", on_open_tracker, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Retrieve", "t", "h", on_retrieve, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Discard", "", "", on_discard, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END};
    sd_id128_t id = {};
    check(sd_id128_randomize(&id), "sd_id128_randomize");
    check(sd_bus_new(&bus), "sd_bus_new");
    check(sd_bus_set_fd(bus, fd, fd), "sd_bus_set_fd");
    check(sd_bus_set_server(bus, 1, id), "sd_bus_set_server");
    check(sd_bus_negotiate_fds(bus, 1), "sd_bus_negotiate_fds");
    check(sd_bus_start(bus), "sd_bus_start");
    check(sd_bus_add_object_vtable(bus, nullptr, "/org/handover1", "org.handover1.Manager", manager,
                                   this),
          "sd_bus_add_object_vtable");
    check(sd_bus_add_fallback_vtable(bus, nullptr, "/org/handover1/session",
                                     "org.handover1.Session", session, find_session, this),
          "sd_bus_add_fallback_vtable");
  }
};

FakeDaemon::FakeDaemon(std::string path) : path_(std::move(path)) {}

void FakeDaemon::start(const std::string& state) {
  unlink(path_.c_str());
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::copy(path_.begin(), path_.end(), std::begin(address.sun_path));
  const int listener = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  check(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), "bind");
  check(listen(listener, 16), "listen");
  wake_ = check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  stopping_ = false;
  thread_ = std::thread([this, listener, state] { run(listener, state); });
}

void FakeDaemon::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  eventfd_write(wake_, 1);
  thread_.join();
  close(wake_);
  unlink(path_.c_str());
}

void FakeDaemon::let_registrations_go() {
  holds_ = false;
  eventfd_write(wake_, 1);
}

void FakeDaemon::hold_session(const std::string& name, const std::string& client, bool incoming) {
  held_[name] = {client, incoming};
}

void FakeDaemon::call_client(const std::string& method) {
  {
    const std::lock_guard lock(mutex_);
    wanted_method_ = method;
    answer_.reset();
  }
  eventfd_write(wake_, 1);
}

std::optional<FakeDaemon::Answer> FakeDaemon::wait_for_answer() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, patience, [&] { return answer_.has_value(); });
  return answer_;
}

void FakeDaemon::run(int listener, std::string state) {
  std::vector<std::unique_ptr<Connection>> connections;
  for (;;) {
    std::string method;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) break;
      method = std::exchange(wanted_method_, "");
    }
    std::vector<pollfd> waits = {{listener, POLLIN, 0}, {wake_, POLLIN, 0}};
    for (auto& connection : connections) {
      if (!method.empty() && !connection->client_path.empty()) {
        check(
            sd_bus_call_method_async(
                connection->bus, nullptr, nullptr, connection->client_path.c_str(),
                "org.handover1.Client", method.c_str(), Connection::on_answer, connection.get(),
                "a{sv}", 6, "generation", "t", std::uint64_t{4}, "timeout-usec", "t",
                std::uint64_t{2'000'000}, "quiesced", "b", method == "Restore" ? 0 : 1, "rehearsal",
                "b", method == "Prepare" || method == "Freeze" ? 1 : 0, "stays-prepared", "b",
                method == "Thaw" ? 1 : 0, "a-new-field", "as", 1, "of a newer daemon"),
            "sd_bus_call_method_async");
      }
      if (!holds_) connection->let_go();
      while (sd_bus_process(connection->bus, nullptr) > 0) {
      }
      const int events = sd_bus_get_events(connection->bus);
      if (events >= 0) {
        waits.push_back({sd_bus_get_fd(connection->bus), static_cast<short>(events), 0});
      }
    }
    poll(waits.data(), waits.size(), 1000);
    eventfd_t count = 0;
    eventfd_read(wake_, &count);
    if ((waits[0].revents & POLLIN) != 0) {
      auto connection = std::make_unique<Connection>();
      connection->daemon = this;
      connection->state = state;
      for (const auto& [name, session] : held_) connection->sessions[name];
      connection->serve(check(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept4"));
      connections.push_back(std::move(connection));
    }
  }
  close(listener);
}

}  // namespace handover::client::test
