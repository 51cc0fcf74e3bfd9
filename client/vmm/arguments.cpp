// SPDX-License-Identifier: LGPL-2.1-or-later
#include "arguments.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

namespace handover::vmm {
namespace {

struct Refused {
  std::string_view option;
  const char* why;
};

constexpr const char* memory_is_ours =
    R"(the guest's memory is handover-vmm's: say "memory" and "hugepages".)";
constexpr const char* start_is_ours = "handover-vmm decides how the guest starts.";

constexpr std::array refused_options{
    Refused{"m", memory_is_ours},
    Refused{"mem-path", memory_is_ours},
    Refused{"mem-prealloc", memory_is_ours},
    Refused{"incoming", start_is_ours},
    Refused{"loadvm", start_is_ours},
    Refused{"S", start_is_ours},
    Refused{"preconfig", start_is_ours},
    Refused{"daemonize", "QEMU must stay a child of handover-vmm."},
    Refused{"readconfig", "what a file says there cannot be checked: write it as arguments."},
};

/// Options that take no value (qemu-options.hx); all others take the word behind them.
constexpr std::array<std::string_view, 39> plain_options{"S",
                                                         "alt-grab",
                                                         "async-teardown",
                                                         "ctrl-grab",
                                                         "curses",
                                                         "daemonize",
                                                         "enable-fips",
                                                         "enable-kvm",
                                                         "enable-sync-profile",
                                                         "full-screen",
                                                         "h",
                                                         "help",
                                                         "jitdump",
                                                         "mem-prealloc",
                                                         "no-acpi",
                                                         "no-fd-bootchk",
                                                         "no-hpet",
                                                         "no-kvm",
                                                         "no-quit",
                                                         "no-reboot",
                                                         "no-shutdown",
                                                         "no-user-config",
                                                         "nodefaults",
                                                         "nographic",
                                                         "old-param",
                                                         "one-insn-per-tb",
                                                         "only-migratable",
                                                         "perfmap",
                                                         "portrait",
                                                         "preconfig",
                                                         "s",
                                                         "semihosting",
                                                         "show-cursor",
                                                         "singlestep",
                                                         "snapshot",
                                                         "usb",
                                                         "version",
                                                         "win2k-hack",
                                                         "xen-attach"};

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

client::Error refuse(std::string_view words, const std::string& why) {
  return {"", "may not hold '" + std::string(words) + "': " + why, EINVAL};
}

client::Result<void> check_value(std::string_view option, std::string_view value) {
  const std::string words = "-" + std::string(option) + " " + std::string(value);
  if (has(value, ram_id) || has(value, monitor_id)) {
    return refuse(words, "these names are handover-vmm's.");
  }
  if ((option == "machine" || option == "M") && has(value, "memory-backend")) {
    return refuse(words, memory_is_ours);
  }
  // Any other memory would go into the state, or be lost with x-ignore-shared.
  if (option == "object" && has(value, "memory-backend")) return refuse(words, memory_is_ours);
  if (option == "numa" && (has(value, "memdev=") || has(value, "mem="))) {
    return refuse(words, memory_is_ours);
  }
  return {};
}

}  // namespace

client::Result<void> check_arguments(const std::vector<std::string>& arguments) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view option = arguments[i];
    if (option.size() < 2 || option.front() != '-') continue;  // a disk image, as QEMU has it
    option.remove_prefix(option.substr(0, 2) == "--" ? 2 : 1);
    const auto* refused =
        std::find_if(refused_options.begin(), refused_options.end(),
                     [&](const Refused& candidate) { return candidate.option == option; });
    if (refused != refused_options.end()) return refuse(arguments[i], refused->why);
    if (std::find(plain_options.begin(), plain_options.end(), option) != plain_options.end()) {
      continue;
    }
    if (++i == arguments.size()) continue;  // QEMU says what is missing
    if (auto value = check_value(option, arguments[i]); !value) return value;
  }
  return {};
}

std::vector<std::string> command_line(const Launch& launch) {
  const std::string mebibytes = std::to_string(launch.memory >> 20) + "M";
  std::vector<std::string> line{launch.qemu};
  line.insert(line.end(), launch.arguments.begin(), launch.arguments.end());
  // By path: only such memory counts as a shared file that x-ignore-shared leaves out (QEMU 8.1 and
  // later, RAM_NAMED_FILE), and /dev/fdset does not work for memory-backend-file.
  line.insert(line.end(),
              {"-m", mebibytes, "-object",
               std::string("memory-backend-file,id=") + ram_id + ",size=" + mebibytes +
                   ",mem-path=/proc/self/fd/" + std::to_string(launch.ram_fd) + ",share=on",
               "-machine", std::string("memory-backend=") + ram_id});
  line.insert(line.end(),
              {"-chardev",
               std::string("socket,id=") + monitor_id + ",fd=" + std::to_string(launch.monitor_fd),
               "-mon", std::string("chardev=") + monitor_id + ",mode=control"});
  if (launch.incoming) line.insert(line.end(), {"-incoming", "defer"});
  return line;
}

}  // namespace handover::vmm
