// SPDX-License-Identifier: LGPL-2.1-or-later
#include "connector.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace handover::client {
namespace {

constexpr std::uint64_t forever = UINT64_MAX;
// The private socket is polled besides being watched: its directory may not be there yet, and a
// socket can be seen between bind() and listen().
constexpr std::uint64_t first_tick_usec = 5'000;
constexpr std::uint64_t longest_tick_usec = 500'000;
// Early in a boot the bus's socket takes connections long before a bus daemon answers them, so
// whoever may use the private socket gives it this head start.
constexpr std::uint64_t bus_head_start_usec = 250'000;
/// Who does not wait for anything to come waits so long for the answer of what is there: D-Bus's
/// own limit of a call.
constexpr std::uint64_t answer_usec = 25'000'000;

std::uint64_t now_usec() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

/// A connected socket, or a negative errno. The listener must run as root or as this user.
int connect_private(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return -ENAMETOOLONG;
  std::copy(path.begin(), path.end(), std::begin(address.sun_path));

  sd::Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.value < 0) return -errno;
  if (connect(fd.value, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) {
    return -errno;
  }
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd.value, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return -errno;
  if (peer.uid != 0 && peer.uid != geteuid()) return -EPERM;
  return fd.release();
}

int make_peer_bus(sd::Fd fd, sd::Bus* ret) {
  sd_bus* raw = nullptr;
  int r = sd_bus_new(&raw);
  if (r < 0) return r;
  sd::Bus bus(raw);
  r = sd_bus_set_fd(bus.get(), fd.value, fd.value);
  if (r < 0) return r;
  fd.release();
  r = sd_bus_negotiate_fds(bus.get(), 1);
  if (r < 0) return r;
  r = sd_bus_start(bus.get());
  if (r < 0) return r;
  *ret = std::move(bus);
  return 0;
}

/// As sd_bus_open_system(), and waits for the bus's socket to appear.
int make_system_bus(bool wait, sd::Bus* ret) {
  sd_bus* raw = nullptr;
  int r = sd_bus_new(&raw);
  if (r < 0) return r;
  sd::Bus bus(raw);
  const char* address = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
  if (!address || !*address) address = "unix:path=/run/dbus/system_bus_socket";
  r = sd_bus_set_address(bus.get(), address);
  if (r >= 0) r = sd_bus_set_bus_client(bus.get(), 1);
  if (r >= 0) r = sd_bus_negotiate_fds(bus.get(), 1);
  if (r >= 0) r = sd_bus_set_watch_bind(bus.get(), wait);
  if (r >= 0) r = sd_bus_start(bus.get());
  if (r < 0) return r;
  *ret = std::move(bus);
  return 0;
}

}  // namespace

std::optional<std::string> private_socket_path() {
  const char* chosen = secure_getenv("HANDOVER_PRIVATE_SOCKET");
  if (chosen) return *chosen ? std::optional<std::string>(chosen) : std::nullopt;
  if (geteuid() == 0) return "/run/handover/private";
  return std::nullopt;
}

Connector::Connector(sd_event* event, Request request, Done done)
    : event_(event),
      request_(std::move(request)),
      done_(std::move(done)),
      tick_usec_(first_tick_usec) {}

Connector::~Connector() { drop_bus(); }

int Connector::start() {
  started_ = now_usec();
  sd_event_source* source = nullptr;

  // The outcome is always told from here, so that no bus is dropped inside its own handler.
  int r = sd_event_add_defer(
      event_, &source,
      [](sd_event_source*, void* userdata) {
        auto* self = static_cast<Connector*>(userdata);
        auto done = std::move(self->done_);
        auto link = std::move(self->link_);
        done(std::move(link), std::move(self->failure_));  // may destroy *self
        return 0;
      },
      this);
  if (r < 0) return r;
  defer_.reset(source);
  r = sd_event_source_set_enabled(defer_.get(), SD_EVENT_OFF);
  if (r < 0) return r;

  r = sd_event_add_time_relative(
      event_, &source, CLOCK_MONOTONIC, waits() ? tick_usec_ : bus_head_start_usec, 1000,
      [](sd_event_source*, std::uint64_t, void* userdata) {
        static_cast<Connector*>(userdata)->tick();
        return 0;
      },
      this);
  if (r < 0) return r;
  tick_.reset(source);

  if (request_.timeout_usec != forever) {
    r = sd_event_add_time_relative(
        event_, &source, CLOCK_MONOTONIC, waits() ? request_.timeout_usec : answer_usec, 1000,
        [](sd_event_source*, std::uint64_t, void* userdata) {
          auto* self = static_cast<Connector*>(userdata);
          if (self->finished_) return 0;
          self->failure_.code = ETIMEDOUT;
          self->failure_.name = SD_BUS_ERROR_TIMEOUT;
          self->fail();
          return 0;
        },
        this);
    if (r < 0) return r;
    deadline_.reset(source);
  }

  if (request_.private_socket) {
    if (waits()) {
      watch_private_directory();
      if (!request_.prefer_bus) {
        bus_after_ = started_ + std::min(bus_head_start_usec, request_.timeout_usec / 2);
      }
    }
    if (!request_.prefer_bus) try_private();
  }
  if (!finished_ && bus_after_ == 0) open_bus();
  return 0;
}

