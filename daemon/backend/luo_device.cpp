// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/luo_device.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <thread>
#include <utility>

#include "backend/liveupdate_abi.h"

namespace handover::backend {
namespace {

/// Others open the device for the moment of a call too: PID 1 while it boots and while it shuts
/// down.
constexpr std::chrono::milliseconds open_limit(2000);

template <typename Request>
KernelResult<void> call(int fd, unsigned long number, Request& request) {
  if (::ioctl(fd, number, &request) < 0) return tl::unexpected<int>(errno);
  return {};
}

class Device final : public LuoDevice {
 public:
  explicit Device(std::string path) : path_(std::move(path)) {}

  KernelResult<UniqueFd> create_session(const std::string& name) override {
    return by_name<abi::CreateSession>(abi::create_session, name);
  }

  KernelResult<UniqueFd> retrieve_session(const std::string& name) override {
    return by_name<abi::RetrieveSession>(abi::retrieve_session, name);
  }

  KernelResult<void> preserve_fd(int session, std::uint64_t token, int fd) override {
    abi::PreserveFd request = {};
    request.size = sizeof(request);
    request.fd = fd;
    request.token = token;
    return call(session, abi::preserve_fd, request);
  }

  KernelResult<UniqueFd> retrieve_fd(int session, std::uint64_t token) override {
    abi::RetrieveFd request = {};
    request.size = sizeof(request);
    request.fd = -1;
    request.token = token;
    if (auto done = call(session, abi::retrieve_fd, request); !done) {
      return tl::unexpected<int>(done.error());
    }
    return UniqueFd(request.fd);  // the kernel opens it O_CLOEXEC
  }

  KernelResult<void> finish(int session) override {
    abi::Finish request = {};
    request.size = sizeof(request);
    return call(session, abi::finish, request);
  }

  KernelResult<std::string> session_name(int session) override {
    abi::GetName request = {};
    request.size = sizeof(request);
    if (auto done = call(session, abi::get_name, request); !done) {
      return tl::unexpected<int>(done.error());
    }
    const auto* begin = reinterpret_cast<const char*>(request.name);
    return std::string(begin, ::strnlen(begin, sizeof(request.name)));
  }

 private:
  template <typename Request>
  KernelResult<UniqueFd> by_name(unsigned long number, const std::string& name) {
    Request request = {};
    if (name.size() >= sizeof(request.name)) return tl::unexpected<int>(ENAMETOOLONG);
    request.size = sizeof(request);
    request.fd = -1;
    std::copy(name.begin(), name.end(), request.name);

    auto device = retry_while(EBUSY, open_limit, [this]() -> KernelResult<UniqueFd> {
      UniqueFd fd(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
      if (!fd) return tl::unexpected<int>(errno);
      return fd;
    });
    if (!device) return device;
    if (auto done = call(device->get(), number, request); !done) {
      return tl::unexpected<int>(done.error());
    }
    return UniqueFd(request.fd);
  }

  std::string path_;
};

}  // namespace

std::shared_ptr<LuoDevice> open_luo_device(std::string path) {
  return std::make_shared<Device>(std::move(path));
}

KernelResult<UniqueFd> retry_while(int transient, std::chrono::milliseconds limit,
                                   const std::function<KernelResult<UniqueFd>()>& attempt) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds longest_pause(50);
  const Clock::time_point deadline = Clock::now() + limit;
  std::chrono::milliseconds pause(1);
  for (;;) {
    auto result = attempt();
    if (result || result.error() != transient || Clock::now() + pause > deadline) return result;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, longest_pause);
  }
}

bool is_incoming(LuoDevice& device, int session) {
  const auto refused = device.preserve_fd(session, std::numeric_limits<std::uint64_t>::max(), -1);
  return !refused && refused.error() == EINVAL;
}

}  // namespace handover::backend
