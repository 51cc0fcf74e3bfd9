// SPDX-License-Identifier: LGPL-2.1-or-later
// What must be there before COMMAND can be started. In a new kernel a client of ours is called
// before file systems are mounted, /dev is filled and links are made.
#pragma once

#include <handover/handover.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace handover::common {

struct WaitFor {
  enum class Kind {
    path,      ///< it is there
    writable,  ///< it is there and can be written: no file system is mounted read-only
    device,    ///< a device's file
    link,      ///< a network link
    mount,     ///< a file system is mounted there, and not only waits to be (autofs)
  };
  Kind kind = Kind::path;
  std::string name;  ///< a path that begins with '/', or the link's name

  bool operator==(const WaitFor& other) const { return kind == other.kind && name == other.name; }
};

/// "/srv/db.img" or "path:/srv/db.img", "writable:/var/log", "device:/dev/kvm", "link:br0",
/// "mount:/srv".
client::Result<WaitFor> parse_wait_for(std::string_view text);
client::Result<std::vector<WaitFor>> parse_wait_for(const std::vector<std::string>& texts);

/// What the system shows of one.
struct Seen {
  int error = 0;           ///< why it cannot be had (errno); 0: it can
  bool is_device = false;  ///< kind device
};
Seen look_at(const WaitFor& wanted);

/// "" if it is there; else what is missing, as a part of a sentence.
std::string missing(const WaitFor& wanted, const Seen& seen);
/// Looks at all of them. "" if all are there; else a sentence that names each that is missing.
std::string what_is_missing(const std::vector<WaitFor>& wanted);

/// By the contents of /proc/self/mountinfo.
bool is_mount_point(std::string_view mountinfo, std::string_view path);

}  // namespace handover::common