/// Where it cannot (no directory yet, no right to read it, none left of the few inotify instances
/// that a user may have), the tick alone finds the socket, a little later.
void Connector::watch_private_directory() {
  const auto slash = request_.private_socket->rfind('/');
  const std::string directory =
      slash == std::string::npos ? "."
                                 : request_.private_socket->substr(0, std::max<size_t>(slash, 1));
  sd_event_source* source = nullptr;
  const int watched = sd_event_add_inotify(
      event_, &source, directory.c_str(), IN_CREATE | IN_MOVED_TO | IN_ATTRIB,
      [](sd_event_source*, const inotify_event*, void* userdata) {
        auto* self = static_cast<Connector*>(userdata);
        if (!self->finished_) self->try_private();
        return 0;
      },
      this);
  if (watched >= 0) inotify_.reset(source);
}

void Connector::try_private() {
  sd::Fd fd(connect_private(*request_.private_socket));
  int r = fd.value;
  if (r >= 0) {
    sd::Bus bus;
    r = make_peer_bus(std::move(fd), &bus);
    if (r >= 0) {
      drop_bus();
      bus_ = std::move(bus);
      succeed(true, "");
      return;
    }
  }
  private_failure_ =
      *request_.private_socket + ": " + strerror(-r);  // NOLINT(concurrency-mt-unsafe)
  if (failure_.code == 0) failure_ = {-r, SD_BUS_ERROR_NO_SERVER, ""};
}

void Connector::open_bus() {
  int r = make_system_bus(waits(), &bus_);
  if (r >= 0) r = sd_bus_attach_event(bus_.get(), event_, SD_EVENT_PRIORITY_NORMAL);
  sd_bus_slot* slot = nullptr;
  if (r >= 0) {
    r = sd_bus_match_signal_async(bus_.get(), &slot, nullptr, "/org/freedesktop/DBus/Local",
                                  "org.freedesktop.DBus.Local", "Disconnected", on_disconnected,
                                  nullptr, this);
  }
  if (r >= 0) {
    disconnected_slot_.reset(slot);
    r = sd_bus_add_match_async(bus_.get(), &slot,
                               "type='signal',sender='org.freedesktop.DBus',"
                               "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                               "member='NameOwnerChanged',arg0='org.handover1'",
                               on_owner_changed, nullptr, this);
  }
  if (r >= 0) {
    changed_slot_.reset(slot);
    r = ask_owner();
  }
  if (r < 0) {
    bus_failed(-r, SD_BUS_ERROR_NO_SERVER,
               std::string("Cannot connect to the system bus: ") +
                   strerror(-r));  // NOLINT(concurrency-mt-unsafe): glibc's is thread-safe
  }
}

void Connector::drop_bus() {
  owner_slot_.reset();
  activation_slot_.reset();
  changed_slot_.reset();
  disconnected_slot_.reset();
  if (bus_) sd_bus_detach_event(bus_.get());
  bus_.reset();
}

/// The bus is of no use now; the next tick may try it again, if there is time.
void Connector::bus_failed(int code, const std::string& name, const std::string& message) {
  failure_ = {code, name, message};
  bus_hopeless_ = true;
  give_up_if_hopeless();
}

void Connector::give_up_if_hopeless() {
  if (finished_ || waits() || !bus_hopeless_) return;
  if (request_.prefer_bus && request_.private_socket) {
    try_private();
    if (finished_) return;
  }
  fail();
}

void Connector::fail() {
  finished_ = true;
  std::string why = failure_.message;
  if (!why.empty() && !private_failure_.empty()) why += "; ";
  why += private_failure_;
  failure_.message = "handoverd does not answer; start it with 'systemctl start handoverd'";
  failure_.message += why.empty() ? "." : " (" + why + ").";
  sd_event_source_set_enabled(defer_.get(), SD_EVENT_ONESHOT);
}

