// SPDX-License-Identifier: LGPL-2.1-or-later
#include "arguments.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "argument_list.h"

namespace handover::vmm {
namespace {

struct Refused {
  std::string_view option;
  const char* why;
};

constexpr const char* memory_is_ours =
    R"(the guest's memory is handover-vmm's: say "memory" and "hugepages".)";
constexpr const char* start_is_ours = "handover-vmm decides how the guest starts.";

constexpr const char* writes_are_lost =
    "what the guest writes is kept in a file that ends with this QEMU, so that an update would put "
    "the disk back.";

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
    Refused{"snapshot", writes_are_lost},
};

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

client::Error refuse(std::string_view words, const std::string& why) {
  return {"", "may not hold '" + std::string(words) + "': " + why, EINVAL};
}

client::Result<void> check_value(const Argument& argument) {
  const auto& [option, value] = argument;
  const std::string words = "-" + option + " " + value;
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
  if (option == "drive" && is_on(split_value(value), "snapshot")) {
    return refuse(words, writes_are_lost);
  }
  if (option == "set" && has(value, ".snapshot=")) return refuse(words, writes_are_lost);
  return {};
}

}  // namespace

client::Result<void> check_arguments(const std::vector<std::string>& arguments) {
  for (const auto& argument : split_arguments(arguments)) {
    const auto* refused =
        std::find_if(refused_options.begin(), refused_options.end(),
                     [&](const Refused& candidate) { return candidate.option == argument.option; });
    if (refused != refused_options.end()) return refuse("-" + argument.option, refused->why);
    if (auto value = check_value(argument); !value) return value;
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
               // Not -mon, of which QEMU 11.1 says that it is deprecated, nor what it wants
               // instead, which earlier ones do not know.
               "-qmp", std::string("chardev:") + monitor_id});
  if (launch.incoming) line.insert(line.end(), {"-incoming", "defer"});
  return line;
}

}  // namespace handover::vmm
