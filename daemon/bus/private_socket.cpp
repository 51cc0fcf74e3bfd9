// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/private_socket.h"

#include <grp.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "bus/place.h"
#include "bus/sd_bus.h"
#include "system/log.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5, include/uapi/asm-generic/socket.h
#endif

namespace handover::bus {

namespace {

/// Out of descriptors or memory: how long those who want to connect wait before it is tried again.
constexpr std::uint64_t pause_usec = 100'000;

/// A pidfd of who connected; before Linux 6.5 of who has that number now.
Result<UniqueFd> pidfd_of_peer(int socket, pid_t pid) {
  int fd = -1;
  socklen_t size = sizeof fd;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0) return UniqueFd(fd);
  if (errno != ENOPROTOOPT) return fail_errno("SO_PEERPIDFD");
  return open_pidfd(pid);
}

Result<engine::Caller> caller_behind(int socket, const ucred& peer) {
  const auto pidfd = pidfd_of_peer(socket, peer.pid);
  const auto place = pidfd ? place_of(peer.pid, *pidfd) : fail(pidfd.error());
  if (!place) return fail(unknown_service(peer.pid, place.error()));
  engine::Caller caller;
  caller.owner = {peer.uid, place->unit};
  caller.cgroup = place->cgroup;
  return caller;
}

/// By an access control list: the file stays our own group's, and giving it away would take
/// CAP_CHOWN. False: errno says why.
bool admit(const std::string& path, gid_t group) {
  struct {
    posix_acl_xattr_header header{POSIX_ACL_XATTR_VERSION};
    std::array<posix_acl_xattr_entry, 5> entries{};
  } list;
  constexpr std::uint16_t use = ACL_READ | ACL_WRITE;
  constexpr std::uint32_t nobody = ACL_UNDEFINED_ID;
  list.entries = {{{ACL_USER_OBJ, use, nobody},
                   {ACL_GROUP_OBJ, 0, nobody},
                   {ACL_GROUP, use, group},
                   {ACL_MASK, use, nobody},
                   {ACL_OTHER, 0, nobody}}};
  return setxattr(path.c_str(), "system.posix_acl_access", &list, sizeof list, 0) == 0;
}

}  // namespace

Result<gid_t> group_of(const std::string& name) {
  gid_t number = 0;
  const auto* const end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data(), end, number);
  if (parsed.ec == std::errc() && parsed.ptr == end) return number;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else looks groups up
  const auto* const found = getgrnam(name.c_str());
  if (found != nullptr) return found->gr_gid;
  return fail(ErrorCode::invalid_argument, "There is no group '" + name + "' (socket_group).");
}

Result<void> PrivateSocket::listen(const std::string& path, std::optional<gid_t> group) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::io, "The path " + path + " is too long for a socket.");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket");
  unlink(path.c_str());
  const auto mask = umask(0177);
  const int bound = bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  umask(mask);
  if (bound < 0) return fail_errno("bind " + path);
  if (group && !admit(path, *group)) {
    const int code = errno;
    unlink(path.c_str());
    return fail_errno("letting the group use " + path, code);
  }
  if (::listen(fd.get(), SOMAXCONN) < 0) return fail_errno("listen " + path);
  socket_ = std::move(fd);
  return {};
}

Result<void> PrivateSocket::open(std::function<void(Peer)> accepted) {
  accepted_ = std::move(accepted);
  sd_event_source* source = nullptr;
  const int result =
      sd_event_add_io(loop_.get(), &source, socket_.get(), EPOLLIN, safe<on_connection>, this);
  source_.reset(source);
  return check(result, "watching the private socket");
}

int PrivateSocket::on_connection(sd_event_source*, int fd, std::uint32_t, void* userdata) {
  auto& self = *static_cast<PrivateSocket*>(userdata);
  UniqueFd socket(accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) {
    // Those that are gone again leave nothing behind; the others would wake us up for ever.
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) self.pause(errno);
    return 0;
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return 0;
  auto caller = caller_behind(socket.get(), peer);
  if (!caller && will_pass(caller.error())) {
    // It would be nobody's for as long as it lasts; the next one may be known.
    self.pause(caller.error().sys_errno);
    return 0;
  }
  self.told_ = false;
  self.accepted_(Peer{std::move(socket), peer.uid, std::move(caller)});
  return 0;
}

void PrivateSocket::pause(int sys_errno) {
  if (!std::exchange(told_, true)) {
    log::error(
        fail_errno("accepting a connection on the private socket", sys_errno).value().message,
        " Those who want to connect wait.");
  }
  sd_event_source_set_enabled(source_.get(), SD_EVENT_OFF);
  pause_ =
      loop_.after(pause_usec, [this] { sd_event_source_set_enabled(source_.get(), SD_EVENT_ON); });
}

}  // namespace handover::bus
