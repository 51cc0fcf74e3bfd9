// SPDX-License-Identifier: LGPL-2.1-or-later
// `handover-vmm restart`: another QEMU under a guest that goes on, and one that fails.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "vmm_client.h"

namespace handover::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

class VmmRestart : public VmmClient {
 protected:
  [[nodiscard]] std::string path(const std::string& below) const {
    return host.directory().path(below);
  }

  /// Nothing that only one QEMU can have: the old one stands by.
  json guest_beside() {
    auto config = configuration("own-monitor");
    auto& arguments = config["arguments"];
    arguments.erase(arguments.end() - 2, arguments.end());  // -qmp
    return config;
  }

  /// For a copy of QEMU, which looks for its parts beside itself; Debian's are there.
  static json for_a_copy(json config) {
    ::setenv("QEMU_MODULE_DIR", "/usr/lib/x86_64-linux-gnu/qemu", 1);
    for (const char* folder : {"/usr/share/qemu", "/usr/share/seabios"}) {
      config["arguments"].push_back("-L");
      config["arguments"].push_back(folder);
    }
    return config;
  }

  void TearDown() override {
    VmmClient::TearDown();
    ::unsetenv("QEMU_MODULE_DIR");
  }

  /// `handover-vmm restart NAME`: its exit code. What it says is in `said`.
  int restart(const std::string& name = "guest") {
    ChildProcess::Setup setup;
    setup.argv = {HANDOVER_VMM_PROGRAM, "restart", name, "--directory", path("status")};
    setup.log = path("restart.log");
    fs::remove(setup.log);
    std::optional<int> ended;
    const ChildProcess program(host.loop(), setup, [&](int code) { ended = code; });
    EXPECT_TRUE(host.run_until([&] { return ended.has_value(); }));
    said = text_of(setup.log);
    return ended && WIFEXITED(*ended) ? WEXITSTATUS(*ended) : -1;
  }

  /// From now on the configuration names that program.
  void configure(const std::string& program) {
    auto config = json::parse(text_of(path("guest.json")));
    config["qemu"] = program;
    host.directory().write("guest.json", config.dump());
  }
  /// A program that says its version, and fails at all else.
  std::string broken_qemu(const std::string& below = "broken") {
    const auto program = host.directory().write(
        below, "#!/bin/sh\n[ \"$1\" = --version ] || { echo oops; exit 3; }\n");
    fs::permissions(program,
                    fs::perms::owner_all | fs::perms::others_exec | fs::perms::others_read);
    return program;
  }

  /// A copy of QEMU runs the guest, and has been replaced by a broken one: the copy goes on.
  void expect_return_from_a_broken_qemu(const json& config) {
    const auto installed = path("installed");
    fs::copy_file(qemu, installed);
    qemu = installed;
    run(config);
    const auto before = qemu_process();
    fs::rename(broken_qemu("new"), installed);
    EXPECT_EQ(restart(), 1);
    EXPECT_NE(said.find("keeps its QEMU: QEMU did not start"), std::string::npos) << said;
    EXPECT_NE(qemu_process(), before);
  }

  /// The image, which no QEMU may write to until it is closed. None if that cannot be had.
  UniqueFd read_by_a_backup() {
    UniqueFd image(::open(path("count.raw").c_str(), O_RDWR | O_CLOEXEC));
    struct flock lock = {};
    lock.l_type = F_RDLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = unshared_write;
    lock.l_len = 1;
    if (fcntl(image.get(), F_OFD_SETLK, &lock) != 0) image.reset();
    return image;
  }
  /// A QEMU that cannot go on with what it has read: an image must not be written to.
  std::string locked_qemu() {
    const auto program = host.directory().write(
        "locked",
        "#!/usr/bin/python3\n"
        "import fcntl, os, struct, sys\n"
        "if '-incoming' in sys.argv:\n"
        "    image = os.open('count.raw', os.O_RDWR)\n"
        "    os.set_inheritable(image, True)\n"
        "    fcntl.fcntl(image, 37, struct.pack('hhqqi4x', fcntl.F_RDLCK, 0, " +
            std::to_string(unshared_write) +
            ", 1, 0))\n"
            "os.execv('" +
            qemu + "', ['" + qemu + "'] + sys.argv[1:])\n");
    fs::permissions(program, fs::perms::owner_all);
    return program;
  }

