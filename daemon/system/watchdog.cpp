// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/watchdog.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>

#include "system/files.h"
#include "system/small_files.h"

namespace handover::system {
namespace {

constexpr std::uint64_t usec_in_second = 1'000'000;

std::string first_line(const std::string& path) {
  const auto text = read_file(path);
  return text ? text->substr(0, text->find('\n')) : std::string();
}

std::optional<int> number_of(const std::string& text) {
  int number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc{}) return std::nullopt;
  return number;
}

/// As sysfs calls the device, through whatever links: "watchdog0". The old name "watchdog" is the
/// first one's (watchdog_cdev_register()).
std::string name_in_sysfs(const std::string& device, const std::string& root) {
  std::error_code error;
  const auto real = std::filesystem::canonical(root + device, error);
  auto name = (error ? std::filesystem::path(device) : real).filename().string();
  struct stat status = {};
  if (!error && ::stat(real.c_str(), &status) == 0 && S_ISCHR(status.st_mode)) {
    const auto number =
        std::to_string(major(status.st_rdev)) + ":" + std::to_string(minor(status.st_rdev));
    const auto link = target_of_link(root + "/sys/dev/char/" + number);
    if (!link.empty()) name = std::filesystem::path(link).filename().string();
  }
  return name == "watchdog" ? "watchdog0" : name;
}

}  // namespace

WatchdogFacts watchdog_facts(const std::string& device, const std::string& root) {
  WatchdogFacts facts;
  facts.device = device;
  const auto name = name_in_sysfs(device, root);
  facts.there = ::access((root + device).c_str(), F_OK) == 0 && name.starts_with("watchdog");
  const auto sys = root + "/sys/class/watchdog/" + name + "/";
  facts.identity = first_line(sys + "identity");
  facts.open_elsewhere = first_line(sys + "state") == "active";
  facts.nowayout = first_line(sys + "nowayout") == "1";
  facts.stop_on_reboot =
      number_of(first_line(root + "/sys/module/watchdog/parameters/stop_on_reboot"));
  return facts;
}

Watchdog::Calls Watchdog::real_calls() {
  return {
      [](int fd, unsigned long request, void* argument) { return ::ioctl(fd, request, argument); },
      [](int fd) { return ::write(fd, "V", 1) == 1; }};
}

Result<Watchdog> Watchdog::open(const std::string& device, Calls calls) {
  UniqueFd fd(::open(device.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) {
    const auto code = errno == EBUSY ? ErrorCode::busy : ErrorCode::io;
    return fail_errno("cannot open the watchdog " + device, errno, code);
  }
  Watchdog watchdog(std::move(fd), device, std::move(calls));
  struct watchdog_info info = {};
  if (watchdog.calls_.ioctl(watchdog.fd_.get(), WDIOC_GETSUPPORT, &info) != 0) {
    return fail_errno(device + " is no watchdog", errno);
  }
  return watchdog;
}

Result<void> Watchdog::arm(std::uint64_t timeout_usec) {
  auto started = start(timeout_usec);
  if (started) return started;
  // It counts since it was opened.
  if (auto stopped = disarm(); !stopped) return stopped;
  return started;
}

Result<void> Watchdog::start(std::uint64_t timeout_usec) {
  const auto seconds = (timeout_usec + usec_in_second - 1) / usec_in_second;
  constexpr std::uint64_t most = std::numeric_limits<int>::max();
  const int wanted = static_cast<int>(std::min(seconds, most));
  int timeout = wanted;
  if (calls_.ioctl(fd_.get(), WDIOC_SETTIMEOUT, &timeout) != 0) {
    return fail_errno(
        "the watchdog " + device_ + " takes no time of " + std::to_string(wanted) + " s", errno,
        ErrorCode::not_supported);
  }
  // A shorter one would reset a kernel that is only slow.
  if (timeout < wanted) {
    return fail(ErrorCode::not_supported, "the watchdog " + device_ + " made " +
                                              std::to_string(timeout) + " s of " +
                                              std::to_string(wanted) + " s");
  }
  timeout_ = static_cast<unsigned>(timeout);
  return feed();
}

Result<void> Watchdog::feed() {
  int nothing = 0;
  if (calls_.ioctl(fd_.get(), WDIOC_KEEPALIVE, &nothing) != 0) {
    return fail_errno("the watchdog " + device_ + " is not fed");
  }
  return {};
}

Result<void> Watchdog::disarm() {
  if (!fd_) return {};
  // Refused with nowayout, where the magic character would be ignored without a word.
  int options = WDIOS_DISABLECARD;
  if (calls_.ioctl(fd_.get(), WDIOC_SETOPTIONS, &options) != 0) {
    return fail_errno("the watchdog " + device_ + " cannot be stopped", errno, ErrorCode::busy);
  }
  if (!calls_.write_v(fd_.get())) {
    return fail_errno("write to the watchdog " + device_, errno, ErrorCode::busy);
  }
  fd_.reset();
  return {};
}

}  // namespace handover::system
