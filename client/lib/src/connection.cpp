// SPDX-License-Identifier: LGPL-2.1-or-later
#include "connection.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "client.h"
#include "error.h"

using handover::client::Connector;
using handover::client::Link;
using handover::client::private_socket_path;
using handover::client::report;
using handover::client::report_bus;
using handover::client::report_errno;
using handover::client::service_name;
namespace sd = handover::client::sd;

namespace {

/// After a failure of our own, of which waiting for the daemon is none.
constexpr uint64_t reconnect_pause_usec = 500'000;

}  // namespace

int handover_connection::open(unsigned flags, uint64_t timeout_usec, sd_event* event,
                              handover_connection** ret, handover_error* error) {
  if (!ret || (flags & ~unsigned{HANDOVER_CONNECT_PREFER_BUS}) != 0) {
    return report_errno(error, -EINVAL, "handover_connect");
  }
  struct Deleter {
    void operator()(handover_connection* connection) const { connection->unref(); }
  };
  std::unique_ptr<handover_connection, Deleter> self(new handover_connection);
  self->flags_ = flags;

  if (event) {
    self->event_.reset(sd_event_ref(event));
  } else {
    sd_event* own = nullptr;
    int r = sd_event_new(&own);
    if (r < 0) return report_errno(error, r, "Making an event loop");
    self->event_.reset(own);
    self->own_loop_ = true;
    self->wake_fd_ = sd::Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (self->wake_fd_.value < 0) return report_errno(error, -errno, "Making an eventfd");
    sd_event_source* source = nullptr;
    r = sd_event_add_io(
        own, &source, self->wake_fd_.value, EPOLLIN,
        [](sd_event_source*, int fd, uint32_t, void*) {
          uint64_t count = 0;
          return read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN ? -errno : 0;
        },
        nullptr);
    if (r < 0) return report_errno(error, r, "Watching an eventfd");
    self->wake_.reset(source);
  }

  sd_event_source* source = nullptr;
  int r = sd_event_add_time(
      self->event_.get(), &source, CLOCK_MONOTONIC, 0, 1,
      [](sd_event_source*, uint64_t, void* userdata) {
        static_cast<handover_connection*>(userdata)->begin_reconnect();
        return 0;
      },
      self.get());
  if (r >= 0) {
    self->reconnect_.reset(source);
    r = sd_event_source_set_enabled(source, SD_EVENT_OFF);
  }
  if (r < 0) return report_errno(error, r, "Preparing the event loop");

  r = self->connect_first(timeout_usec, error);
  if (r < 0) return r;
  *ret = self.release();
  return 0;
}

handover_connection::~handover_connection() {
  connector_.reset();
  disconnected_slot_.reset();
  changed_slot_.reset();
  if (link_.bus) {
    sd_bus_flush(link_.bus.get());  // the answer to a last call may still wait
    sd_bus_detach_event(link_.bus.get());
  }
}

void handover_connection::unref() {
  if (--references_ == 0) delete this;
}

bool handover_connection::connected() const {
  return link_.bus && sd_bus_is_open(link_.bus.get()) > 0 && (link_.peer || !link_.owner.empty());
}

const char* handover_connection::destination() const {
  return link_.peer || !connected() ? nullptr : service_name;
}

bool handover_connection::is_from_daemon(sd_bus_message* message) const {
  if (sd_bus_message_get_bus(message) != link_.bus.get()) return false;
  if (link_.peer) return true;  // nobody else can be behind that socket
  const char* sender = sd_bus_message_get_sender(message);
  return sender && !link_.owner.empty() && link_.owner == sender;
}

/// The first connection is waited for on a loop of its own: the caller's loop is not ours to run.
int handover_connection::connect_first(uint64_t timeout_usec, handover_error* error) {
  sd_event* raw = nullptr;
  int r = sd_event_new(&raw);
  if (r < 0) return report_errno(error, r, "Making an event loop");
  const sd::Event loop(raw);

  bool finished = false;
  std::optional<Link> found;
  Connector::Failure failure;
  Connector connector(
      loop.get(),
      {(flags_ & HANDOVER_CONNECT_PREFER_BUS) != 0, timeout_usec, private_socket_path()},
      [&](std::optional<Link> link, Connector::Failure why) {
        finished = true;
        found = std::move(link);
        failure = std::move(why);
      });
  r = connector.start();
  while (r >= 0 && !finished) r = sd_event_run(loop.get(), UINT64_MAX);
  if (r < 0) return report_errno(error, r, "Looking for handoverd");
  if (!found) return report(error, failure.code, failure.name, failure.message);
  r = adopt(std::move(*found));
  if (r < 0) return report_errno(error, r, "Connecting to handoverd");
  return 0;
}

