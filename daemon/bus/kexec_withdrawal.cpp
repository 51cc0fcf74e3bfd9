// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/kexec_withdrawal.h"

#include <cerrno>
#include <string>
#include <string_view>

#include "bus/systemd.h"
#include "system/log.h"

namespace handover::bus {

namespace {

Error failed(const std::string& why) { return {ErrorCode::kexec_failed, why}; }

}  // namespace

void KexecWithdrawal::start(Done done) {
  done_.push_back(std::move(done));
  patience_ = loop_.after(limits_.answer_usec, [this] {
    auto silent = failed("PID 1 does not say whether it still starts kexec.target.");
    silent.sys_errno = ETIMEDOUT;
    tell(fail(passing(std::move(silent))));
  });
  list();
}

void KexecWithdrawal::tell_also(Done done) { done_.push_back(std::move(done)); }

/// Without a time limit: a PID 1 that wakes up after the failure has been told finds what asked for
/// the kexec first and this behind it, so there is something to take back still.
void KexecWithdrawal::list() {
  if (round_++ == limits_.rounds) {
    return tell(
        fail(failed("PID 1 has a job for kexec.target again and again; see 'systemctl "
                    "list-jobs'.")));
  }
  auto listed = systemd::call(bus_, "ListJobs", safe<on_jobs>, this, systemd::forever, "");
  if (!listed) {
    return tell(fail(passing(failed("PID 1 cannot be asked: " + listed.error().message))));
  }
  listed_ = std::move(*listed);
}

int KexecWithdrawal::on_jobs(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  auto& self = *static_cast<KexecWithdrawal*>(userdata);
  if (const auto* error = sd_bus_message_get_error(reply)) {
    auto why = failed("PID 1 does not list its jobs: " + systemd::sentence_of(*error));
    if (systemd::leaves_open(*error)) why.nature = Nature::passing;
    self.tell(fail(std::move(why)));
  } else if (auto cancelled = self.cancel_those_in(reply); !cancelled) {
    self.tell(cancelled);
  } else if (self.cancelling_ == 0) {
    self.tell({});
  }
  return 1;
}

Result<void> KexecWithdrawal::cancel_those_in(sd_bus_message* jobs) {
  if (auto read = check(sd_bus_message_enter_container(jobs, 'a', "(usssoo)"), "jobs"); !read) {
    return read;
  }
  cancelled_.clear();
  std::uint32_t id = 0;
  const char* unit = nullptr;
  const char* type = nullptr;
  while (sd_bus_message_read(jobs, "(usssoo)", &id, &unit, &type, nullptr, nullptr, nullptr) > 0) {
    const std::string_view name = unit;
    const bool kexecs = name == systemd::kexec_target || name == systemd::kexec_service;
    if (!kexecs || std::string_view(type) != "start") continue;
    auto called =
        systemd::call(bus_, "CancelJob", safe<on_cancelled>, this, systemd::forever, "u", id);
    if (!called) {
      return fail(passing(failed("PID 1 cannot be asked: " + called.error().message)));
    }
    cancelled_.push_back(std::move(*called));
    ++cancelling_;
  }
  return {};
}

int KexecWithdrawal::on_cancelled(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  auto& self = *static_cast<KexecWithdrawal*>(userdata);
  const auto* error = sd_bus_message_get_error(reply);
  // The end of the one may have been the end of the other.
  if (error != nullptr && std::string_view(error->name) != "org.freedesktop.systemd1.NoSuchJob") {
    log::error("PID 1 does not cancel the kexec: ", systemd::sentence_of(*error));
  }
  // Is there another one by now?
  if (--self.cancelling_ == 0) self.list();
  return 1;
}

void KexecWithdrawal::tell(const Result<void>& result) {
  patience_.cancel();
  // Last: whoever hears it may end this object.
  const auto told = std::exchange(done_, {});
  for (const auto& done : told) done(result);
}

}  // namespace handover::bus
