// SPDX-License-Identifier: LGPL-2.1-or-later
// Reads through a cpio archive without unpacking it, as the kernel does with an initrd
// (init/initramfs.c): is it whole, and for which kernel are its modules?
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace handover {

/// Archives of the "newc" formats, one behind the other, with NULs between them.
class CpioWalk {
 public:
  /// Takes the next bytes, of any number. Returns how many of them belong to archives: fewer if one
  /// has ended and something else follows (in an initrd, a compressed archive).
  std::size_t feed(std::string_view bytes);

  /// What was fed so far ends where an archive does.
  [[nodiscard]] bool is_whole() const { return ended_ && part_ == Part::between; }
  /// It is no archive, or one that the kernel would not unpack. Nothing is taken any more.
  [[nodiscard]] bool is_damaged() const { return damaged_; }
  /// No archive has begun.
  [[nodiscard]] bool is_empty() const { return !begun_; }
  /// Archives have begun, and nothing is in them but microcode, which the kernel reads before it
  /// unpacks anything: for that an initrd has an archive of its own in front.
  [[nodiscard]] bool is_only_microcode() const { return begun_ && !other_files_; }
  /// Releases that have files below lib/modules.
  [[nodiscard]] const std::set<std::string>& modules() const { return modules_; }
  /// There is microcode where the kernel looks for it (Documentation/arch/x86/microcode.rst).
  [[nodiscard]] bool has_microcode() const { return has_microcode_; }
  /// The texts of all crypttabs, as dracut and mkinitcpio (etc/crypttab) and Debian
  /// (cryptroot/crypttab) put them there; what is longer than somebody writes is cut.
  [[nodiscard]] const std::string& crypttab() const { return crypttab_; }
  /// A program of clevis is there, which opens encrypted volumes.
  [[nodiscard]] bool has_clevis() const { return has_clevis_; }

 private:
  enum class Part { between, header, name, body };

  std::string_view gather(std::string_view bytes, std::size_t wanted);
  void read_header();
  void read_name();
  void keep_crypttab(std::string_view bytes);

  Part part_ = Part::between;
  bool begun_ = false;
  bool ended_ = false;
  bool damaged_ = false;
  std::uint64_t offset_ = 0;
  std::string gathered_;        ///< the header, or the name, as far as it is here
  std::size_t name_bytes_ = 0;  ///< with what it is filled up with
  std::uint64_t skip_ = 0;      ///< bytes of the body that are to come
  std::set<std::string> modules_;
  bool has_microcode_ = false;
  bool other_files_ = false;
  bool in_crypttab_ = false;  ///< the body is one's
  std::string crypttab_;
  bool has_clevis_ = false;
};

}  // namespace handover
