// SPDX-License-Identifier: LGPL-2.1-or-later
#include "vmm_client.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace handover::test {
namespace {

/// For a child, in a mount namespace of its own.
bool mount_full(const std::string& directory) {
  if (unshare(CLONE_NEWNS) < 0) return false;
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return false;
  std::filesystem::create_directories(directory);
  if (mount("full", directory.c_str(), "tmpfs", 0, "size=4k") < 0) return false;
  const UniqueFd file(open((directory + "/fill").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const std::string page(4096, 'x');
  return write(file.get(), page.data(), page.size()) == static_cast<ssize_t>(page.size());
}

/// One connection to a monitor, for a few commands. Throws std::runtime_error.
class Monitor {
 public:
  explicit Monitor(const std::string& path)
      : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    timeval patience = {60, 0};
    setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
      throw std::runtime_error("cannot connect to " + path);
    }
    greeting_ = next();
    ask("qmp_capabilities", nlohmann::json::object());
  }

  nlohmann::json ask(const std::string& command, const nlohmann::json& arguments) {
    const std::string line =
        nlohmann::json{{"execute", command}, {"arguments", arguments}}.dump() + "\n";
    if (send(socket_.get(), line.data(), line.size(), MSG_NOSIGNAL) < 0) {
      throw std::runtime_error("cannot write to the monitor");
    }
    for (;;) {
      const auto message = next();
      if (message.contains("return")) return message["return"];
      if (message.contains("error")) return message;
    }
  }

  [[nodiscard]] const nlohmann::json& greeting() const { return greeting_; }

 private:
  nlohmann::json next() {
    for (;;) {
      if (const auto end = input_.find('\n'); end != std::string::npos) {
        const auto message = nlohmann::json::parse(input_.substr(0, end));
        input_.erase(0, end + 1);
        return message;
      }
      std::array<char, 65536> buffer = {};
      const ssize_t n = recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (n <= 0) throw std::runtime_error("the monitor is silent");
      input_.append(buffer.data(), static_cast<std::size_t>(n));
    }
  }

  UniqueFd socket_;
  std::string input_;
  nlohmann::json greeting_;
};

}  // namespace

void VmmClient::SetUp() {
  // Another one, to try: HANDOVER_TEST_QEMU=/opt/qemu/bin/qemu-system-x86_64.
  const char* chosen = std::getenv("HANDOVER_TEST_QEMU");  // NOLINT(concurrency-mt-unsafe)
  qemu = chosen ? chosen : "/usr/bin/qemu-system-x86_64";
  if (access(qemu.c_str(), X_OK) != 0) GTEST_SKIP() << "there is no " << qemu;
  host.boot();
}

void VmmClient::TearDown() {
  if (!vmm) return;
  // Twice: the firmware does not heed the power button.
  if (!status) vmm->signal(SIGTERM);
  if (!status) vmm->signal(SIGINT);
  EXPECT_TRUE(host.run_until([&] { return status.has_value(); }))
      << "handover-vmm does not end on SIGTERM";
  if (HasFailure()) std::fprintf(stderr, "---- the client's log\n%s\n", text_of(log()).c_str());
}

void VmmClient::launch(json config) {
  config["qemu"] = qemu;
  config["limits"]["shutdown"] = 1;
  host.directory().write("guest.json", config.dump());
  ChildProcess::Setup setup;
  setup.argv = {HANDOVER_VMM_PROGRAM,
                "run",
                "--name",
                "guest",
                "--config",
                host.directory().path("guest.json"),
                "--directory",
                host.directory().path("status")};
  if (!may_trace) {
    const std::vector<std::string> without = {"/usr/bin/setpriv", "--bounding-set", "-sys_ptrace"};
    setup.argv.insert(setup.argv.begin(), without.begin(), without.end());
  }
  setup.environment = {"HANDOVER_PRIVATE_SOCKET=" + host.directory().path("run/private"),
                       "DBUS_SYSTEM_BUS_ADDRESS=" + host.bus().address()};
  setup.log = log();
  setup.in_child = [directory = host.directory().path(), most = most_file_bytes,
                    full = status_is_full] {
    if (full && !mount_full(directory + "/status")) _exit(may_not_mount);
    const rlimit limit = {most, most};
    if (chdir(directory.c_str()) < 0 || setrlimit(RLIMIT_FSIZE, &limit) < 0) _exit(124);
  };
  status.reset();
  vmm.emplace(host.loop(), setup, [this](int ended) { status = ended; });
}

void VmmClient::run(json config) {
  launch(std::move(config));
  ASSERT_TRUE(host.run_until([&] { return (runs() && preserved()) || status; })) << text_of(log());
  ASSERT_FALSE(status) << text_of(log());
  host.observer().clear();
}

int VmmClient::check(const json& config) {
  host.directory().write("check.json", config.dump());
  ChildProcess::Setup setup;
  setup.argv = {HANDOVER_VMM_PROGRAM, "check", host.directory().path("check.json")};
  setup.log = log();
  setup.in_child = [directory = host.directory().path()] {
    if (chdir(directory.c_str()) < 0) _exit(124);
  };
  std::optional<int> ended;
  const ChildProcess program(host.loop(), setup, [&](int code) { ended = code; });
  EXPECT_TRUE(host.run_until([&] { return ended.has_value(); }));
  return ended && WIFEXITED(*ended) ? WEXITSTATUS(*ended) : -1;
}