int handover_connection::adopt(Link link) {
  disconnected_slot_.reset();
  changed_slot_.reset();
  if (link_.bus) sd_bus_detach_event(link_.bus.get());
  link_ = std::move(link);
  sd_bus* bus = link_.bus.get();

  sd_bus_slot* slot = nullptr;
  int r = sd_bus_match_signal_async(bus, &slot, nullptr, "/org/freedesktop/DBus/Local",
                                    "org.freedesktop.DBus.Local", "Disconnected", on_disconnected,
                                    nullptr, this);
  if (r < 0) return r;
  disconnected_slot_.reset(slot);
  if (!link_.peer) {
    r = sd_bus_add_match_async(bus, &slot,
                               "type='signal',sender='org.freedesktop.DBus',"
                               "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                               "member='NameOwnerChanged',arg0='org.handover1'",
                               on_owner_changed, nullptr, this);
    if (r < 0) return r;
    changed_slot_.reset(slot);
  }
  for (handover_client* client : clients_) {
    r = client->export_on(bus);
    if (r < 0) return r;
  }
  r = sd_bus_set_method_call_timeout(bus, call_timeout_usec_);
  if (r < 0) return r;
  return sd_bus_attach_event(bus, event_.get(), SD_EVENT_PRIORITY_NORMAL);
}

void handover_connection::begin_reconnect() {
  if (connector_) return;
  connector_ = std::make_unique<Connector>(
      event_.get(),
      Connector::Request{(flags_ & HANDOVER_CONNECT_PREFER_BUS) != 0, UINT64_MAX,
                         private_socket_path()},
      [this](std::optional<Link> link, const Connector::Failure& failure) {
        const auto connector = std::move(connector_);  // until its work is taken over
        if (!link) {  // it waits for ever: only the loop can have failed
          reconnect_failed(failure.code, failure.message.c_str());
          return;
        }
        const int r = adopt(std::move(*link));
        if (r < 0) {
          reconnect_failed(-r, "Connecting to handoverd again failed");
        } else {
          tell_registered();
        }
      });
  const int r = connector_->start();
  if (r < 0) {
    connector_.reset();
    reconnect_failed(-r, "Looking for handoverd failed");
  }
}

int handover_connection::reconnect_in(uint64_t usec) {
  const int r = sd_event_source_set_time_relative(reconnect_.get(), usec);
  return r < 0 ? r : sd_event_source_set_enabled(reconnect_.get(), SD_EVENT_ONESHOT);
}

void handover_connection::reconnect_failed(int code, const char* message) {
  reconnect_in(reconnect_pause_usec);
  lost(code, message);  // last: a callback may give the connection back
}

/// What it tells may call back, and a callback may give back any client and the connection itself.
template <typename Tell>
void handover_connection::for_each_client(const Tell& tell) {
  ref();
  const auto clients = clients_;
  for (handover_client* client : clients) {
    if (std::find(clients_.begin(), clients_.end(), client) != clients_.end()) tell(*client);
  }
  unref();
}

void handover_connection::tell_registered() {
  for_each_client([](handover_client& client) { client.register_again(); });
}

void handover_connection::lost(int code, const char* message) {
  handover_error error = HANDOVER_ERROR_NULL;
  report(&error, code, SD_BUS_ERROR_DISCONNECTED, message);
  for_each_client([&](handover_client& client) { client.tell_disconnected(error); });
  handover_error_free(&error);
}

int handover_connection::on_disconnected(sd_bus_message*, void* userdata, sd_bus_error*) {
  auto* self = static_cast<handover_connection*>(userdata);
  // Made again from the loop, not from inside the dying bus's handler.
  const int r = self->reconnect_in(0);
  self->lost(ECONNRESET, "The connection to handoverd is closed.");
  return r < 0 ? r : 0;
}

int handover_connection::on_owner_changed(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto* self = static_cast<handover_connection*>(userdata);
  const char* name = nullptr;
  const char* old_owner = nullptr;
  const char* new_owner = nullptr;
  const int r = sd_bus_message_read(message, "sss", &name, &old_owner, &new_owner);
  if (r < 0) return r;
  if (self->link_.owner == new_owner) return 0;
  self->link_.owner = new_owner;
  if (self->link_.owner.empty()) {
    self->lost(ENOTCONN, "handoverd left the bus.");
  } else {
    self->tell_registered();
  }
  return 0;
}

