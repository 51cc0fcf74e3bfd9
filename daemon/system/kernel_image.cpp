// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/kernel_image.h"

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

#include "core/kernel_ledger.h"
#include "core/pe_image.h"
#include "system/abi_scan.h"
#include "system/files.h"
#include "system/unpack.h"

namespace handover::system {
namespace {

using namespace std::string_view_literals;

/// Far more than any kernel has. A stream that unpacks to more is damaged, or made to harm.
constexpr std::uint64_t unpacked_image_limit = UINT64_C(1) << 30;
constexpr off_t image_limit = off_t{512} << 20;
/// kernel_version is 16 bits, and points at a line of text.
constexpr std::uint64_t header_limit = 128U << 10U;

/// Little-endian `Number` at `offset`, or nullopt beyond the end.
template <typename Number>
std::optional<Number> number_at(std::string_view bytes, std::size_t offset) {
  static_assert(std::is_unsigned_v<Number>);
  if (offset > bytes.size() || bytes.size() - offset < sizeof(Number)) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t byte = 0; byte < sizeof(Number); ++byte) {
    value |= std::uint64_t{static_cast<unsigned char>(bytes[offset + byte])} << (8 * byte);
  }
  return static_cast<Number>(value);
}

bool has_at(std::string_view bytes, std::size_t offset, std::string_view magic) {
  return offset <= bytes.size() && bytes.substr(offset).starts_with(magic);
}

std::optional<std::string_view> part(std::string_view bytes, std::size_t offset, std::size_t size) {
  if (offset > bytes.size() || bytes.size() - offset < size) return std::nullopt;
  return bytes.substr(offset, size);
}

tl::unexpected<Error> not_a_kernel(const std::string& path, const std::string& why) {
  return fail(ErrorCode::not_a_kernel, path + " " + why);
}

constexpr auto damaged = "is damaged: fetch or build it again";

/// The release from the text that setup's kernel_version points at: "7.3.4 (user@host) #1 …".
std::string release_of_version(std::string_view setup, std::size_t offset) {
  if (offset >= setup.size()) return "";
  std::string_view text = setup.substr(offset, 128);
  text = text.substr(0, text.find('\0'));
  return std::string(text.substr(0, text.find(' ')));
}

/// Offsets in the setup header, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
namespace x86 {
constexpr std::size_t setup_sects = 0x1f1;
constexpr std::size_t header = 0x202;
constexpr std::size_t version = 0x206;
constexpr std::size_t kernel_version = 0x20e;
constexpr std::size_t xloadflags = 0x236;
constexpr std::size_t cmdline_size = 0x238;
constexpr std::size_t payload_offset = 0x248;
constexpr std::size_t payload_length = 0x24c;
constexpr std::size_t init_size = 0x260;
constexpr std::uint16_t protocol_with_xloadflags = 0x020c;
constexpr std::uint16_t xlf_kernel_64 = 1;
constexpr std::size_t sector = 512;
/// What bzImage64_load() keeps for "elfcorehdr=", of any kernel
/// (arch/x86/kernel/kexec-bzimage64.c).
constexpr std::size_t elfcorehdr_bytes = 30;
}  // namespace x86

bool is_x86(std::string_view image) { return has_at(image, x86::header, "HdrS"sv); }

Result<InspectedKernel> inspect_x86(const std::string& path, std::string_view image) {
  const auto protocol = number_at<std::uint16_t>(image, x86::version);
  const auto flags = number_at<std::uint16_t>(image, x86::xloadflags);
  const auto sectors = number_at<std::uint8_t>(image, x86::setup_sects);
  const auto version = number_at<std::uint16_t>(image, x86::kernel_version);
  const auto offset = number_at<std::uint32_t>(image, x86::payload_offset);
  const auto length = number_at<std::uint32_t>(image, x86::payload_length);
  if (!protocol || !flags || !sectors || !version || !offset || !length) {
    return not_a_kernel(path, damaged);
  }
  if (*protocol < x86::protocol_with_xloadflags || (*flags & x86::xlf_kernel_64) == 0) {
    return not_a_kernel(path, "is not a 64-bit x86 kernel; this machine needs one");
  }
  // 0 means 4 (boot.rst, setup_sects).
  const std::size_t setup_size = (*sectors == 0 ? 4U : *sectors) * x86::sector + x86::sector;
  auto payload = part(image, setup_size + std::size_t{*offset}, *length);
  const auto unpacked_size =
      payload ? number_at<std::uint32_t>(*payload, payload->size() - sizeof(std::uint32_t))
              : std::nullopt;
  if (!payload || payload->size() <= sizeof(std::uint32_t) || !unpacked_size) {
    return not_a_kernel(path, damaged);
  }

  KernelImage result;
  result.path = path;
  // It is counted without the NUL there, and the kernel compares it with one.
  const auto cmdline_size = number_at<std::uint32_t>(image, x86::cmdline_size);
  if (cmdline_size && *cmdline_size > x86::elfcorehdr_bytes) {
    result.cmdline_bytes = *cmdline_size - x86::elfcorehdr_bytes;
  }
  if (*version != 0) result.release = release_of_version(image, *version + x86::sector);

  AbiScan scan;
  const auto feed = [&](std::string_view bytes) { scan.feed(bytes); };
  std::uint64_t size = payload->size();
  if (is_compressed(*payload)) {
    // The payload ends in its unpacked size (arch/x86/boot/compressed/mkpiggy.c). gzip streams end
    // in it by themselves; after any other it was appended and is none of the stream's.
    if (!payload->starts_with("\x1f\x8b"sv)) payload->remove_suffix(sizeof(std::uint32_t));
    const auto unpacked = unpack(*payload, unpacked_image_limit, feed);
    if (!unpacked) {
      return not_a_kernel(path, std::string(damaged) + " (" + unpacked.error().message + ")");
    }
    if (*unpacked != *unpacked_size) return not_a_kernel(path, damaged);
    size = *unpacked;
  } else if (payload->starts_with("\x7f"
                                  "ELF"sv)) {
    feed(*payload);
  } else {
    return not_a_kernel(path,
                        "is compressed in a way that handoverd cannot read (LZO?): build it with "
                        "CONFIG_KERNEL_GZIP, XZ, LZ4 or ZSTD");
  }
  if (size == 0) return not_a_kernel(path, damaged);
  result.abi = scan.abi();
  if (result.release.empty()) result.release = scan.release();
  return InspectedKernel{std::move(result), scan.banner()};
}

/// Documentation/arch/arm64/booting.rst: magic number "ARM\x64" at offset 56.
constexpr std::size_t arm64_magic_offset = 56;
constexpr auto arm64_magic = "ARM\x64"sv;

bool is_arm64_plain(std::string_view image) {
  return has_at(image, arm64_magic_offset, arm64_magic);
}

/// drivers/firmware/efi/libstub/zboot-header.S: "MZ", then "zimg", payload offset and size.
bool is_zboot(std::string_view image) {
  return image.starts_with("MZ"sv) && has_at(image, 4, "zimg"sv);
}

Result<InspectedKernel> inspect_arm64(const std::string& path, std::string_view image) {
  std::string_view payload = image;
  if (is_zboot(image)) {
    const auto offset = number_at<std::uint32_t>(image, 8);
    const auto length = number_at<std::uint32_t>(image, 12);
    const auto inner = offset && length ? part(image, *offset, *length) : std::nullopt;
    if (!inner) return not_a_kernel(path, damaged);
    payload = *inner;
  }
  AbiScan scan;
  std::string head;
  if (is_compressed(payload)) {
    const auto unpacked = unpack(payload, unpacked_image_limit, [&](std::string_view bytes) {
      if (head.size() < x86::sector) head.append(bytes.substr(0, x86::sector));
      scan.feed(bytes);
    });
    if (!unpacked) {
      return not_a_kernel(path, std::string(damaged) + " (" + unpacked.error().message + ")");
    }
  } else {
    head = payload.substr(0, x86::sector);
    scan.feed(payload);
  }
  if (!is_arm64_plain(head)) return not_a_kernel(path, "is not a kernel image");
  InspectedKernel found{{path, scan.release(), scan.abi()}, scan.banner()};
  if (is_zboot(image)) {
    found.not_loadable =
        "is an EFI zboot image, which this kernel's kexec_file_load() does not unpack: take the "
        "Image that it was made of (arch/arm64/boot/Image)";
  } else if (is_compressed(payload)) {
    found.not_loadable =
        "is compressed, and kexec_file_load() takes a plain Image only: unpack it (gunzip -c FILE "
        "> Image) and name that";
  }
  return found;
}

/// What a file is that is no kernel image, and what to do.
std::string what_else(std::string_view image) {
  if (image.empty()) return "is empty: install it again";
  if (image.starts_with("\x7f"
                        "ELF"sv)) {
    return "is an ELF file (vmlinux), which kexec_file_load() does not take: name the image that "
           "was made of it (/boot/vmlinuz-RELEASE, arch/x86/boot/bzImage, arch/arm64/boot/Image)";
  }
  if (is_compressed(image)) {
    return "is a compressed file, and no kernel image by itself: unpack it (gunzip, unxz, unzstd) "
           "and name what was in it";
  }
  if (image.starts_with("\x27\x05\x19\x56"sv)) {
    return "is an image for U-Boot (uImage): name the image that was made into it "
           "(/boot/vmlinuz-RELEASE, arch/arm64/boot/Image)";
  }
  if (pe_sections(image)) {
    return "is an EFI program and no unified kernel image: it has no kernel (.linux); name the "
           "kernel's own image";
  }
  if (image.starts_with("070701"sv) || image.starts_with("070702"sv)) {
    return "is an initrd: name the kernel, and this one with --initrd";
  }
  return "is not a kernel image";
}

Result<std::string> read_image(int fd, const std::string& path) {
  struct stat status = {};
  if (::fstat(fd, &status) < 0) return fail_errno("cannot read the kernel " + path);
  if (!S_ISREG(status.st_mode)) return not_a_kernel(path, "is not a regular file");
  if (status.st_size > image_limit) return not_a_kernel(path, "is too large for a kernel image");
  return read_fd(fd, static_cast<std::uint64_t>(image_limit)).map_error([&](Error error) {
    error.message = path + ": " + error.message;
    return error;
  });
}

Result<InspectedKernel> inspect_image(std::string_view image, const std::string& path,
                                      Architecture architecture) {
  if (is_x86(image)) {
    if (architecture != Architecture::x86_64) {
      return not_a_kernel(path, "is an x86 kernel; this machine needs one for arm64");
    }
    return inspect_x86(path, image);
  }
  if (is_arm64_plain(image) ||
      (architecture == Architecture::arm64 && (is_zboot(image) || is_compressed(image)))) {
    if (architecture != Architecture::arm64) {
      return not_a_kernel(path, "is an arm64 kernel; this machine needs one for x86-64");
    }
    return inspect_arm64(path, image);
  }
  return not_a_kernel(path, what_else(image));
}

}  // namespace

Architecture host_architecture() {
#if defined(__x86_64__)
  return Architecture::x86_64;
#else
  return Architecture::arm64;
#endif
}

std::string image_release(int fd, const std::string& path) {
  const auto head = read_fd(fd, header_limit);
  if (!head) return {};
  if (is_x86(*head)) {
    const auto version = number_at<std::uint16_t>(*head, x86::kernel_version);
    if (version && *version != 0) return release_of_version(*head, *version + x86::sector);
  }
  const auto inspected = inspect_kernel(fd, path);
  return inspected ? inspected->image.release : std::string();
}

Result<InspectedKernel> inspect_kernel(int fd, const std::string& path, Architecture architecture) {
  const auto image = read_image(fd, path);
  if (!image) return fail(image.error());
  auto inspected = inspect_image(*image, path, architecture);
  if (!inspected) return inspected;
  auto& found = inspected->image;
  found.bytes = image->size();
  // What bzImage64_load() makes room for.
  if (is_x86(*image))
    found.memory_bytes = number_at<std::uint32_t>(*image, x86::init_size).value_or(0);
  found.is_signed = is_signed_pe(*image);
  found.identity = image_identity(*image);
  return inspected;
}

}  // namespace handover::system
