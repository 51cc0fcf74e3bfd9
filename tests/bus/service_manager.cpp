// SPDX-License-Identifier: LGPL-2.1-or-later
#include "service_manager.h"

#include <linux/kcmp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
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

void ServiceManager::terminate() {
  restart_.reset();
  if (!running()) return;
  stopping_ = true;
  process_->signal(SIGTERM);
}

std::optional<int> ServiceManager::stop() {
  terminate();
  if (!loop_.run_until([this] { return !running(); })) return std::nullopt;
  return last_status_;
}

void ServiceManager::kill_daemon() { signal_daemon(SIGKILL); }

void ServiceManager::signal_daemon(int number) const {
  if (process_) process_->signal(number);
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

void ServiceManager::store(const std::string& name, UniqueFd fd) {
  struct stat status {};
  must(fstat(fd.get(), &status) < 0 ? -errno : 0, "what is to be stored");
  const std::pair file(status.st_dev, status.st_ino);
  // What is there already is not stored twice (service_add_fd_store(), systemd).
  const auto [begin, end] = by_file_.equal_range(file);
  const bool known = std::any_of(begin, end, [&](const auto& one) {
    return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, one.second->fd.get(), fd.get()) == 0;
  });
  if (known) return;
  store_.push_front({name, std::move(fd), file});
  by_name_.emplace(name, store_.begin());
  by_file_.emplace(file, store_.begin());
}

void ServiceManager::forget(const std::string& name) {
  const auto [begin, end] = by_name_.equal_range(name);
  for (auto one = begin; one != end; ++one) {
    const auto stored = one->second;
    const auto [first, last] = by_file_.equal_range(stored->file);
    by_file_.erase(std::find_if(first, last, [&](const auto& it) { return it.second == stored; }));
    store_.erase(stored);
  }
  by_name_.erase(begin, end);
}

void ServiceManager::lose_store() {
  by_name_.clear();
  by_file_.clear();
  store_.clear();
}

void ServiceManager::handle(NotifySocket::Notification notification) {
  const auto fields = fields_of(notification.text);
  if (fields.contains("FDSTOREREMOVE")) {
    forget(fields.at("FDNAME"));
  } else if (fields.contains("FDSTORE")) {
    for (auto& fd : notification.fds) store(fields.at("FDNAME"), std::move(fd));
  }
  if (fields.contains("READY")) ++ready_;
  if (fields.contains("WATCHDOG")) ++watchdog_fed_;
  if (fields.contains("EXTEND_TIMEOUT_USEC")) ++extended_;
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
