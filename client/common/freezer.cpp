// SPDX-License-Identifier: LGPL-2.1-or-later
#include "freezer.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <utility>

#include "cgroup.h"
#include "command.h"
#include "file.h"
#include "strays.h"

namespace handover::common {
namespace {

/// A process or group that has ended meanwhile needs no signal.
client::Result<void> send_signal(pid_t target, int signal, const char* what) {
  if (::kill(target, signal) < 0 && errno != ESRCH) return errno_error(what);
  return {};
}

class CgroupFreezer : public Freezer {
 public:
  explicit CgroupFreezer(Cgroup cgroup) : cgroup_(std::move(cgroup)) {}

  [[nodiscard]] int procs_fd() const override { return cgroup_.procs_fd(); }
  client::Result<void> freeze(pid_t) override { return cgroup_.set_frozen(true); }
  client::Result<bool> is_still(pid_t) override { return cgroup_.is_frozen(); }
  client::Result<void> thaw(pid_t) override { return cgroup_.set_frozen(false); }
  client::Result<void> kill(pid_t child) override {
    if (cgroup_.kill()) return {};
    // cgroup.kill is there since Linux 5.14; a frozen process can be killed one by one as well.
    return send_signal(-child, SIGKILL, "Cannot kill the command");
  }

 private:
  Cgroup cgroup_;
};

/// What stops by signals has in common, however it is brought to it.
class GroupFreezer : public Freezer {
 public:
  client::Result<std::vector<std::string>> out_of_reach(pid_t child) override {
    return strays_of(child);
  }
  client::Result<bool> is_still(pid_t child) override { return group_is_stopped(child); }
  client::Result<void> thaw(pid_t child) override {
    // Whoever stopped it before us is to let it go on.
    if (std::exchange(was_stopped_, false)) return {};
    return go_on(child);
  }
  client::Result<void> kill(pid_t child) override {
    return send_signal(-child, SIGKILL, "Cannot kill the command");
  }

 protected:
  static client::Result<void> go_on(pid_t child) {
    return send_signal(-child, SIGCONT, "Cannot continue the command");
  }
  /// To be asked before it is stopped.
  client::Result<bool> note_whether_stopped(pid_t child) {
    auto stopped = group_is_stopped(child);
    was_stopped_ = stopped && *stopped;
    return stopped;
  }

  [[nodiscard]] bool was_stopped() const { return was_stopped_; }

 private:
  bool was_stopped_ = false;
};

/// A process in vfork(2), as of posix_spawn(3), cannot stop before its child has executed a
/// program; if the child stopped before that, neither ever does: they are let go on for a moment.
class StopFreezer : public GroupFreezer {
 public:
  client::Result<void> freeze(pid_t child) override {
    let_go_for_ = first_pause;
    if (auto stopped = note_whether_stopped(child); !stopped) return stopped.error();
    return stop(child);
  }
  client::Result<bool> is_still(pid_t child) override {
    const bool in_time = Clock::now() < next_;
    if (!stopped_) {
      if (in_time) return false;
      if (auto done = stop(child); !done) return done.error();
      return group_is_stopped(child);
    }
    auto still = group_is_stopped(child);
    if (!still || *still || in_time) return still;
    if (auto done = go_on(child); !done) return done.error();
    stopped_ = false;
    next_ = Clock::now() + let_go_for_;
    let_go_for_ = std::min(let_go_for_ * 2, longest_pause);
    return false;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds first_pause{1};
  static constexpr std::chrono::milliseconds longest_pause{50};
  /// Far longer than a stop takes that is not held up by a vfork(2).
  static constexpr std::chrono::milliseconds stop_takes{20};

  client::Result<void> stop(pid_t child) {
    stopped_ = true;
    next_ = Clock::now() + stop_takes;
    return send_signal(-child, SIGSTOP, "Cannot stop the command");
  }

  bool stopped_ = false;
  Clock::time_point next_;  ///< until then what was sent last is given time
  std::chrono::milliseconds let_go_for_ = first_pause;
};

/// COMMAND acknowledges by stopping itself, when it has brought its memory into order. CONT to one
/// that does not stand still yet has no effect on the stop to come: the stops are counted. Too many
/// are expected if a signal found its like still pending; then a stop of somebody else's is undone.
class SignalFreezer : public GroupFreezer {
 public:
  SignalFreezer(int freeze_signal, int thaw_signal)
      : freeze_signal_(freeze_signal), thaw_signal_(thaw_signal) {}

  client::Result<void> freeze(pid_t child) override {
    auto stopped = note_whether_stopped(child);
    if (!stopped) return stopped.error();
    auto sent = send_signal(child, freeze_signal_, "Cannot signal the command");
    if (!sent) return sent;
    ++stops_to_come_;
    // One that somebody else has stopped could not bring its memory into order.
    return *stopped ? go_on(child) : client::Result<void>();
  }
  client::Result<bool> is_still(pid_t child) override {
    auto still = GroupFreezer::is_still(child);
    if (still && *still && stops_to_come_ > 0) --stops_to_come_;
    return still;
  }
  [[nodiscard]] bool may_stop_late() const override { return stops_to_come_ > 0; }
  client::Result<void> thaw(pid_t child) override {
    // Its own stop, however late, leaves it as it was found.
    if (was_stopped()) stops_to_come_ = 0;
    if (thaw_signal_ != 0) {
      // Waits until SIGCONT lets COMMAND run its handler.
      auto sent = send_signal(child, thaw_signal_, "Cannot signal the command");
      if (!sent) return sent;
    }
    return GroupFreezer::thaw(child);
  }

 private:
  int freeze_signal_;
  int thaw_signal_;
  unsigned stops_to_come_ = 0;
};

client::Result<std::unique_ptr<Freezer>> make_cgroup_freezer(const std::string& parent) {
  // The pid keeps two of us in one cgroup apart, as in a login session.
  auto cgroup =
      Cgroup::make(parent + "/" + program_invocation_short_name + "-" + std::to_string(getpid()));
  if (!cgroup) return cgroup.error();
  return std::unique_ptr<Freezer>(std::make_unique<CgroupFreezer>(std::move(*cgroup)));
}

}  // namespace

client::Result<std::unique_ptr<Freezer>> make_freezer(const FreezeMethod& method) {
  using Kind = FreezeMethod::Kind;
  switch (method.kind) {
    case Kind::cgroup: {
      auto parent = own_cgroup();
      if (!parent) return parent.error();
      return make_cgroup_freezer(*parent);
    }
    case Kind::signal:
      return std::unique_ptr<Freezer>(
          std::make_unique<SignalFreezer>(method.freeze_signal, method.thaw_signal));
    case Kind::automatic: {
      auto parent = own_cgroup();
      if (parent && is_delegated(*parent)) {
        if (auto freezer = make_cgroup_freezer(*parent)) return freezer;
      }
      break;
    }
    case Kind::stop:
      break;
  }
  return std::unique_ptr<Freezer>(std::make_unique<StopFreezer>());
}

}  // namespace handover::common
