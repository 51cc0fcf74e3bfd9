// SPDX-License-Identifier: LGPL-2.1-or-later
// Plays systemd for the daemon: Type=notify, the fd store, Restart=on-failure.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "child_process.h"
#include "core/unique_fd.h"
#include "event_loop.h"
#include "support/notify_socket.h"
#include "support/temporary_directory.h"

namespace handover::test {

class ServiceManager {
 public:
  struct Stored {
    std::string name;
    UniqueFd fd;
    std::pair<dev_t, ino_t> file;
  };

  /// `log`, the notify socket and the daemon's directories are in `directory`.
  ServiceManager(EventLoop& loop, const TemporaryDirectory& directory,
                 std::vector<std::string> argv, std::vector<std::string> environment);

  /// As FileDescriptorStoreMax=; for the next start.
  void limit_store(unsigned descriptors);
  /// As WatchdogSec=; for the next start. Nobody is killed: see watchdog_fed().
  void watch(std::chrono::microseconds limit);
  /// For the next start.
  void set_environment(const std::string& name, const std::string& value);
  /// Runs in the child before execve(), at each start.
  void before_exec(std::function<void()> in_child) { in_child_ = std::move(in_child); }
  /// Runs in the test after each fork, with the new process's id.
  void after_fork(std::function<void()> in_parent) { in_parent_ = std::move(in_parent); }

  void start();
  /// `systemctl stop` without waiting: SIGTERM, and no restart.
  void terminate();
  /// terminate(), and waits. The status of waitpid(2), or nullopt if it did not end.
  std::optional<int> stop();
  void kill_daemon();
  /// SIGSTOP, SIGCONT, and what else means nothing to the service manager.
  void signal_daemon(int number) const;
  /// As a cold boot: what the fd store held is gone.
  void lose_store();
  /// False: a daemon that dies stays dead until start().
  void set_restarts(bool restarts) { restarts_ = restarts; }

  [[nodiscard]] pid_t pid() const { return process_ ? process_->pid() : -1; }
  [[nodiscard]] bool running() const { return process_ && process_->running(); }
  /// As waitpid(2) tells, of the process that ended last.
  [[nodiscard]] int last_status() const { return last_status_; }
  /// How often READY=1 came.
  [[nodiscard]] unsigned ready() const { return ready_; }
  /// How often WATCHDOG=1 came.
  [[nodiscard]] unsigned watchdog_fed() const { return watchdog_fed_; }
  /// How often EXTEND_TIMEOUT_USEC= came.
  [[nodiscard]] unsigned extended() const { return extended_; }
  /// How many processes ended without being asked to.
  [[nodiscard]] unsigned deaths() const { return deaths_; }
  /// Statuses of those that ended by themselves other than by SIGKILL: crashes of their own.
  [[nodiscard]] const std::vector<int>& crashes() const { return crashes_; }
  [[nodiscard]] std::vector<std::string> stored_names();
  [[nodiscard]] std::string log() const;

 private:
  using Store = std::list<Stored>;

  void on_notification();
  void store(const std::string& name, UniqueFd fd);
  void forget(const std::string& name);
  void handle(NotifySocket::Notification notification);
  void ended(int status);

  EventLoop& loop_;
  const TemporaryDirectory& directory_;
  std::vector<std::string> argv_;
  std::vector<std::string> environment_;
  std::function<void()> in_child_;
  std::function<void()> in_parent_;
  NotifySocket socket_;
  SourcePtr source_;
  std::unique_ptr<ChildProcess> process_;
  SourcePtr restart_;
  Store store_;  ///< what came last is first
  std::multimap<std::string, Store::iterator> by_name_;
  std::multimap<std::pair<dev_t, ino_t>, Store::iterator> by_file_;
  std::vector<int> crashes_;
  bool restarts_ = true;
  bool stopping_ = false;
  unsigned ready_ = 0;
  unsigned watchdog_fed_ = 0;
  unsigned extended_ = 0;
  unsigned deaths_ = 0;
  int last_status_ = 0;
};

}  // namespace handover::test
