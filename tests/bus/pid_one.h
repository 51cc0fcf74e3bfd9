// SPDX-License-Identifier: LGPL-2.1-or-later
// Plays systemd's manager on the private bus: jobs that are started, listed, cancelled and end.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "connection.h"
#include "event_loop.h"

namespace handover::test {

class PidOne {
 public:
  enum class Behaviour {
    take,
    refuse,
    end_first,  ///< JobRemoved("failed") comes before the answer to StartUnit
    hang,       ///< reads nothing before wake()
  };
  struct Job {
    std::string unit;
    std::string type;
  };

  /// Returns when it has its name. There are other units' jobs, too.
  PidOne(EventLoop& loop, const Address& address);
  ~PidOne();
  PidOne(const PidOne&) = delete;
  PidOne& operator=(const PidOne&) = delete;

  /// Listens at a socket of its own, too, as /run/systemd/private is.
  void listen(EventLoop& loop, const std::string& path);
  void set(Behaviour behaviour) { behaviour_ = behaviour; }
  /// What `systemctl is-system-running` says.
  void set_state(std::string state) { state_ = std::move(state); }
  /// As if somebody had started kexec.target already.
  void have_kexec_jobs();
  /// Reads what has come meanwhile, in order, and takes it.
  void wake();
  /// Ends a unit's job. As in systemd, the jobs it pulled in go on, and its death is theirs that
  /// require it.
  void end(const std::string& unit, const char* result);
  /// The numbers of its jobs by unit; 0: it has none.
  [[nodiscard]] std::uint32_t job_of(const std::string& unit) const;
  [[nodiscard]] const std::map<std::uint32_t, Job>& jobs() const { return jobs_; }
  /// Members called so far, with their argument if they have one.
  [[nodiscard]] const std::vector<std::string>& calls() const { return calls_; }
  [[nodiscard]] bool called(const std::string& call) const;

 private:
  void add_object(sd_bus* bus);
  void accept(EventLoop& loop);
  static int on_call(sd_bus_message* message, void* userdata, sd_bus_error* error);
  static int get_state(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                       void* userdata, sd_bus_error*);
  int handle(sd_bus_message* message, sd_bus_error* error);
  int start_unit(sd_bus_message* message, sd_bus_error* error);
  int list_jobs(sd_bus_message* message);
  int cancel_job(sd_bus_message* message, sd_bus_error* error);
  std::uint32_t add(const char* unit, const char* type);

  Connection connection_;
  std::vector<SlotPtr> slots_;
  int listening_ = -1;
  SourcePtr accepting_;
  std::vector<std::unique_ptr<sd_bus, UnrefBus>> peers_;
  Behaviour behaviour_ = Behaviour::take;
  std::map<std::uint32_t, Job> jobs_;
  std::uint32_t next_ = 100;
  std::string state_ = "running";
  bool subscribed_ = false;
  std::vector<std::string> calls_;
  std::vector<MessagePtr> unread_;
};

}  // namespace handover::test
