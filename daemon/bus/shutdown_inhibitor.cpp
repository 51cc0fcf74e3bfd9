// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/shutdown_inhibitor.h"

#include <fcntl.h>

#include <string_view>

#include "bus/logind.h"
#include "bus/systemd.h"
#include "system/log.h"

namespace handover::bus {

namespace {

constexpr std::uint64_t lock_usec = 10'000'000;

/// There is no logind.
bool says_nobody(const sd_bus_error& error) {
  const std::string_view name = error.name;
  return name == SD_BUS_ERROR_SERVICE_UNKNOWN || name == SD_BUS_ERROR_NAME_HAS_NO_OWNER;
}

}  // namespace

void ShutdownInhibitor::take(sd_bus* bus) {
  if (bus == nullptr || sd_bus_is_ready(bus) <= 0 || call_ || lock_) return;
  sd_bus_message* made = nullptr;
  int result = sd_bus_message_new_method_call(bus, &made, logind::name, logind::path,
                                              logind::manager, "Inhibit");
  const MessagePtr call(made);
  if (result >= 0) result = sd_bus_message_set_auto_start(made, 0);
  if (result >= 0) {
    result = sd_bus_message_append(made, "ssss", "shutdown:sleep", logind::our_name,
                                   "A live update of the kernel is running", "block");
  }
  sd_bus_slot* slot = nullptr;
  if (result >= 0) {
    result = sd_bus_call_async(bus, &slot, made, safe<on_reply>, this, lock_usec);
  }
  call_.reset(slot);
  if (result < 0) log::warning("logind cannot be asked for a lock on shutdown.");
}

int ShutdownInhibitor::on_reply(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  auto& self = *static_cast<ShutdownInhibitor*>(userdata);
  const auto call = std::move(self.call_);
  if (const auto* error = sd_bus_message_get_error(reply)) {
    if (!says_nobody(*error)) {
      log::warning("logind gives no lock on shutdown while the update runs: ",
                   systemd::sentence_of(*error));
    }
    return 1;
  }
  int fd = -1;  // the message's
  if (sd_bus_message_read(reply, "h", &fd) >= 0) {
    self.lock_.reset(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  }
  return 1;
}

void ShutdownInhibitor::release() {
  call_.reset();
  lock_.reset();
}

}  // namespace handover::bus
