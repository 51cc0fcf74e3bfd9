// SPDX-License-Identifier: LGPL-2.1-or-later
// The connection's own loop, for callers without sd-event.
#include <cerrno>

#include "connection.h"

int handover_connection::fd() const {
  if (is_of_parent()) return -ECHILD;
  return own_loop_ ? sd_event_get_fd(event_.get()) : -EINVAL;
}

/// Leaves the loop armed (sd_event_prepare(3)): its descriptor then tells of timers and messages.
int handover_connection::process() {
  if (is_of_parent()) return -ECHILD;
  if (!own_loop_) return -EINVAL;
  if (closed_) return -ECANCELED;
  ref();
  const Reference self(this);  // a callback may give the connection back
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
  return r < 0 ? r : dispatched;
}

int handover_connection::wait(uint64_t timeout_usec) {
  // First what is there already: a call on the bus itself may have read more than its answer.
  ref();
  const Reference self(this);
  int r = process();
  if (r != 0) return r;
  r = sd_event_wait(event_.get(), timeout_usec);
  if (r <= 0) return r;
  r = process();
  return r < 0 ? r : 1;
}

int handover_connection::set_call_timeout(uint64_t usec) {
  if (is_of_parent()) return -ECHILD;
  call_timeout_usec_ = usec;
  return link_.bus ? sd_bus_set_method_call_timeout(link_.bus.get(), usec) : 0;
}

void handover_connection::wake() {
  if (!own_loop_ || sd_event_get_state(event_.get()) != SD_EVENT_ARMED) return;
  const uint64_t one = 1;
  // EAGAIN: the counter is full, so the descriptor is readable already.
  [[maybe_unused]] const ssize_t n = write(wake_fd_.value, &one, sizeof(one));
}