  /// The byte that QEMU locks in an image which nobody else is to write to (its file-posix.c).
  static constexpr int unshared_write = 201;

  void expect_goes_on() {
    expect_disk_good();
    EXPECT_TRUE(runs());
    EXPECT_TRUE(preserved());
    EXPECT_FALSE(status);
  }

  std::string said;
};

TEST_F(VmmRestart, GuestGoesOnInAnotherQemu) {
  run(guest_beside());
  expect_disk_good();
  for (int time = 0; time < 2; ++time) {
    const auto before = qemu_process();
    EXPECT_EQ(restart(), 0) << said;
    EXPECT_EQ(said, "");
    EXPECT_NE(qemu_process(), before);
    EXPECT_FALSE(alive(before));
    EXPECT_FALSE(told()["carried"]["restored"]);
    expect_goes_on();
  }
  EXPECT_EQ(host.generation(), 0U);
  expect_carried();
  expect_disk_good();
  EXPECT_EQ(restart(), 0) << said;
  expect_goes_on();
}

/// The operator's monitor is a socket that one QEMU listens at.
TEST_F(VmmRestart, OneQemuAfterTheOther) {
  run(configuration("own-monitor"));
  const auto before = qemu_process();
  EXPECT_EQ(restart(), 0) << said;
  EXPECT_NE(qemu_process(), before);
  EXPECT_EQ(run_state(), "running");
  expect_goes_on();
  expect_carried();
  expect_disk_good();
}

TEST_F(VmmRestart, TakesTheConfiguredProgram) {
  run(for_a_copy(guest_beside()));
  const auto other = path("qemu-of-tomorrow");
  fs::copy_file(qemu, other);
  configure(other);
  EXPECT_EQ(restart(), 0) << said;
  EXPECT_EQ(fs::read_symlink("/proc/" + std::to_string(qemu_process()) + "/exe"), other);
  expect_goes_on();
}

TEST_F(VmmRestart, ProgramThatDoesNotRunStopsNobody) {
  run(guest_beside());
  const auto before = qemu_process();
  for (const char* program : {"/bin/false", "/nonexistent", "/dev/null"}) {
    configure(program);
    EXPECT_EQ(restart(), 1) << program;
    EXPECT_NE(said.find("The guest 'guest' keeps its QEMU: "), std::string::npos) << said;
    EXPECT_NE(said.find(program), std::string::npos) << said;
    EXPECT_EQ(qemu_process(), before);
    EXPECT_FALSE(says("without an update")) << "the guest was stopped";
  }
  host.directory().write("guest.json", "{");
  EXPECT_EQ(restart(), 1);
  EXPECT_NE(said.find("guest.json:1"), std::string::npos) << said;
  expect_goes_on();
}

TEST_F(VmmRestart, ProgramThatFailsLeavesTheOldOne) {
  run(guest_beside());
  const auto before = qemu_process();
  configure(broken_qemu());
  EXPECT_EQ(restart(), 1);
  EXPECT_NE(said.find("The guest 'guest' keeps its QEMU: QEMU did not start"), std::string::npos)
      << said;
  EXPECT_EQ(qemu_process(), before);
  expect_goes_on();
  configure(qemu);
  expect_carried();
  expect_disk_good();
}

/// Nobody has the guest then: its state is there.
TEST_F(VmmRestart, OldQemuThatEndsMeanwhile) {
  run(guest_beside());
  const auto before = qemu_process();
  const auto killer =
      host.directory().write("killer", "#!/bin/sh\n[ \"$1\" = --version ] || { kill -9 " +
                                           std::to_string(before) + "; exit 3; }\n");
  fs::permissions(killer, fs::perms::owner_all);
  configure(killer);
  EXPECT_EQ(restart(), 1);
  EXPECT_NE(said.find("QEMU did not start"), std::string::npos) << said;
  EXPECT_NE(qemu_process(), before);
  expect_goes_on();
  expect_carried();
}

