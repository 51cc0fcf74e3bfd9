// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/orderly_kexec.h"

#include <string_view>
#include <utility>

#include "bus/systemd.h"

namespace handover::bus {

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
      sd_bus_match_signal_async(bus_, &slot, systemd::name, systemd::path, systemd::manager,
                                "JobRemoved", safe<on_removed>, nullptr, this);
  match_.reset(slot);
  if (auto checked = check(matched, "JobRemoved"); !checked) return checked;
  auto subscribed =
      systemd::call(bus_, "Subscribe", safe<on_subscribed>, this, limits_.start_usec, "");
  if (!subscribed) return fail(subscribed.error());
  subscribe_ = std::move(*subscribed);
  // Manager.KExec() would skip stopping the units (systemd, src/core/dbus-manager.c).
  auto started = systemd::call(bus_, "StartUnit", safe<on_started>, this, limits_.start_usec, "ss",
                               systemd::kexec_target, "replace-irreversibly");
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
    const auto why = "PID 1 did not start kexec.target: " + systemd::sentence_of(*error);
    if (systemd::leaves_open(*error)) {
      // PID 1 may have read the call, and do what it says.
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
  if (std::string_view(unit) != systemd::kexec_target) return 0;
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

void OrderlyKexec::withdraw(std::string why) {
  why_ = std::move(why);
  withdrawal_.emplace(loop_, bus_, limits_.withdrawal);
  withdrawal_->start([this](const Result<void>& withdrawn) {
    if (!withdrawn) {
      *why_ += " " + withdrawn.error().message;
      // Nor has it said what became of StartUnit.
      if (job_.empty()) sys_errno_ = withdrawn.error().sys_errno;
    }
    tell();
  });
}

void OrderlyKexec::tell() {
  auto failed = std::exchange(failed_, nullptr);
  if (!failed) return;
  // Nobody else here wants PID 1's signals, of which there are many.
  sd_bus_call_method_async(bus_, nullptr, systemd::name, systemd::path, systemd::manager,
                           "Unsubscribe", nullptr, nullptr, nullptr);
  loop_.post([failed = std::move(failed), why = *why_, sys_errno = sys_errno_] {
    failed(Error{ErrorCode::kexec_failed, why, sys_errno});
  });
}

}  // namespace handover::bus