void handover_connection::session_made(const std::string& session, const std::string& client) {
  for (auto* const one : clients_) {
    if (one->name() == client) one->session_made(session);
  }
}

void handover_connection::session_ended(const std::string& session) {
  for (auto* const one : clients_) one->session_ended(session);
}

void handover_connection::remove(handover_client* client) {
  clients_.erase(std::remove(clients_.begin(), clients_.end(), client), clients_.end());
}

int handover_connection::fd() const { return own_loop_ ? sd_event_get_fd(event_.get()) : -EINVAL; }

/// Leaves the loop armed (sd_event_prepare(3)): its descriptor then tells of timers and messages.
int handover_connection::process() {
  if (!own_loop_) return -EINVAL;
  ref();  // a callback may give the connection back
  int dispatched = 0;
  int r = 0;
  for (;;) {
    const int state = sd_event_get_state(event_.get());
    if (state == SD_EVENT_INITIAL) {
      r = sd_event_prepare(event_.get());
    } else if (state == SD_EVENT_ARMED) {
      r = sd_event_wait(event_.get(), 0);
      if (r == 0) {
        r = sd_event_prepare(event_.get());
        if (r == 0) break;
      }
    } else if (state == SD_EVENT_PENDING) {
      dispatched = 1;
      r = sd_event_dispatch(event_.get());
    } else {
      r = -EBUSY;  // called from inside a callback
    }
    if (r < 0) break;
  }
  unref();
  return r < 0 ? r : dispatched;
}

int handover_connection::wait(uint64_t timeout_usec) {
  // First what is there already: a call on the bus itself may have read more than its answer.
  int r = process();
  if (r != 0) return r;
  r = sd_event_wait(event_.get(), timeout_usec);
  if (r <= 0) return r;
  r = process();
  return r < 0 ? r : 1;
}

int handover_connection::set_call_timeout(uint64_t usec) {
  call_timeout_usec_ = usec;
  return link_.bus ? sd_bus_set_method_call_timeout(link_.bus.get(), usec) : 0;
}

void handover_connection::wake() {
  if (!own_loop_ || sd_event_get_state(event_.get()) != SD_EVENT_ARMED) return;
  const uint64_t one = 1;
  // EAGAIN: the counter is full, so the descriptor is readable already.
  [[maybe_unused]] const ssize_t n = write(wake_fd_.value, &one, sizeof(one));
}

int handover_connection::new_call(const char* path, const char* interface, const char* method,
                                  sd::Message* ret, handover_error* error) {
  if (!connected()) {
    return report(error, ENOTCONN, SD_BUS_ERROR_DISCONNECTED,
                  "There is no connection to handoverd at the moment; it is being made again.");
  }
  sd_bus_message* message = nullptr;
  const int r = sd_bus_message_new_method_call(link_.bus.get(), &message, destination(), path,
                                               interface, method);
  if (r < 0) return report_errno(error, r, "Making a call to handoverd");
  ret->reset(message);
  return 0;
}

int handover_connection::call(sd_bus_message* message, sd::Message* ret, handover_error* error) {
  sd::BusError bus_error;
  sd_bus_message* reply = nullptr;
  const int r = sd_bus_call(link_.bus.get(), message, 0, bus_error.get(), &reply);
  wake();  // other messages may have been read meanwhile
  if (r < 0) return report_bus(error, r, bus_error.value);
  sd::Message owned(reply);
  if (ret) *ret = std::move(owned);
  return 0;
}

int handover_connect(unsigned flags, uint64_t timeout_usec, sd_event* event,
                     handover_connection** ret, handover_error* error) {
  return handover_connection::open(flags, timeout_usec, event, ret, error);
}

handover_connection* handover_ref(handover_connection* connection) {
  if (connection) connection->ref();
  return connection;
}

handover_connection* handover_unref(handover_connection* connection) {
  if (connection) connection->unref();
  return nullptr;
}

int handover_get_fd(handover_connection* connection) { return connection->fd(); }
int handover_process(handover_connection* connection) { return connection->process(); }
int handover_wait(handover_connection* connection, uint64_t timeout_usec) {
  return connection->wait(timeout_usec);
}
int handover_is_connected(handover_connection* connection) { return connection->connected(); }
int handover_set_call_timeout(handover_connection* connection, uint64_t usec) {
  return connection->set_call_timeout(usec);
}
sd_bus* handover_get_bus(handover_connection* connection) { return connection->bus(); }
const char* handover_get_destination(handover_connection* connection) {
  return connection->destination();
}
