// SPDX-License-Identifier: LGPL-2.1-or-later
#include "connection.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "error.h"

using handover::client::Connector;
using handover::client::Follower;
using handover::client::Link;
using handover::client::OwnError;
using handover::client::private_socket_path;
using handover::client::report;
using handover::client::report_errno;
using handover::client::service_name;
namespace sd = handover::client::sd;

namespace {

/// After a failure of our own, of which waiting for the daemon is none.
constexpr uint64_t reconnect_pause_usec = 500'000;

}  // namespace

/// A connection with its loop, and nobody at the other end.
int handover_connection::make(unsigned flags, sd_event* event, Reference* ret,
                              handover_error** error) {
  Reference self(new handover_connection);
  self->flags_ = flags;
  if (event) {
    self->event_.reset(sd_event_ref(event));
  } else {
    const int r = self->make_loop(error);
    if (r < 0) return r;
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
  *ret = std::move(self);
  return 0;
}

int handover_connection::make_loop(handover_error** error) {
  sd_event* own = nullptr;
  int r = sd_event_new(&own);
  if (r < 0) return report_errno(error, r, "Making an event loop");
  event_.reset(own);
  own_loop_ = true;
  wake_fd_ = sd::Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (wake_fd_.value < 0) return report_errno(error, -errno, "Making an eventfd");
  sd_event_source* source = nullptr;
  r = sd_event_add_io(
      own, &source, wake_fd_.value, EPOLLIN,
      [](sd_event_source*, int fd, uint32_t, void*) {
        uint64_t count = 0;
        return read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN ? -errno : 0;
      },
      nullptr);
  if (r < 0) return report_errno(error, r, "Watching an eventfd");
  wake_.reset(source);
  return 0;
}

int handover_connection::open(unsigned flags, uint64_t timeout_usec, sd_event* event,
                              handover_connection** ret, handover_error** error) {
  Reference self;
  int r = make(flags, event, &self, error);
  if (r >= 0) r = self->connect_first(timeout_usec, error);
  if (r < 0) return r;
  *ret = self.release();
  return 0;
}

int handover_connection::open_later(unsigned flags, uint64_t timeout_usec, sd_event* event,
                                    handover_done_callback callback, void* userdata,
                                    handover_connection** ret, handover_error** error) {
  Reference self;
  int r = make(flags, event, &self, error);
  if (r < 0) return r;
  r = self->look(timeout_usec);
  if (r < 0) return report_errno(error, r, "Looking for handoverd");
  self->opened_ = callback;
  self->opened_userdata_ = userdata;
  *ret = self.release();
  return 0;
}

/// Ends what is under way. The callbacks may use the connection, which takes nothing new.
void handover_connection::close() {
  closed_ = true;
  connector_.reset();
  reconnect_.reset();
  unregister_.reset();
  disconnected_slot_.reset();
  changed_slot_.reset();
  OwnError error;
  report(error.get(), ECANCELED, SD_BUS_ERROR_FAILED, given_back);
  // In a child of the process that waits, nobody is told.
  if (is_of_parent()) opened_ = nullptr;
  tell_opened(-ECANCELED, error.value());
  while (!operations_.empty()) operations_.back()->cancel(given_back, !is_of_parent());
  if (link_.bus) {
    sd_bus_flush(link_.bus.get());  // the answer to a last call may still wait
    sd_bus_detach_event(link_.bus.get());
  }
}

void handover_connection::unref() {
  if (--references_ != 0) return;
  if (!closed_) {
    references_ = 1;  // ours, while callbacks take and give back theirs
    close();
    if (--references_ != 0) return;  // with theirs it goes
  }
  delete this;
}

bool handover_connection::connected() const {
  return !closed_ && !is_of_parent() && link_.bus && sd_bus_is_open(link_.bus.get()) > 0 &&
         (link_.peer || !link_.owner.empty());
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
int handover_connection::connect_first(uint64_t timeout_usec, handover_error** error) {
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
  for (Follower* follower : followers_) {
    r = follower->follow_to(bus);
    if (r < 0) return r;
  }
  r = sd_bus_set_method_call_timeout(bus, call_timeout_usec_);
  if (r < 0) return r;
  return sd_bus_attach_event(bus, event_.get(), SD_EVENT_PRIORITY_NORMAL);
}

/// Looks for the daemon on the connection's own loop.
int handover_connection::look(uint64_t timeout_usec) {
  connector_ = std::make_unique<Connector>(
      event_.get(),
      Connector::Request{(flags_ & HANDOVER_CONNECT_PREFER_BUS) != 0, timeout_usec,
                         private_socket_path()},
      [this](std::optional<Link> link, const Connector::Failure& failure) {
        found(std::move(link), failure);
      });
  const int r = connector_->start();
  if (r < 0) connector_.reset();
  return r;
}

void handover_connection::found(std::optional<Link> link, const Connector::Failure& failure) {
  ref();
  const Reference self(this);                    // a callback may give the connection back
  const auto connector = std::move(connector_);  // until its work is taken over
  OwnError error;
  int r = 0;
  if (!link) {
    r = report(error.get(), failure.code, failure.name, failure.message);
  } else if ((r = adopt(std::move(*link))) < 0) {
    r = report_errno(error.get(), r, "Connecting to handoverd");
  }
  if (r >= 0) {
    tell_opened(0, nullptr);
    tell_registered();
  } else if (opened_) {
    tell_opened(r, error.value());
  } else {  // it waits for ever: only the loop can have failed
    reconnect_failed(-r, error.value()->message.c_str());
  }
}

void handover_connection::tell_opened(int result, const handover_error* error) {
  if (auto* const opened = std::exchange(opened_, nullptr)) opened(result, error, opened_userdata_);
}

void handover_connection::begin_reconnect() {
  if (connector_) return;
  const int r = look(UINT64_MAX);
  if (r < 0) reconnect_failed(-r, "Looking for handoverd failed");
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
void handover_connection::for_each_follower(const Tell& tell) {
  ref();
  const Reference self(this);
  const auto followers = followers_;
  for (Follower* follower : followers) {
    if (std::find(followers_.begin(), followers_.end(), follower) != followers_.end()) {
      tell(*follower);
    }
  }
}

void handover_connection::tell_registered() {
  for_each_follower([](Follower& follower) { follower.daemon_came(); });
}

void handover_connection::lost(int code, const char* message) {
  abandoned_.clear();  // with the connection they went
  OwnError error;
  report(error.get(), code, SD_BUS_ERROR_DISCONNECTED, message);
  for_each_follower([&](Follower& follower) { follower.daemon_went(*error.value()); });
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

void handover_connection::remove(Follower* follower) {
  followers_.erase(std::remove(followers_.begin(), followers_.end(), follower), followers_.end());
}

void handover_connection::remove(handover_operation* operation) {
  operations_.erase(std::remove(operations_.begin(), operations_.end(), operation),
                    operations_.end());
}
