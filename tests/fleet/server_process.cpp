// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace handover::test {
namespace {

using namespace std::chrono_literals;

bool wait_until(const std::function<bool()>& done) {
  for (int i = 0; i < 1200; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(50ms);
  }
  return false;
}

sockaddr_in loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

void ServerProcess::start(const std::vector<std::string>& arguments, const std::string& log) {
  std::vector<std::string> copies = arguments;
  std::vector<char*> argv;
  for (auto& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork");
  if (pid_ > 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(fd, STDOUT_FILENO);
  dup2(fd, STDERR_FILENO);
  execvp(argv.front(), argv.data());
  _exit(127);
}

void ServerProcess::kill_now() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void FleetLockServer::start() {
  std::vector<std::string> arguments = {
      "python3", HANDOVER_SOURCE_DIR "/tests/fleet/fleetlock_server.py", directory_.path()};
  if (!port_.empty()) arguments.push_back(port_);
  const auto file = directory_.path("port");
  std::filesystem::remove(file);
  process_.start(arguments, directory_.path("log"));
  if (!wait_until([&] { return std::filesystem::exists(file); })) {
    throw std::runtime_error("no FleetLock server: " + text_of(directory_.path("log")));
  }
  port_ = text_of(file);
}

void FleetLockServer::behave(const nlohmann::json& behaviour) const {
  // In one step, for it reads the file at any time.
  const auto staged = directory_.write("behaviour.new", behaviour.dump());
  std::filesystem::rename(staged, directory_.path("behaviour.json"));
}

std::string FleetLockServer::holder(const std::string& group) const {
  const auto text = text_of(directory_.path("holders.json"));
  const auto held = nlohmann::json::parse(text, nullptr, false);
  return held.is_object() ? held.value(group, "") : "";
}

std::vector<nlohmann::json> FleetLockServer::requests() const {
  std::vector<nlohmann::json> all;
  std::istringstream lines(text_of(directory_.path("requests")));
  for (std::string line; std::getline(lines, line);) all.push_back(nlohmann::json::parse(line));
  return all;
}

int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto address = loopback(0);
  socklen_t size = sizeof(address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) < 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) < 0) {
    throw std::runtime_error("no port");
  }
  close(fd);
  return ntohs(address.sin_port);
}

bool accepts(int port) {
  return wait_until([&] {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto address = loopback(port);
    const int r = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    close(fd);
    return r == 0;
  });
}

}  // namespace handover::test
