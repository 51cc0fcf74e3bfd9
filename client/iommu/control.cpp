// SPDX-License-Identifier: LGPL-2.1-or-later
#include "control.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <vector>

#include "common/file.h"

namespace handover::iommu {

client::Result<void> Control::open(sd_event* event, Handler handler) {
  event_ = event;
  handler_ = std::move(handler);
  return connect();
}

client::Result<void> Control::renew() {
  source_.reset();
  return connect();
}

client::Result<void> Control::connect() {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
    return common::errno_error("Cannot make a socket");
  }
  ours_.reset(ends[0]);
  theirs_.reset(ends[1]);
  sd_event_source* source = nullptr;
  const int r = sd_event_add_io(
      event_, &source, ours_.get(), EPOLLIN,
      [](sd_event_source*, int, std::uint32_t, void* userdata) {
        static_cast<Control*>(userdata)->serve();
        return 0;
      },
      this);
  if (r < 0) return common::errno_error("Cannot watch a socket", -r);
  source_.reset(source);
  return {};
}

void Control::hold() { sd_event_source_set_enabled(source_.get(), SD_EVENT_OFF); }
void Control::go_on() { sd_event_source_set_enabled(source_.get(), SD_EVENT_ON); }

void Control::serve() {
  // One more than the largest, so that a larger one is seen to be too large.
  std::vector<std::byte> packet(largest_request + 1);
  const ssize_t n = recv(ours_.get(), packet.data(), packet.size(), MSG_DONTWAIT);
  if (n <= 0) return;  // we hold the other end too: it never ends while we run
  packet.resize(static_cast<std::size_t>(n));
  auto request = parse_request(packet);
  const auto answer = answer_to(request ? handler_(*request) : request.error());
  // COMMAND that sends without reading answers gets no more of them, and nobody is held up by it.
  (void)send(ours_.get(), &answer, sizeof(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace handover::iommu
