// SPDX-License-Identifier: LGPL-2.1-or-later
// Where contents go: a file is replaced as a whole, or stays as it is.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <string>

namespace handover::ctl {

class Output {
 public:
  /// Standard output if `path` is "". A regular file is written beside its place first, without a
  /// name where the file system can do that, so that nothing is left of it if we are killed; room
  /// for `bytes` is set aside there; anything else (a pipe, /dev/stdout) is appended to.
  /// Whatever can be seen to fail fails here: what is retrieved may be had only once.
  static client::Result<Output> open(const std::string& path, std::uint64_t bytes);
  Output(Output&& other) noexcept;
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  Output& operator=(Output&&) = delete;
  /// Without commit(): the file is as it was.
  ~Output();

  /// All of the file behind `fd`, wherever its position stands. How many bytes that were.
  client::Result<std::uint64_t> copy_from(int fd);
  /// What is known here already.
  client::Result<void> write(const std::string& text);
  /// A new file is for everybody to read; without this for its owner alone.
  client::Result<void> share();
  /// Puts what was written in its place.
  client::Result<void> commit();

 private:
  Output() = default;
  static client::Result<Output> replacing(const std::string& path, bool exists,
                                          std::uint64_t bytes);
  bool make_beside();
  bool name_beside();

  client::Fd fd_;
  std::string name_;       ///< for messages
  std::string target_;     ///< "": written itself
  std::string temporary_;  ///< "": nothing to clean up
  bool existed_ = false;   ///< has the rights of the file that it replaces
};

}  // namespace handover::ctl