int Connector::ask_owner() {
  sd_bus_slot* slot = nullptr;
  const int r = sd_bus_call_method_async(bus_.get(), &slot, "org.freedesktop.DBus",
                                         "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                         "GetNameOwner", on_owner, this, "s", service_name);
  if (r >= 0) owner_slot_.reset(slot);
  return r;
}

int Connector::ask_activation() {
  activation_asked_ = true;
  sd_bus_slot* slot = nullptr;
  const int r = sd_bus_call_method_async(
      bus_.get(), &slot, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
      "StartServiceByName", on_activated, this, "su", service_name, 0U);
  if (r >= 0) activation_slot_.reset(slot);
  return r;
}

int Connector::on_owner(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto* self = static_cast<Connector*>(userdata);
  if (self->finished_) return 0;
  const char* owner = nullptr;
  if (!sd_bus_message_is_method_error(message, nullptr) &&
      sd_bus_message_read(message, "s", &owner) >= 0) {
    self->succeed(false, owner);
    return 0;
  }
  const sd_bus_error* error = sd_bus_message_get_error(message);
  if (error && sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER)) {
    self->failure_ = {ENOENT, SD_BUS_ERROR_SERVICE_UNKNOWN, "handoverd is not on the bus"};
    if (!self->activation_asked_) {
      const int r = self->ask_activation();
      if (r < 0) self->bus_failed(-r, SD_BUS_ERROR_FAILED, "The bus refused to start handoverd");
    }
    return 0;
  }
  self->bus_failed(sd_bus_message_get_errno(message), error ? error->name : SD_BUS_ERROR_FAILED,
                   error && error->message ? error->message : "The bus did not answer");
  return 0;
}

int Connector::on_activated(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto* self = static_cast<Connector*>(userdata);
  if (self->finished_) return 0;
  const sd_bus_error* error = sd_bus_message_get_error(message);
  if (!error) {
    const int r = self->ask_owner();
    if (r < 0) self->bus_failed(-r, SD_BUS_ERROR_FAILED, "The bus does not answer");
    return 0;
  }
  self->bus_failed(sd_bus_message_get_errno(message), error->name,
                   std::string("handoverd is not running and cannot be started: ") +
                       (error->message ? error->message : error->name));
  return 0;
}

int Connector::on_owner_changed(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto* self = static_cast<Connector*>(userdata);
  if (self->finished_) return 0;
  const char* name = nullptr;
  const char* old_owner = nullptr;
  const char* new_owner = nullptr;
  const int r = sd_bus_message_read(message, "sss", &name, &old_owner, &new_owner);
  if (r < 0) return r;
  if (*new_owner) self->succeed(false, new_owner);
  return 0;
}

int Connector::on_disconnected(sd_bus_message*, void* userdata, sd_bus_error*) {
  auto* self = static_cast<Connector*>(userdata);
  if (self->finished_) return 0;
  self->bus_failed(ECONNRESET, SD_BUS_ERROR_DISCONNECTED, "The system bus closed the connection");
  return 0;
}

void Connector::tick() {
  if (finished_) return;
  if (!waits()) {
    // A bus takes connections, and hangs: what the private socket says is as good.
    if (request_.prefer_bus && request_.private_socket) try_private();
    return;  // all is asked; the answers decide
  }
  if (request_.private_socket && (!request_.prefer_bus || bus_hopeless_)) try_private();
  if (!finished_ && now_usec() >= bus_after_) {
    const bool closed = bus_ && sd_bus_is_open(bus_.get()) <= 0;
    if (closed) drop_bus();
    if (!bus_) {
      bus_hopeless_ = false;
      open_bus();
    }
  }
  if (!finished_) schedule_tick();
}

void Connector::schedule_tick() {
  // Quick for the first two seconds, where every millisecond is somebody's blackout; then slower.
  if (now_usec() - started_ > 2'000'000) {
    tick_usec_ = std::min(tick_usec_ * 3 / 2, longest_tick_usec);
  }
  sd_event_source_set_time_relative(tick_.get(), tick_usec_);
  sd_event_source_set_enabled(tick_.get(), SD_EVENT_ONESHOT);
}

void Connector::succeed(bool peer, std::string owner) {
  finished_ = true;
  // The slots stay until this object goes, so that no change of owner falls between its match and
  // the connection's own.
  if (!peer) sd_bus_detach_event(bus_.get());
  link_ = Link{std::move(bus_), peer, std::move(owner)};
  sd_event_source_set_enabled(defer_.get(), SD_EVENT_ONESHOT);
}

}  // namespace handover::client