bool VmmClient::alive(pid_t process) {
  const auto stat = text_of("/proc/" + std::to_string(process) + "/stat");
  const auto name_end = stat.rfind(')');
  return name_end != std::string::npos && stat.at(name_end + 2) != 'Z';
}

void VmmClient::start(const std::vector<std::string>& devices,
                      const std::vector<std::string>& needs, int command) {
  std::vector<std::string> arguments = {"-machine",    "q35",      "-accel", "tcg",
                                        "-nodefaults", "-display", "none",   "-no-user-config"};
  arguments.insert(arguments.end(), devices.begin(), devices.end());
  run({{"memory", "32M"},
       {"state", "32M"},
       {"arguments", arguments},
       {"needs", needs},
       {"limits", {{"command", command}}}});
}

VmmClient::json VmmClient::configuration(const std::string& name) {
  constexpr std::uintmax_t disk_bytes = 16 << 20;
  const std::string cases = HANDOVER_SOURCE_DIR "/tests/bus/vmm/";
  for (const char* disk : {"count", "sleep"}) {
    const auto path =
        host.directory().write(disk + std::string(".raw"),
                               text_of(HANDOVER_BOOT_SECTORS + std::string("/") + disk + ".bin"));
    EXPECT_EQ(std::filesystem::file_size(path), 512U) << path;
    std::filesystem::resize_file(path, disk_bytes);
  }
  for (const char* empty : {"a.iso", "b.iso", "d.raw", "copy.raw"}) {
    std::filesystem::resize_file(host.directory().write(empty, ""), disk_bytes);
  }
  auto config = json::parse(text_of(cases + name + ".json"));
  config["limits"] = {{"command", 30}};
  return config;
}

bool VmmClient::says(const std::string& text) const {
  return text_of(log()).find(text) != std::string::npos;
}

std::string VmmClient::serial() const { return text_of(host.directory().path("guest.serial")); }

void VmmClient::expect_disk_good() {
  const auto before = serial().size();
  EXPECT_TRUE(host.run_until([&] { return serial().size() > before + 2; })) << serial();
  EXPECT_EQ(serial().find_first_not_of('K'), std::string::npos) << serial();
}

VmmClient::json VmmClient::told() const {
  return json::parse(text_of(host.directory().path("status/guest.json")), nullptr, false);
}

bool VmmClient::runs() const {
  const auto now = told();
  return now.is_object() && now["state"] == "running";
}

bool VmmClient::preserved() {
  for (const auto& session : host.list_sessions()) {
    if (session.name == "guest") return !session.incoming && session.descriptors == 2;
  }
  return false;
}

VmmClient::json VmmClient::own(const std::string& command, const json& arguments) {
  return Monitor(host.directory().path("own.qmp")).ask(command, arguments);
}

int VmmClient::major_version() {
  return Monitor(host.directory().path("own.qmp")).greeting()["QMP"]["version"]["qemu"]["major"];
}

ScriptedClient& VmmClient::below() {
  if (!below_) {
    below_ = &host.add({"below"});
    EXPECT_TRUE(host.start_clients());
  }
  return *below_;
}

void VmmClient::hold_when_frozen() {
  ASSERT_TRUE(host.update_held_by(below(), Call::freeze));
  ASSERT_TRUE(host.run_until([&] { return told()["state"] == "frozen"; })) << told();
}

void VmmClient::freeze() {
  below();
  start({}, {"below"});
  hold_when_frozen();
}

void VmmClient::expect_goes_on_after_cancel() {
  ASSERT_TRUE(host.cancel().ok());
  EXPECT_EQ(host.finished().outcome, "cancelled");
  below().on(Call::freeze, ScriptedClient::Behaviour::answer);
  EXPECT_TRUE(host.run_until([&] { return runs() && host.state() == "normal"; }));
  EXPECT_FALSE(told()["carried"]["restored"]);
}

void VmmClient::expect_prepared_and_cancelled() {
  host.observer().clear();
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.run_until([&] { return host.state() == "prepared"; }));
  ASSERT_TRUE(host.cancel().ok());
  EXPECT_EQ(host.finished().outcome, "cancelled");
  ASSERT_TRUE(host.run_until([&] { return host.state() == "normal"; }));
}

void VmmClient::expect_refused(const std::string& reason) {
  const auto before = qemu_process();
  host.observer().clear();
  const auto finished = host.update_ends("failed");
  EXPECT_NE(finished.reason.find(reason), std::string::npos) << finished.reason;
  EXPECT_TRUE(host.run_until([&] { return host.state() == "normal"; }));
  EXPECT_EQ(qemu_process(), before);
}

void VmmClient::expect_carried() {
  const auto before = qemu_process();
  host.observer().clear();
  host.update_ends("done");
  EXPECT_TRUE(host.observer().all("StateLost").empty());
  EXPECT_TRUE(host.run_until([&] { return runs() && preserved() && host.state() == "normal"; }));
  EXPECT_NE(qemu_process(), before) << "the state was not tried";
  EXPECT_TRUE(told()["carried"]["restored"]);
}

}  // namespace handover::test
