// SPDX-License-Identifier: LGPL-2.1-or-later
#include "service_manager.h"

#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <sstream>

namespace handover::test {

namespace {

std::map<std::string, std::string> fields_of(const std::string& text) {
  std::map<std::string, std::string> fields;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto equals = line.find('=');
    if (equals != std::string::npos) fields[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return fields;
}

bool same_open_file(int a, int b) {
  return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, a, b) == 0;
}

}  // namespace

ServiceManager::ServiceManager(EventLoop& loop, const TemporaryDirectory& directory,
                               std::vector<std::string> argv, std::vector<std::string> environment)
    : loop_(loop),
      directory_(directory),
      argv_(std::move(argv)),
      environment_(std::move(environment)),
      socket_(directory_.path("notify")) {
  source_ = loop_.readable(socket_.fd(), [this] { on_notification(); });
  environment_.push_back("NOTIFY_SOCKET=" + directory_.path("notify"));
}

void ServiceManager::set_environment(const std::string& name, const std::string& value) {
  std::erase_if(environment_,
                [&](const std::string& entry) { return entry.starts_with(name + "="); });
  environment_.push_back(name + "=" + value);
}

void ServiceManager::limit_store(unsigned descriptors) {
  set_environment("FDSTORE", std::to_string(descriptors));
}

void ServiceManager::watch(std::chrono::microseconds limit) {
  set_environment("WATCHDOG_USEC", std::to_string(limit.count()));
}

void ServiceManager::start() {
  ChildProcess::Setup setup;
  setup.argv = argv_;
  setup.environment = environment_;
  setup.log = directory_.path("daemon.log");
  setup.in_child = in_child_;
  for (const auto& stored : store_) setup.listen_fds.emplace_back(stored.name, stored.fd.get());
  stopping_ = false;
  process_ = std::make_unique<ChildProcess>(loop_, setup, [this](int status) { ended(status); });
  if (in_parent_) in_parent_();
}

std::optional<int> ServiceManager::stop() {
  restart_.reset();
  if (!running()) return last_status_;
  stopping_ = true;
  process_->signal(SIGTERM);
  if (!loop_.run_until([this] { return !running(); })) return std::nullopt;
  return last_status_;
}

void ServiceManager::kill_daemon() {
  if (process_) process_->signal(SIGKILL);
}

void ServiceManager::ended(int status) {
  // systemd too handles what a process said before it hears of its end.
  on_notification();
  last_status_ = status;
  if (stopping_) return;
  ++deaths_;
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) crashes_.push_back(status);
  // Not from within the dead process's own callback.
  if (restarts_) restart_ = loop_.after(std::chrono::milliseconds(0), [this] { start(); });
}

void ServiceManager::on_notification() {
  while (auto notification = socket_.receive()) handle(std::move(*notification));
}

void ServiceManager::handle(NotifySocket::Notification notification) {
  const auto fields = fields_of(notification.text);
  if (fields.contains("FDSTOREREMOVE")) {
    std::erase_if(store_, [&](const Stored& stored) { return stored.name == fields.at("FDNAME"); });
  } else if (fields.contains("FDSTORE")) {
    for (auto& fd : notification.fds) {
      // What is there already is not stored twice (service_add_fd_store(), systemd).
      const bool known = std::any_of(store_.begin(), store_.end(), [&](const Stored& stored) {
        return same_open_file(stored.fd.get(), fd.get());
      });
      if (!known) store_.insert(store_.begin(), Stored{fields.at("FDNAME"), std::move(fd)});
    }
  }
  if (fields.contains("READY")) ++ready_;
  if (fields.contains("WATCHDOG")) ++watchdog_fed_;
}

std::vector<std::string> ServiceManager::stored_names() {
  // What the daemon has sent before it answered the test: the loop may have looked at the answer
  // first.
  on_notification();
  std::vector<std::string> names;
  for (const auto& stored : store_) names.push_back(stored.name);
  std::sort(names.begin(), names.end());
  return names;
}

std::string ServiceManager::log() const { return text_of(directory_.path("daemon.log")); }

}  // namespace handover::test
