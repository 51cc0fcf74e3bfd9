// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake_qemu.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace handover::test {

using nlohmann::json;

FakeQemu::FakeQemu(Behaviour behaviour) : behaviour_(std::move(behaviour)) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) abort();
  ours_.reset(ends[0]);
  theirs_.reset(ends[1]);
  thread_ = std::thread([this] { serve(); });
}

FakeQemu::~FakeQemu() {
  shutdown(theirs_.get(), SHUT_RDWR);
  thread_.join();
}

std::vector<std::string> FakeQemu::commands() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, arguments] : heard_) names.push_back(name);
  return names;
}

std::string FakeQemu::run_state() const {
  const std::lock_guard lock(mutex_);
  return behaviour_.run_state;
}

json FakeQemu::arguments_of(const std::string& command) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, arguments] : heard_) {
    if (name == command) return arguments;
  }
  return nullptr;
}

json FakeQemu::last_arguments_of(const std::string& command) const {
  const std::lock_guard lock(mutex_);
  json last;
  for (const auto& [name, arguments] : heard_) {
    if (name == command) last = arguments;
  }
  return last;
}

std::string FakeQemu::loaded() const {
  const std::lock_guard lock(mutex_);
  return loaded_;
}

void FakeQemu::serve() {
  if (behaviour_.greets) {
    const json version = {{"qemu", {{"major", behaviour_.major}, {"minor", 2}, {"micro", 1}}}};
    send(json{{"QMP", {{"version", version}, {"capabilities", json::array()}}}}.dump() + "\r\n");
  }
  while (auto line = receive()) {
    if (!answer(json::parse(*line))) break;
  }
  shutdown(theirs_.get(), SHUT_RDWR);
}

bool FakeQemu::answer(const json& command) {
  const auto name = command.at("execute").get<std::string>();
  const auto arguments = command.value("arguments", json());
  const auto id = command.at("id").get<std::uint64_t>();
  int number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = static_cast<int>(heard_.size());
    heard_.emplace_back(name, arguments);
  }
  if (number == behaviour_.failing_command) {
    const bool goes_on = fail(id);
    go_on(name);
    return goes_on;
  }
  // Events come at any time.
  send(json{{"event", "RTC_CHANGE"}, {"data", {{"offset", 0}}}}.dump() + "\r\n");
  send(json{{"return", carry_out(name, arguments)}, {"id", id}}.dump() + "\r\n");
  if (name == "migrate") save();
  go_on(name);
  return true;
}

/// As time goes by, which here is by the number of times that somebody asks, answered or not.
void FakeQemu::go_on(const std::string& asked) {
  const std::lock_guard lock(mutex_);
  if (asked == "query-migrate" && migration_status_ == "active") {
    migration_status_ = "pre-switchover";
  }
}

/// False: it is the end.
bool FakeQemu::fail(std::uint64_t id) {
  switch (behaviour_.fault) {
    case Fault::refuses:
      send(json{{"error", {{"class", "GenericError"}, {"desc", "it does not want to"}}}, {"id", id}}
               .dump() +
           "\n");
      return true;
    case Fault::is_silent:
      return true;
    case Fault::ends:
      return false;
    case Fault::talks_nonsense:
      send("Segmentation fault\n");
      return true;
  }
  return false;
}

json FakeQemu::carry_out(const std::string& name, const json& arguments) {
  const std::lock_guard lock(mutex_);
  if (name == "query-status") return {{"status", behaviour_.run_state}};
  if (name == "stop") behaviour_.run_state = "paused";
  if (name == "cont") behaviour_.run_state = "running";
  if (name == "query-memdev") return behaviour_.memory;
  if (name == "query-migrate") return query_migrate();
  if (name == "migrate-set-parameters") mode_ = arguments.at("mode");
  if (name == "migrate-set-capabilities") {
    for (const auto& capability : arguments.at("capabilities")) {
      if (capability.at("capability") == "pause-before-switchover") {
        pauses_ = capability.at("state").get<bool>();
      }
    }
  }
  if (name == "migrate_cancel") {
    // QEMU lets the guest run again by itself; here it does not, so that somebody else must. And
    // before it has paused, QEMU 7.2 may never get over it.
    migration_status_ = migration_status_ == "active" ? "cancelling" : "cancelled";
    passed_.reset();
  }
  if (name == "migrate-incoming") incoming_ = true;
  return json::object();
}

json FakeQemu::query_migrate() {
  json answer = json::object();
  // QEMU 7.2 knows of an incoming migration only once it has begun to read, after its answer.
  if (incoming_ && !asked_) {
    asked_ = true;
    return answer;
  }
  if (incoming_) load();
  if (!migration_status_.empty()) answer["status"] = migration_status_;
  if (migration_status_ == "failed") answer["error-desc"] = behaviour_.migration_fails;
  if (!behaviour_.blocked_reasons.is_null()) answer["blocked-reasons"] = behaviour_.blocked_reasons;
  if (mode_ == "normal" && !behaviour_.blocked_normally.is_null()) {
    answer["blocked-reasons"] = behaviour_.blocked_normally;
  }
  return answer;
}

/// After the answer, as QEMU does it in a thread of its own.
void FakeQemu::save() {
  const std::lock_guard lock(mutex_);
  if (pauses_) {
    behaviour_.run_state = "paused";
    migration_status_ = "active";
    return;
  }
  std::string_view left = behaviour_.state;
  while (!left.empty()) {
    const ssize_t n = write(passed_.get(), left.data(), left.size());
    if (n <= 0) break;
    left.remove_prefix(static_cast<std::size_t>(n));
  }
  passed_.reset();
  migration_status_ = behaviour_.migration_fails.empty() && left.empty() ? "completed" : "failed";
}

void FakeQemu::load() {
  std::array<char, 4096> buffer = {};
  for (ssize_t n = 0; (n = read(passed_.get(), buffer.data(), buffer.size())) > 0;) {
    loaded_.append(buffer.data(), static_cast<std::size_t>(n));
  }
  passed_.reset();
  incoming_ = false;
  migration_status_ = behaviour_.migration_fails.empty() ? "completed" : "failed";
}

void FakeQemu::send(const std::string& text) const {
  if (::send(theirs_.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) return;
}

std::optional<std::string> FakeQemu::receive() {
  for (;;) {
    if (const auto end = input_.find('\n'); end != std::string::npos) {
      std::string line = input_.substr(0, end);
      input_.erase(0, end + 1);
      return line;
    }
    std::array<char, 4096> buffer = {};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
    iovec part = {buffer.data(), buffer.size()};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t n = recvmsg(theirs_.get(), &message, MSG_CMSG_CLOEXEC);
    if (n <= 0) return std::nullopt;
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(header), sizeof(fd));
      passed_.reset(fd);
    }
    input_.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

}  // namespace handover::test
