// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/luo_device.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "backend/liveupdate_abi.h"

namespace handover::backend {
namespace {

/// The device's one descriptor, shared by all who use it at the same time. A descriptor for each of
/// them would have our own threads answer EBUSY to each other.
class SharedDescriptor {
 public:
  explicit SharedDescriptor(std::function<int()> open_it) : open_it_(std::move(open_it)) {}

  /// Counts a user. The descriptor closes with the last one.
  void use() {
    const std::lock_guard lock(mutex_);
    ++users_;
  }
  void release() {
    const std::lock_guard lock(mutex_);
    if (--users_ == 0) fd_.reset();
  }
  /// For a user; valid for as long as he is one.
  KernelResult<int> get() {
    const std::lock_guard lock(mutex_);
    if (!fd_) fd_.reset(open_it_());
    if (!fd_) return tl::unexpected<int>(errno);
    return fd_.get();
  }

 private:
  std::function<int()> open_it_;
  std::mutex mutex_;
  unsigned users_ = 0;
  UniqueFd fd_;
};

class DescriptorUser {
 public:
  explicit DescriptorUser(std::shared_ptr<SharedDescriptor> shared) : shared_(std::move(shared)) {
    shared_->use();
  }
  DescriptorUser(const DescriptorUser&) = delete;
  DescriptorUser& operator=(const DescriptorUser&) = delete;
  ~DescriptorUser() { shared_->release(); }

 private:
  std::shared_ptr<SharedDescriptor> shared_;
};

template <typename Request>
KernelResult<void> luo_call(int fd, unsigned long number, Request& request) {
  if (::ioctl(fd, number, &request) < 0) return tl::unexpected<int>(errno);
  return {};
}

class RealLuoDevice final : public LuoDevice {
 public:
  explicit RealLuoDevice(std::function<int()> open_it)
      : shared_(std::make_shared<SharedDescriptor>(std::move(open_it))) {}

  std::shared_ptr<void> hold() override {
    auto user = std::make_shared<DescriptorUser>(shared_);
    (void)shared_->get();  // or the next call opens it
    return user;
  }

  KernelResult<void> open() override {
    const DescriptorUser user(shared_);
    const auto fd = shared_->get();
    if (!fd) return tl::unexpected<int>(fd.error());
    return {};
  }

  KernelResult<UniqueFd> create_session(const std::string& name) override {
    return by_name<abi::CreateSession>(abi::create_session, name);
  }

  KernelResult<UniqueFd> retrieve_session(const std::string& name) override {
    return by_name<abi::RetrieveSession>(abi::retrieve_session, name);
  }

  int preserve_fd(int session, std::uint64_t token, int fd) noexcept override {
    abi::PreserveFd request = {};
    request.size = sizeof(request);
    request.fd = fd;
    request.token = token;
    return ::ioctl(session, abi::preserve_fd, &request) < 0 ? -errno : 0;
  }

  int retrieve_fd(int session, std::uint64_t token) noexcept override {
    abi::RetrieveFd request = {};
    request.size = sizeof(request);
    request.fd = -1;
    request.token = token;
    return ::ioctl(session, abi::retrieve_fd, &request) < 0 ? -errno : request.fd;
  }

  KernelResult<void> finish(int session) override {
    abi::Finish request = {};
    request.size = sizeof(request);
    return luo_call(session, abi::finish, request);
  }

  KernelResult<std::string> session_name(int session) override {
    abi::GetName request = {};
    request.size = sizeof(request);
    if (auto done = luo_call(session, abi::get_name, request); !done) {
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

    const DescriptorUser user(shared_);
    const auto device = shared_->get();
    if (!device) return tl::unexpected<int>(device.error());
    if (auto done = luo_call(*device, number, request); !done) {
      return tl::unexpected<int>(done.error());
    }
    return UniqueFd(request.fd);
  }

  std::shared_ptr<SharedDescriptor> shared_;
};

}  // namespace

std::shared_ptr<LuoDevice> open_luo_device(std::string path) {
  return open_luo_device(
      [path = std::move(path)] { return ::open(path.c_str(), O_RDWR | O_CLOEXEC); });
}

std::shared_ptr<LuoDevice> open_luo_device(std::function<int()> open_it) {
  return std::make_shared<RealLuoDevice>(std::move(open_it));
}

bool Retry::again(int sys_errno) {
  constexpr std::chrono::milliseconds longest_pause(50);
  const auto after_pause = std::chrono::steady_clock::now() + pause_;
  const bool may_pass =
      std::any_of(transient_.begin(), transient_.end(), [&](const Transient& one) {
        return one.sys_errno == sys_errno && after_pause <= begin_ + one.patience;
      });
  if (!may_pass) return false;
  std::this_thread::sleep_for(pause_);
  pause_ = std::min(pause_ * 2, longest_pause);
  return true;
}

}  // namespace handover::backend
