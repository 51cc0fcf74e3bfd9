// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/orderly_kexec.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "system/log.h"

namespace handover::bus {

namespace {

constexpr const char* systemd_name = "org.freedesktop.systemd1";
constexpr const char* systemd_path = "/org/freedesktop/systemd1";
constexpr const char* systemd_manager = "org.freedesktop.systemd1.Manager";
constexpr const char* target = "kexec.target";
/// What kexec.target pulls in. It does the kexec, and PID 1 starts it also after kexec.target's own
/// job was cancelled: a dependency of what is cancelled is not (systemd,
/// job_finish_and_invalidate).
constexpr std::array units = {std::string_view(target), std::string_view("systemd-kexec.service")};

/// sd-bus's own: no time limit.
constexpr std::uint64_t forever = UINT64_MAX;

template <typename... Arguments>
Result<SlotPtr> call_systemd(sd_bus* bus, const char* member, sd_bus_message_handler_t then,
                             void* userdata, std::uint64_t timeout_usec, const char* types,
                             Arguments... arguments) {
  sd_bus_message* made = nullptr;
  int result = sd_bus_message_new_method_call(bus, &made, systemd_name, systemd_path,
                                              systemd_manager, member);
  const MessagePtr message(made);
  if (result >= 0) result = sd_bus_message_append(made, types, arguments...);
  sd_bus_slot* slot = nullptr;
  if (result >= 0) result = sd_bus_call_async(bus, &slot, made, then, userdata, timeout_usec);
  SlotPtr owned(slot);
  if (auto called = check(result, member); !called) return fail(called.error());
  return owned;
}

std::string sentence_of(const sd_bus_error& error) {
  return error.message != nullptr ? error.message : error.name;
}

/// PID 1 may have read the call, and do what it says.
bool leaves_open(const sd_bus_error& error) {
  const std::string_view name = error.name;
  return name == SD_BUS_ERROR_NO_REPLY || name == SD_BUS_ERROR_TIMEOUT ||
         name == SD_BUS_ERROR_DISCONNECTED;
}

}  // namespace

void OrderlyKexec::start() {
  if (auto asked = ask(); !asked) {
    why_ = "PID 1 cannot be asked to start kexec.target: " + asked.error().message;
    tell();
  }
}

/// One connection keeps the order: the bus knows the match, and PID 1 that it has to send signals,
/// before PID 1 reads StartUnit.
Result<void> OrderlyKexec::ask() {
  sd_bus_slot* slot = nullptr;
  const int matched =
      sd_bus_match_signal_async(bus_, &slot, systemd_name, systemd_path, systemd_manager,
                                "JobRemoved", on_removed, nullptr, this);
  match_.reset(slot);
  if (auto checked = check(matched, "JobRemoved"); !checked) return checked;
  auto subscribed = call_systemd(bus_, "Subscribe", on_subscribed, this, limits_.start_usec, "");
  if (!subscribed) return fail(subscribed.error());
  subscribe_ = std::move(*subscribed);
  // Manager.KExec() would skip stopping the units (systemd, src/core/dbus-manager.c).
  auto started = call_systemd(bus_, "StartUnit", on_started, this, limits_.start_usec, "ss", target,
                              "replace-irreversibly");
  if (!started) return fail(started.error());
  call_ = std::move(*started);
  return {};
}

/// Also an error (AlreadySubscribed) says who PID 1 is. It comes before any word of the job.
int OrderlyKexec::on_subscribed(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  const char* sender = sd_bus_message_get_sender(reply);
  if (sender != nullptr) static_cast<OrderlyKexec*>(userdata)->pid1_ = sender;
  return 1;
}

int OrderlyKexec::on_started(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  auto& self = *static_cast<OrderlyKexec*>(userdata);
  if (const auto* error = sd_bus_message_get_error(reply)) {
    const auto why = "PID 1 did not start kexec.target: " + sentence_of(*error);
    if (leaves_open(*error)) {
      self.withdraw(why);
    } else {
      self.why_ = why;
      self.tell();
    }
    return 1;
  }
  const char* job = nullptr;
  if (sd_bus_message_read(reply, "o", &job) < 0) {
    self.withdraw("PID 1's answer to starting kexec.target cannot be read.");
    return 1;
  }
  self.job_ = job;
  const auto ended = self.ended_.find(self.job_);
  if (ended != self.ended_.end()) self.ended(ended->second);
  return 1;
}

int OrderlyKexec::on_removed(sd_bus_message* signal, void* userdata, sd_bus_error*) {
  auto& self = *static_cast<OrderlyKexec*>(userdata);
  // The bus hands us what is sent to us alone, too, whoever sends it.
  const char* sender = sd_bus_message_get_sender(signal);
  if (sender == nullptr || sender != self.pid1_) return 0;
  std::uint32_t id = 0;
  const char* job = nullptr;
  const char* unit = nullptr;
  const char* result = nullptr;
  if (sd_bus_message_read(signal, "uoss", &id, &job, &unit, &result) < 0) return 0;
  if (std::string_view(unit) != target) return 0;
  if (self.job_.empty()) {
    self.ended_[job] = result;
  } else if (self.job_ == job) {
    self.ended(result);
  }
  return 0;
}

void OrderlyKexec::ended(const std::string& result) {
  // What is left of a job that is done is a machine that goes.
  if (result == "done" || why_) return;
  withdraw("PID 1's job for kexec.target ended as '" + result +
           "'; see 'systemctl status kexec.target systemd-kexec.service'.");
}

/// Without a time limit: a PID 1 that wakes up after the failure has been told finds StartUnit
/// first and this behind it, so there is something to take back still.
void OrderlyKexec::withdraw(std::string why) {
  why_ = std::move(why);
  auto listed = call_systemd(bus_, "ListJobs", on_jobs, this, forever, "");
  if (!listed) return tell();
  call_ = std::move(*listed);
  patience_ = loop_.after(limits_.withdraw_usec, [this] {
    *why_ += " PID 1 does not say whether it still starts it.";
    tell();
  });
}

int OrderlyKexec::on_jobs(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  auto& self = *static_cast<OrderlyKexec*>(userdata);
  if (const auto* error = sd_bus_message_get_error(reply)) {
    log::error("PID 1 does not list its jobs: ", sentence_of(*error));
  } else if (sd_bus_message_enter_container(reply, 'a', "(usssoo)") >= 0) {
    std::uint32_t id = 0;
    const char* unit = nullptr;
    const char* type = nullptr;
    while (sd_bus_message_read(reply, "(usssoo)", &id, &unit, &type, nullptr, nullptr, nullptr) >
           0) {
      const bool ours = std::find(units.begin(), units.end(), unit) != units.end();
      if (ours && std::string_view(type) == "start") self.cancel(id);
    }
  }
  if (self.cancelling_ == 0) self.tell();
  return 1;
}

void OrderlyKexec::cancel(std::uint32_t job) {
  auto called =
      call_systemd(bus_, "CancelJob", on_cancelled, this, limits_.withdraw_usec, "u", job);
  if (!called) return log::error(called.error().message);
  cancels_.push_back(std::move(*called));
  ++cancelling_;
}

int OrderlyKexec::on_cancelled(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  auto& self = *static_cast<OrderlyKexec*>(userdata);
  const auto* error = sd_bus_message_get_error(reply);
  // The end of the one may have been the end of the other.
  if (error != nullptr && std::string_view(error->name) != "org.freedesktop.systemd1.NoSuchJob") {
    log::error("PID 1 does not cancel the kexec: ", sentence_of(*error));
  }
  if (--self.cancelling_ == 0) self.tell();
  return 1;
}

void OrderlyKexec::tell() {
  auto failed = std::exchange(failed_, nullptr);
  if (!failed) return;
  patience_.cancel();
  // Nobody else here wants PID 1's signals, of which there are many.
  sd_bus_call_method_async(bus_, nullptr, systemd_name, systemd_path, systemd_manager,
                           "Unsubscribe", nullptr, nullptr, nullptr);
  loop_.post([failed = std::move(failed), why = *why_] {
    failed(Error{ErrorCode::kexec_failed, why});
  });
}

}  // namespace handover::bus
