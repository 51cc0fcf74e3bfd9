// SPDX-License-Identifier: LGPL-2.1-or-later
// A kernel's command line, read as the kernel itself reads it: next_arg() of lib/cmdline.c and
// parse_args() of kernel/params.c.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace handover {

/// One word, taken apart.
struct CmdlineWord {
  std::string text;                  ///< as it stands there, with its quotes
  std::string name;                  ///< before the first "=", without quotes around the word
  std::optional<std::string> value;  ///< absent: a bare word
  std::string gap = " ";             ///< what is written before it, unless it is the first
  bool operator==(const CmdlineWord&) const = default;
};

struct KernelCmdline {
  std::vector<CmdlineWord> words;  ///< the kernel's own
  std::vector<CmdlineWord> init;   ///< "--" as it stands there, and what follows it: init's
  bool quote_is_open = false;      ///< the last word goes on to the end of the line
};

/// Splits as the kernel does: tabs and newlines are spaces, quotes keep spaces in a word, a NUL
/// ends the line, and a bare word "--" (in quotes, too) ends the kernel's part.
KernelCmdline parse_cmdline(std::string_view text);

/// What is built into a kernel (CONFIG_CMDLINE).
struct BuiltInCmdline {
  std::string text;
  bool overrides = false;  ///< the boot loader's is not read (CMDLINE_OVERRIDE, CMDLINE_FORCE)
  bool operator==(const BuiltInCmdline&) const = default;
};

/// From a kernel's configuration ("/boot/config-RELEASE"). Absent: nothing is built in, or it
/// counts only where a boot loader gives nothing (arm64's CMDLINE_FROM_BOOTLOADER).
std::optional<BuiltInCmdline> built_in_cmdline(std::string_view config);

/// COMMAND_LINE_SIZE of x86-64 and arm64, with the NUL.
inline constexpr std::size_t cmdline_bytes = 2048;

/// The line that a kernel parses when it is given `text`: the one that is built in comes first
/// (x86, setup_arch()), a NUL ends what is given, and the whole is cut to cmdline_bytes without a
/// word.
std::string booted_cmdline(std::string_view text, const std::optional<BuiltInCmdline>& built_in);

/// `text` without what the kernel puts in front of it again: /proc/cmdline would grow with each
/// kexec.
std::string without_built_in(std::string_view text, const std::optional<BuiltInCmdline>& built_in);

/// What the boot loader gave the running kernel, of whose line `text` is all, for a target that
/// puts its own in front again. Each one's configuration is known, or not.
std::string given_cmdline(std::string_view text, const std::optional<BuiltInCmdline>& running,
                          const std::optional<BuiltInCmdline>& target);

/// Whether the line switches its boolean early parameter `name` on or off. The last mention that
/// kstrtobool() understands counts (lib/kstrtox.c: the first letter, or two). Absent: there is
/// none, so that the kernel's default counts. A bare word is no mention.
std::optional<bool> switched(std::string_view cmdline, std::string_view name);

/// Whether it is switched on for certain.
bool is_on(std::string_view cmdline, std::string_view name);

/// The command line with `kho=on` and `liveupdate=on`: replaces other values, appends what is
/// missing, and keeps everything else in its order. Words are separated by one space.
std::string ensure_cmdline(std::string_view cmdline);

/// invalid_argument: what no kernel reads to its end, or none takes at all (a NUL, a control
/// character).
Result<void> check_cmdline_text(std::string_view cmdline);

}  // namespace handover
