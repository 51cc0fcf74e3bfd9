// SPDX-License-Identifier: LGPL-2.1-or-later
// The socket by which COMMAND asks for mappings, when one COMMAND takes the other's place.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>

#include "common/loop.h"
#include "iommu/control.h"
#include "iommu/options.h"

namespace handover::iommu {
namespace {

constexpr handover_iommu_request wrong_request = {1, 2, 3, 4, 5};

void ask(int end) {
  ASSERT_EQ(send(end, &wrong_request, sizeof(wrong_request), 0),
            static_cast<ssize_t>(sizeof(wrong_request)));
}

/// The answer's size; -1 with EAGAIN if there is none.
ssize_t answer_at(int end) {
  handover_iommu_answer answer = {};
  return recv(end, &answer, sizeof(answer), MSG_DONTWAIT);
}

TEST(IommuControl, TheNextCommandHearsNothingOfTheLast) {
  auto loop = common::make_loop();
  ASSERT_TRUE(loop);
  Control control;
  ASSERT_TRUE(control.open(loop->get(), [](const Request&) { return client::Result<void>(); }));
  const client::Fd first(fcntl(control.command_end(), F_DUPFD_CLOEXEC, 3));
  ask(first.get());
  ASSERT_GT(sd_event_run(loop->get(), 0), 0);  // its answer is not read
  ask(first.get());                            // and this is not served
  control.hold();

  ASSERT_TRUE(control.renew());
  EXPECT_EQ(sd_event_run(loop->get(), 0), 0) << "the earlier one's request was served";
  EXPECT_EQ(answer_at(control.command_end()), -1);
  EXPECT_EQ(errno, EAGAIN);
  ask(control.command_end());
  EXPECT_GT(sd_event_run(loop->get(), 0), 0);
  EXPECT_EQ(answer_at(control.command_end()), static_cast<ssize_t>(sizeof(handover_iommu_answer)));
}

TEST(IommuOptions, Restart) {
  auto parsed = parse_options({"restart", "nvme"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(std::get<Restart>(*parsed).name, "nvme");
  EXPECT_FALSE(parse_options({"restart"}));
  EXPECT_FALSE(parse_options({"restart", "a/b"}));
  EXPECT_FALSE(parse_options({"restart", "a", "--check"}));
}

}  // namespace
}  // namespace handover::iommu
