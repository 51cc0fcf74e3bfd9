// SPDX-License-Identifier: LGPL-2.1-or-later
// libhandover-iommu in a process of its own, against the socket that handover-iommu serves.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <handover/iommu.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "common/loop.h"
#include "common/memory_file.h"
#include "iommu/control.h"
#include "iommu/protocol.h"

namespace handover::iommu {
namespace {

constexpr std::uint64_t page = 4096;
const Limits limits{{{0, 0xfffffff}}, page};
const std::vector<Memory> memories = {{"a", page, 16}, {"b", UINT64_C(1) << 30, 17}};

std::vector<handover_iommu_mapping> row(std::uint64_t first, std::size_t count) {
  std::vector<handover_iommu_mapping> mappings;
  for (std::size_t i = 0; i < count; ++i) {
    mappings.push_back({first + i * page, page, i * page, 1, HANDOVER_IOMMU_READ});
  }
  return mappings;
}

/// In the driver's place; what it returns is the step that went wrong, 0 if none did.
int drive() {
  handover_iommu* handle = nullptr;
  if (handover_iommu_open(&handle) != 0) return 1;
  if (handover_iommu_is_restored(handle) != 1 || handover_iommu_ioas(handle) != 7) return 2;
  int fd = -1;
  if (handover_iommu_memory(handle, "b", &fd) != 1 || fcntl(fd, F_GETFD) < 0) return 3;
  if (handover_iommu_memory(handle, "device", nullptr) != -ENOENT) return 4;
  const auto many = row(0, 2500);  // three requests
  if (handover_iommu_map(handle, many.data(), many.size()) != 0) return 5;
  // The third request of these is out of reach: all go again.
  const auto crossing = row((UINT64_C(1) << 28) - 2200 * page, 2500);
  if (handover_iommu_map(handle, crossing.data(), crossing.size()) != -ERANGE) return 6;
  if (std::string(handover_iommu_message(handle)).find("0x10000000") == std::string::npos) return 7;
  if (handover_iommu_unmap(handle, many.data() + 1, many.size() - 1) != 0) return 8;
  if (handover_iommu_unmap(handle, many.data() + 1, 1) != -ENOENT) return 9;
  handover_iommu_close(handle);
  return 0;
}

/// As KeptDevice does it, without a kernel.
client::Result<void> serve(MappingSet& set, const Request& request) {
  if (request.operation == Request::Operation::unmap) {
    for (const auto& mapping : request.mappings) {
      auto found = set.find(mapping.iova, mapping.length);
      if (!found) return found.error();
    }
    for (const auto& mapping : request.mappings) set.remove(mapping.iova);
    return {};
  }
  for (const auto& mapping : request.mappings) {
    if (auto good = set.check(mapping, memories, limits); !good) {
      for (const auto& done : request.mappings) {
        if (done == mapping) break;
        set.remove(done.iova);
      }
      return good;
    }
    set.add(mapping, 0);
  }
  return {};
}

/// In the child: what handover-iommu starts the driver with, behind what came in front.
[[noreturn]] void become_driver(const Control& control, int memory, const std::string& in_front) {
  const int high = fcntl(control.command_end(), F_DUPFD, 20);
  const int file = fcntl(memory, F_DUPFD, 20);
  const auto names = in_front + "control:device:iommufd:a:b";
  const int before = static_cast<int>(std::count(in_front.begin(), in_front.end(), ':'));
  for (int fd = 3; fd < before + 8; ++fd) dup2(fd == before + 3 ? high : file, fd);
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", std::to_string(before + 5).c_str(), 1);
  setenv("LISTEN_FDNAMES", names.c_str(), 1);
  setenv("HANDOVER_IOAS", "7", 1);
  setenv("HANDOVER_RESTORED", "1", 1);
  const int wrong = drive();
  // What is not the library's stays open.
  for (int fd = 3; wrong == 0 && fd < before + 3; ++fd) {
    if (fcntl(fd, F_GETFD) < 0) _exit(20);
  }
  _exit(wrong);
}

class IommuLibraryOverTheSocket : public testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(WithInFront, IommuLibraryOverTheSocket,
                         testing::Values("", "web:", "control:iommufd:b:"),
                         [](const auto& all) { return std::to_string(all.index); });

TEST_P(IommuLibraryOverTheSocket, MapsAndUnmaps) {
  auto loop = common::make_loop();
  ASSERT_TRUE(loop);
  MappingSet set;
  Control control;
  ASSERT_TRUE(
      control.open(loop->get(), [&](const Request& request) { return serve(set, request); }));
  auto memory = common::make_memory("m", page);
  ASSERT_TRUE(memory);

  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) become_driver(control, memory->get(), GetParam());
  int status = 0;
  pid_t ended = 0;
  while ((ended = waitpid(child, &status, WNOHANG)) == 0) sd_event_run(loop->get(), 10'000);
  ASSERT_EQ(ended, child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "the step that went wrong";
  EXPECT_EQ(set.size(), 1U);
}

/// D20: what was asked for while COMMAND stands still is served when it goes on.
TEST(IommuControl, RequestsWaitWhileItIsHeld) {
  auto loop = common::make_loop();
  ASSERT_TRUE(loop);
  int served = 0;
  Control control;
  ASSERT_TRUE(control.open(loop->get(), [&](const Request&) -> client::Result<void> {
    ++served;
    return {};
  }));
  const handover_iommu_mapping one = {page, page, 0, 0, 0};
  const handover_iommu_request head = {static_cast<std::uint32_t>(sizeof(head) + sizeof(one)),
                                       HANDOVER_IOMMU_PROTOCOL_VERSION,
                                       HANDOVER_IOMMU_OPERATION_UNMAP, 1, 0};
  std::vector<std::byte> packet(sizeof(head) + sizeof(one));
  memcpy(packet.data(), &head, sizeof(head));
  memcpy(packet.data() + sizeof(head), &one, sizeof(one));
  const auto run = [&] {
    while (sd_event_run(loop->get(), 0) > 0) {
    }
  };
  control.hold();
  ASSERT_GT(send(control.command_end(), packet.data(), packet.size(), 0), 0);
  run();
  EXPECT_EQ(served, 0);
  control.go_on();
  run();
  EXPECT_EQ(served, 1);
}

TEST(IommuLibrary, IsRefusedWhereNobodyStartedIt) {
  handover_iommu* handle = nullptr;
  unsetenv("LISTEN_PID");
  EXPECT_EQ(handover_iommu_open(&handle), -ENOENT);
  EXPECT_EQ(handover_iommu_close(nullptr), nullptr);
}

TEST(IommuLibraryNull, IsRefused) {
  handover_iommu_mapping mapping = {};
  EXPECT_EQ(handover_iommu_open(nullptr), -EINVAL);
  EXPECT_EQ(handover_iommu_close(nullptr), nullptr);
  EXPECT_EQ(handover_iommu_is_restored(nullptr), 0);
  EXPECT_EQ(handover_iommu_device(nullptr), -EINVAL);
  EXPECT_EQ(handover_iommu_iommufd(nullptr), -EINVAL);
  EXPECT_EQ(handover_iommu_ioas(nullptr), 0U);
  EXPECT_EQ(handover_iommu_memory(nullptr, "ring", nullptr), -EINVAL);
  EXPECT_EQ(handover_iommu_map(nullptr, &mapping, 1), -EINVAL);
  EXPECT_EQ(handover_iommu_unmap(nullptr, &mapping, 1), -EINVAL);
  EXPECT_STREQ(handover_iommu_message(nullptr), "");
}

}  // namespace
}  // namespace handover::iommu