/// Another machine, whose parts the state does not know.
TEST_F(VmmRestart, ProgramThatCannotReadTheState) {
  const auto other = host.directory().write(
      "other", "#!/bin/sh\n[ \"$1\" = --version ] || exec " + qemu + " \"$@\" -machine q35\n");
  fs::permissions(other, fs::perms::owner_all);
  run(guest_beside());
  const auto before = qemu_process();
  configure(other);
  EXPECT_EQ(restart(), 1);
  EXPECT_NE(said.find("The guest 'guest' keeps its QEMU: "), std::string::npos) << said;
  EXPECT_EQ(qemu_process(), before);
  expect_goes_on();
  configure(qemu);
  EXPECT_EQ(restart(), 0) << said;
  expect_goes_on();
}

TEST_F(VmmRestart, NewQemuThatRefusesToGoOn) {
  for (const bool beside : {true, false}) {
    run(beside ? guest_beside() : configuration("own-monitor"));
    const auto before = qemu_process();
    configure(locked_qemu());
    EXPECT_EQ(restart(), 1);
    EXPECT_NE(said.find("The guest 'guest' keeps its QEMU: QEMU refuses 'cont': "),
              std::string::npos)
        << said;
    EXPECT_EQ(qemu_process() == before, beside);
    EXPECT_TRUE(beside || run_state() == "running");
    expect_goes_on();
    configure(qemu);
    EXPECT_EQ(restart(), 0) << said;
    expect_goes_on();
    expect_carried();
    expect_disk_good();
    VmmClient::TearDown();
  }
}

/// Neither of them may write to the image, while a backup reads it.
TEST_F(VmmRestart, GuestThatNoQemuMayGoOnWith) {
  for (const bool beside : {true, false}) {
    run(beside ? guest_beside() : configuration("own-monitor"));
    auto backup = read_by_a_backup();
    ASSERT_TRUE(backup);
    EXPECT_EQ(restart(), 1);
    const auto stands = "The guest 'guest' stands still in QEMU, process " +
                        std::to_string(qemu_process()) +
                        ", which is told to go on each second until it does: QEMU refuses 'cont'";
    EXPECT_NE(said.find(stands), std::string::npos) << said;
    EXPECT_EQ(told()["state"], "frozen");
    EXPECT_TRUE(alive(qemu_process()));
    EXPECT_EQ(restart(), 1);
    EXPECT_EQ(said.find("handover-vmm: " + stands), 0U) << said;
    expect_refused("stands still in QEMU");
    backup.reset();
    EXPECT_TRUE(host.run_until([&] { return runs(); }));
    expect_goes_on();
    EXPECT_EQ(restart(), 0) << said;
    expect_goes_on();
    expect_carried();
    expect_disk_good();
    VmmClient::TearDown();
  }
}

/// Nobody has it any more then, and no update waits for it.
TEST_F(VmmRestart, SigtermEndsAGuestThatStandsStill) {
  run(guest_beside());
  const auto backup = read_by_a_backup();
  ASSERT_TRUE(backup);
  EXPECT_EQ(restart(), 1);
  ASSERT_EQ(told()["state"], "frozen") << said;
  const auto process = qemu_process();
  vmm->signal(SIGTERM);
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 0) << *status;
  EXPECT_TRUE(host.run_until([&] { return !alive(process); }));
  EXPECT_EQ(told()["state"], "ended");
  EXPECT_TRUE(host.run_until([&] { return host.list_sessions().empty(); }));
  host.observer().clear();
  host.update_ends("done");
}

