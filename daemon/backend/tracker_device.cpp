// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/tracker_device.h"

#include <fcntl.h>
#include <linux/handover.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace handover::backend {
namespace {

/// The C names of the contract are in the global namespace; ours say what they are used for.
namespace uapi {
using Info = ::handover_info;
using CreateSession = ::handover_create_session;
using RetrieveSession = ::handover_retrieve_session;
using Seal = ::handover_seal;
using SessionInfo = ::handover_session_info;
using PreserveFd = ::handover_preserve_fd;
using Unpreserve = ::handover_unpreserve;
using Retrieve = ::handover_retrieve;
using Describe = ::handover_describe;
using ListTokens = ::handover_list_tokens;
using Restore = ::handover_restore;
using SessionEnd = ::handover_session_end;
}  // namespace uapi

template <typename Request>
KernelResult<void> tracker_call(int fd, unsigned long number, Request& request) {
  request.size = sizeof(request);
  if (::ioctl(fd, number, &request) < 0) return tl::unexpected<int>(errno);
  return {};
}

Kind kind_of(std::uint32_t kind) {
  switch (kind) {
    case HANDOVER_KIND_SHMEM:
      return Kind::memfd;
    case HANDOVER_KIND_HUGETLB:
      return Kind::hugetlb;
    case HANDOVER_KIND_RANGE:
      return Kind::range;
    case HANDOVER_KIND_ALLOCATED:
      return Kind::allocated;
    case HANDOVER_KIND_RETRIEVED:
      return Kind::handover;
    case HANDOVER_KIND_KERNEL:
      return Kind::kernel;
    default:
      return Kind::fd;
  }
}

class RealTrackerDevice final : public TrackerDevice {
 public:
  explicit RealTrackerDevice(std::string path) : path_(std::move(path)) {}

  KernelResult<TrackerInfo> info() override {
    uapi::Info request = {};
    if (auto done = on_device(HANDOVER_INFO, request); !done) {
      return tl::unexpected<int>(done.error());
    }
    TrackerInfo info;
    info.abi = request.abi;
    info.format = request.format;
    info.kho = (request.features & HANDOVER_FEATURE_KHO) != 0;
    info.sealed = request.sealed != 0;
    info.lost = request.lost;
    return info;
  }

  KernelResult<UniqueFd> create_session(const std::string& name,
                                        const TrackerLimits& limits) override {
    uapi::CreateSession request = {};
    request.max_bytes = limits.bytes;
    request.max_entries = limits.entries;
    return by_name(HANDOVER_CREATE_SESSION, name, request);
  }

  KernelResult<UniqueFd> retrieve_session(const std::string& name) override {
    uapi::RetrieveSession request = {};
    return by_name(HANDOVER_RETRIEVE_SESSION, name, request);
  }

  KernelResult<void> seal() override {
    uapi::Seal request = {};
    return on_device(HANDOVER_SEAL, request);
  }

  KernelResult<void> unseal() override {
    uapi::Seal request = {};
    return on_device(HANDOVER_UNSEAL, request);
  }

  KernelResult<bool> is_incoming(int session) override {
    uapi::SessionInfo request = {};
    if (auto done = tracker_call(session, HANDOVER_SESSION_INFO, request); !done) {
      return tl::unexpected<int>(done.error());
    }
    return (request.flags & HANDOVER_SESSION_INCOMING) != 0;
  }

  KernelResult<void> preserve_fd(int session, std::uint64_t token, int fd) override {
    uapi::PreserveFd request = {};
    request.fd = fd;
    request.token = token;
    return tracker_call(session, HANDOVER_SESSION_PRESERVE_FD, request);
  }

  KernelResult<void> unpreserve(int session, std::uint64_t token) override {
    uapi::Unpreserve request = {};
    request.token = token;
    return tracker_call(session, HANDOVER_SESSION_UNPRESERVE, request);
  }

  KernelResult<UniqueFd> retrieve(int session, std::uint64_t token) override {
    uapi::Retrieve request = {};
    request.fd = -1;
    request.token = token;
    if (auto done = tracker_call(session, HANDOVER_SESSION_RETRIEVE, request); !done) {
      return tl::unexpected<int>(done.error());
    }
    return UniqueFd(request.fd);  // the kernel opens it O_CLOEXEC
  }

  KernelResult<TrackerEntry> describe(int session, std::uint64_t token) override {
    uapi::Describe request = {};
    request.token = token;
    if (auto done = tracker_call(session, HANDOVER_SESSION_DESCRIBE, request); !done) {
      return tl::unexpected<int>(done.error());
    }
    return TrackerEntry{kind_of(request.kind), request.length,
                        (request.flags & HANDOVER_ENTRY_RETRIEVED) != 0};
  }

  KernelResult<std::vector<std::uint64_t>> list_tokens(int session) override {
    std::vector<__u64> tokens(16);
    for (;;) {
      uapi::ListTokens request = {};
      request.count = static_cast<__u32>(tokens.size());
      request.tokens = reinterpret_cast<std::uintptr_t>(tokens.data());
      if (auto done = tracker_call(session, HANDOVER_SESSION_LIST_TOKENS, request); !done) {
        return tl::unexpected<int>(done.error());
      }
      const bool fits = request.count <= tokens.size();
      tokens.resize(request.count);
      if (fits) return std::vector<std::uint64_t>(tokens.begin(), tokens.end());
    }
  }

  KernelResult<void> restore(int session, std::uint32_t threads) override {
    uapi::Restore request = {};
    request.threads = threads;
    return tracker_call(session, HANDOVER_SESSION_RESTORE, request);
  }

  KernelResult<void> finish(int session) override {
    uapi::SessionEnd request = {};
    return tracker_call(session, HANDOVER_SESSION_FINISH, request);
  }

  KernelResult<void> discard(int session) override {
    uapi::SessionEnd request = {};
    return tracker_call(session, HANDOVER_SESSION_DISCARD, request);
  }

 private:
  /// ENODEV, not ENOENT, if the module is not there: ENOENT means that a session is not.
  [[nodiscard]] KernelResult<UniqueFd> open_device() const {
    UniqueFd device(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    if (device) return device;
    return tl::unexpected<int>(errno == ENOENT || errno == ENXIO ? ENODEV : errno);
  }

  template <typename Request>
  KernelResult<void> on_device(unsigned long number, Request& request) {
    const auto device = open_device();
    if (!device) return tl::unexpected<int>(device.error());
    return tracker_call(device->get(), number, request);
  }

  template <typename Request>
  KernelResult<UniqueFd> by_name(unsigned long number, const std::string& name, Request& request) {
    if (name.size() >= sizeof(request.name)) return tl::unexpected<int>(ENAMETOOLONG);
    request.fd = -1;
    std::copy(name.begin(), name.end(), request.name);
    if (auto done = on_device(number, request); !done) return tl::unexpected<int>(done.error());
    return UniqueFd(request.fd);
  }

  std::string path_;
};

}  // namespace

std::shared_ptr<TrackerDevice> open_tracker_device(std::string path) {
  return std::make_shared<RealTrackerDevice>(std::move(path));
}

}  // namespace handover::backend
