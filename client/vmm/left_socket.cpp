// SPDX-License-Identifier: LGPL-2.1-or-later
#include "left_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/file.h"

namespace handover::vmm {

bool has_owner(const std::string& socket) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  // Nobody can have bound it by that path; who knows how it came there.
  if (socket.size() >= sizeof(address.sun_path)) return true;
  memcpy(address.sun_path, socket.data(), socket.size());
  // Of another kind than theirs: a stream to a virtiofsd, which takes one in its life, would be its
  // end. The kernel looks for an owner first (unix_find_bsd()).
  const client::Fd probe(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe) return true;
  const int connected =
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  return connected == 0 || (errno != ECONNREFUSED && errno != ENOENT);
}

client::Result<void> remove_left_sockets(const std::vector<std::string>& sockets) {
  for (const auto& socket : sockets) {
    struct stat status = {};
    if (lstat(socket.c_str(), &status) < 0 || !S_ISSOCK(status.st_mode)) continue;
    if (has_owner(socket)) continue;
    if (unlink(socket.c_str()) < 0 && errno != ENOENT) {
      return common::errno_error("Cannot remove " + socket + ", which a helper has left");
    }
  }
  return {};
}

}  // namespace handover::vmm
