// SPDX-License-Identifier: LGPL-2.1-or-later
// Finds the live-update ABI strings and the version banner in a kernel's bytes.
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace handover::system {

/// A kernel unpacks to tens of megabytes, so it is fed piece by piece. Only the last bytes of a
/// piece are kept, for a string that begins there and ends in the next one.
class AbiScan {
 public:
  void feed(std::string_view bytes);

  /// NUL-ended "kho-v<N>", "luo-v<N>", "memfd-v<N>" seen so far (include/linux/kho/abi/*.h).
  [[nodiscard]] const std::set<std::string>& abi() const { return abi_; }
  /// The release in linux_banner, "Linux version <release> (…" (init/version.c); "" if not seen.
  [[nodiscard]] const std::string& release() const { return release_; }
  /// The whole of linux_banner, without its newline: what /proc/version says of this very build. ""
  /// if not seen.
  [[nodiscard]] const std::string& banner() const { return banner_; }

 private:
  /// `from_start`: no byte stands before `window`.
  void scan(std::string_view window, bool from_start);
  void look_for_banner(std::string_view window);

  std::set<std::string> abi_;
  std::string release_;
  std::string banner_;
  std::string tail_;
  bool tail_is_cut_ = false;
};

}  // namespace handover::system
