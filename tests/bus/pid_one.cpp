// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pid_one.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace handover::test {

namespace {

constexpr const char* path = "/org/freedesktop/systemd1";
constexpr const char* interface = "org.freedesktop.systemd1.Manager";

std::string job_path(std::uint32_t id) { return std::string(path) + "/job/" + std::to_string(id); }

}  // namespace

PidOne::PidOne(EventLoop& loop, const Address& address) : connection_(loop, address) {
  add_object(connection_.get());
  must(sd_bus_request_name(connection_.get(), "org.freedesktop.systemd1", 0), "PID 1's name");
  add("other.service", "start");
}

PidOne::~PidOne() {
  accepting_.reset();
  if (listening_ >= 0) close(listening_);
}

void PidOne::add_object(sd_bus* bus) {
  static const std::array<sd_bus_vtable, 8> vtable = {
      {SD_BUS_VTABLE_START(0),
       SD_BUS_METHOD("Subscribe", "", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
       SD_BUS_METHOD("Unsubscribe", "", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
       SD_BUS_METHOD("StartUnit", "ss", "o", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
       SD_BUS_METHOD("ListJobs", "", "a(usssoo)", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
       SD_BUS_METHOD("CancelJob", "u", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
       SD_BUS_PROPERTY("SystemState", "s", get_state, 0, 0), SD_BUS_VTABLE_END}};
  sd_bus_slot* slot = nullptr;
  must(sd_bus_add_object_vtable(bus, &slot, path, interface, vtable.data(), this),
       "PID 1's object");
  slots_.emplace_back(slot);
}

void PidOne::listen(EventLoop& loop, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  listening_ = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "a socket");
  must(bind(listening_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0 ? -errno
                                                                                          : 0,
       "PID 1's socket");
  must(::listen(listening_, 16) < 0 ? -errno : 0, "listening");
  accepting_ = loop.readable(listening_, [this, &loop] { accept(loop); });
}

void PidOne::accept(EventLoop& loop) {
  const int fd = accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  sd_bus* made = nullptr;
  sd_id128_t id{};
  must(sd_bus_new(&made), "sd_bus_new");
  peers_.emplace_back(made);
  must(sd_bus_set_fd(made, fd, fd), "a peer's socket");
  must(sd_id128_randomize(&id), "an id");
  must(sd_bus_set_server(made, 1, id), "a server");
  must(sd_bus_start(made), "a peer");
  must(sd_bus_attach_event(made, loop.get(), SD_EVENT_PRIORITY_NORMAL), "attaching");
  add_object(made);
}

int PidOne::get_state(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                      void* userdata, sd_bus_error*) {
  return sd_bus_message_append(reply, "s", static_cast<PidOne*>(userdata)->state_.c_str());
}

void PidOne::have_kexec_jobs() {
  add("systemd-kexec.service", "start");
  add("kexec.target", "start");
}

void PidOne::wake() {
  behaviour_ = Behaviour::take;
  for (const auto& message : std::exchange(unread_, {})) {
    must(sd_bus_message_rewind(message.get(), 1), "reading it again");
    must(handle(message.get(), nullptr), "a call that waited");
  }
}

std::uint32_t PidOne::add(const char* unit, const char* type) {
  jobs_[next_] = Job{unit, type};
  return next_++;
}

std::uint32_t PidOne::job_of(const std::string& unit) const {
  const auto job = std::find_if(jobs_.begin(), jobs_.end(),
                                [&](const auto& entry) { return entry.second.unit == unit; });
  return job == jobs_.end() ? 0 : job->first;
}

bool PidOne::called(const std::string& call) const {
  return std::find(calls_.begin(), calls_.end(), call) != calls_.end();
}

void PidOne::end(const std::string& unit, const char* result) {
  const auto id = job_of(unit);
  jobs_.erase(id);
  if (subscribed_) {
    must(sd_bus_emit_signal(connection_.get(), path, interface, "JobRemoved", "uoss", id,
                            job_path(id).c_str(), unit.c_str(), result),
         "JobRemoved");
  }
  const bool failed = std::string(result) != "done";
  if (failed && unit == "systemd-kexec.service" && job_of("kexec.target") != 0) {
    end("kexec.target", "dependency");
  }
}

int PidOne::on_call(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  auto& self = *static_cast<PidOne*>(userdata);
  if (self.behaviour_ == Behaviour::hang) {
    self.unread_.emplace_back(sd_bus_message_ref(message));
    return 1;
  }
  return self.handle(message, error);
}

int PidOne::handle(sd_bus_message* message, sd_bus_error* error) {
  const std::string member = sd_bus_message_get_member(message);
  if (member == "StartUnit") return start_unit(message, error);
  if (member == "CancelJob") return cancel_job(message, error);
  calls_.push_back(member);
  if (member == "ListJobs") return list_jobs(message);
  subscribed_ = member == "Subscribe";
  return sd_bus_reply_method_return(message, "");
}

int PidOne::start_unit(sd_bus_message* message, sd_bus_error* error) {
  const char* unit = nullptr;
  const char* mode = nullptr;
  must(sd_bus_message_read(message, "ss", &unit, &mode), "a unit and a mode");
  calls_.push_back(std::string("StartUnit ") + unit + " " + mode);
  if (behaviour_ == Behaviour::refuse) {
    return sd_bus_error_set(error, "org.freedesktop.systemd1.TransactionIsDestructive",
                            "Transaction is destructive.");
  }
  add("systemd-kexec.service", "start");
  add("other2.service", "stop");
  const auto id = add(unit, "start");
  if (behaviour_ == Behaviour::end_first) end("systemd-kexec.service", "failed");
  return sd_bus_reply_method_return(message, "o", job_path(id).c_str());
}

int PidOne::list_jobs(sd_bus_message* message) {
  sd_bus_message* made = nullptr;
  must(sd_bus_message_new_method_return(message, &made), "a reply");
  const MessagePtr reply(made);
  must(sd_bus_message_open_container(made, 'a', "(usssoo)"), "jobs");
  for (const auto& [id, job] : jobs_) {
    must(sd_bus_message_append(made, "(usssoo)", id, job.unit.c_str(), job.type.c_str(), "waiting",
                               job_path(id).c_str(), "/org/freedesktop/systemd1/unit/u"),
         "a job");
  }
  must(sd_bus_message_close_container(made), "jobs");
  return sd_bus_send(nullptr, made, nullptr);
}

int PidOne::cancel_job(sd_bus_message* message, sd_bus_error* error) {
  std::uint32_t id = 0;
  must(sd_bus_message_read(message, "u", &id), "a job's number");
  const auto job = jobs_.find(id);
  if (job == jobs_.end()) {
    calls_.emplace_back("CancelJob");
    return sd_bus_error_set(error, "org.freedesktop.systemd1.NoSuchJob", "There is no such job.");
  }
  calls_.push_back("CancelJob " + job->second.unit);
  end(std::string(job->second.unit), "canceled");
  return sd_bus_reply_method_return(message, "");
}

}  // namespace handover::test