/// An upgrade has put a broken program in place of the one that runs.
TEST_F(VmmRestart, ProgramThatIsGoneTakesTheGuestBack) {
  auto config = for_a_copy(configuration("own-monitor"));
  if (geteuid() == 0) {
    fs::permissions(path(""), fs::perms::all);
    ASSERT_EQ(chown(path("count.raw").c_str(), 65534, 0), 0);
    config["user"] = "nobody";
  }
  expect_return_from_a_broken_qemu(config);
  EXPECT_NE(fs::read_symlink("/proc/" + std::to_string(qemu_process()) + "/exe")
                .string()
                .find("installed (deleted)"),
            std::string::npos);
  EXPECT_EQ(run_state(), "running");
  expect_goes_on();
}

/// In the unit nobody may look which program a QEMU of another user runs.
TEST_F(VmmRestart, GuestOfAnotherUserInItsUnit) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give QEMU another user";
  auto config = for_a_copy(configuration("own-monitor"));
  config["arguments"].push_back("-runas");
  config["arguments"].push_back("nobody");
  fs::permissions(path(""), fs::perms::all);
  ASSERT_EQ(chown(path("count.raw").c_str(), 65534, 0), 0);
  may_trace = false;
  expect_return_from_a_broken_qemu(config);
  EXPECT_EQ(run_state(), "running");
  expect_goes_on();
  configure("/usr/bin/qemu-system-x86_64");
  EXPECT_EQ(restart(), 0) << said;
  EXPECT_EQ(run_state(), "running");
  expect_goes_on();
}

TEST_F(VmmRestart, RefusesWhatItCannotDo) {
  below();
  auto config = configuration("own-monitor");
  config["needs"] = {"below"};
  run(config);
  EXPECT_EQ(restart("nobody-here"), 1);
  EXPECT_NE(said.find("(does it run?)"), std::string::npos) << said;
  EXPECT_EQ(restart("a/b"), 2);

  own("stop");
  EXPECT_EQ(restart(), 1);
  EXPECT_NE(said.find("it is 'paused'"), std::string::npos) << said;
  own("cont");
  own("blockdev-snapshot-sync", {{"device", "d0"}, {"snapshot-file", path("snap.qcow2")}});
  EXPECT_EQ(restart(), 1);
  EXPECT_NE(said.find("snap.qcow2"), std::string::npos) << said;
  expect_disk_good();
}

/// `ulimit -f`: nothing that it writes is worth the guest.
TEST_F(VmmRestart, LogThatMayNotGrow) {
  constexpr std::uintmax_t most = 100 << 20;
  most_file_bytes = most;
  run(guest_beside());
  fs::resize_file(log(), most);
  configure(broken_qemu());
  EXPECT_EQ(restart(), 1);
  EXPECT_NE(said.find("keeps its QEMU"), std::string::npos) << said;
  expect_goes_on();
  configure(qemu);
  EXPECT_EQ(restart(), 0) << said;
  expect_goes_on();
  EXPECT_EQ(fs::file_size(log()), most);
  fs::resize_file(log(), 0);
}

/// A console server that takes one connection, and ends with it.
TEST_F(VmmRestart, RefusesWhatOnlyOneCanHave) {
  auto config = guest_beside();
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(bind(listener.get(), any, size), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  ASSERT_EQ(getsockname(listener.get(), any, &size), 0);
  const auto line = "socket,id=c,host=127.0.0.1,port=" + std::to_string(ntohs(address.sin_port));
  config["arguments"].push_back("-chardev");
  config["arguments"].push_back(line);
  run(config);
  const auto before = qemu_process();
  EXPECT_EQ(restart(), 1);
  EXPECT_NE(said.find("keeps its QEMU: '-chardev " + line + "' is a connection"), std::string::npos)
      << said;
  EXPECT_EQ(qemu_process(), before);
  EXPECT_FALSE(says("without an update")) << "the guest was stopped";
}

TEST_F(VmmRestart, RefusesInAnUpdate) {
  freeze();
  EXPECT_EQ(restart(), 1);
  EXPECT_NE(said.find("is in an update: ask again when that is over."), std::string::npos) << said;
  expect_goes_on_after_cancel();
  EXPECT_EQ(restart(), 0) << said;
}

}  // namespace
}  // namespace handover::test
