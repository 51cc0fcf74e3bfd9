// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel_images.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <vector>

namespace handover::system::test {
namespace {

using namespace std::string_literals;

template <typename Number>
void put(std::string& bytes, std::size_t offset, Number number) {
  for (std::size_t byte = 0; byte < sizeof(number); ++byte) {
    bytes[offset + byte] = static_cast<char>(static_cast<std::uint64_t>(number) >> (8 * byte));
  }
}

std::string le32(std::size_t number) {
  std::string bytes(4, '\0');
  put(bytes, 0, static_cast<std::uint32_t>(number));
  return bytes;
}

std::string noise(std::size_t size) {
  std::mt19937 random(static_cast<unsigned>(size));  // the same in every run
  std::string bytes(size, '\0');
  std::generate(bytes.begin(), bytes.end(), [&]() { return static_cast<char>(random()); });
  return bytes;
}

/// One LZ4 block of literals only (lz4_Block_format.md): token, length in 255s, the bytes.
std::string lz4_literals(std::string_view bytes) {
  std::string block;
  if (bytes.size() < 15) {
    block.push_back(static_cast<char>(bytes.size() << 4));
  } else {
    block.push_back(static_cast<char>(0xf0));
    std::size_t rest = bytes.size() - 15;
    for (; rest >= 255; rest -= 255) block.push_back(static_cast<char>(0xff));
    block.push_back(static_cast<char>(rest));
  }
  return block.append(bytes);
}

/// lz4_Frame_format.md, "Legacy frame": a magic, then blocks of up to 8 MiB, each with its size.
std::string lz4_legacy(std::string_view bytes) {
  std::string stream("\x02\x21\x4c\x18", 4);
  constexpr std::size_t block_size = std::size_t{8} << 20;
  for (std::size_t at = 0; at < bytes.size(); at += block_size) {
    const std::string block = lz4_literals(bytes.substr(at, block_size));
    stream += le32(block.size()) + block;
  }
  return stream;
}

}  // namespace

std::string kernel_banner(std::string_view release) {
  return "Linux version " + std::string(release) +
         " (user@host) (gcc-14 (Debian 14.2.0-19) 14.2.0, GNU ld (GNU Binutils for Debian) 2.44) "
         "#1 SMP PREEMPT_DYNAMIC Debian";
}

std::string kernel_text(std::string_view release, std::string_view abi, std::size_t filler) {
  std::string text(
      "\x7f"
      "ELF",
      4);
  text += noise(filler);
  text += "\0"s + kernel_banner(release) + "\n";
  text.push_back('\0');
  std::string strings(abi);
  std::replace(strings.begin(), strings.end(), ' ', '\0');
  text += strings;
  text.push_back('\0');
  return text + noise(filler);
}

std::string compress(const std::string& method, std::string_view bytes) {
  if (method == "none") return std::string(bytes);
  if (method == "lz4-legacy") return lz4_legacy(bytes);
  struct archive* writer = ::archive_write_new();
  std::vector<char> buffer(bytes.size() * 2 + (std::size_t{1} << 20));
  std::size_t used = 0;
  struct archive_entry* entry = ::archive_entry_new();
  ::archive_entry_set_filetype(entry, AE_IFREG);
  const bool done =
      ::archive_write_set_format_raw(writer) == ARCHIVE_OK &&
      ::archive_write_add_filter_by_name(writer, method.c_str()) == ARCHIVE_OK &&
      ::archive_write_set_bytes_per_block(writer, 0) == ARCHIVE_OK &&
      ::archive_write_open_memory(writer, buffer.data(), buffer.size(), &used) == ARCHIVE_OK &&
      ::archive_write_header(writer, entry) == ARCHIVE_OK &&
      ::archive_write_data(writer, bytes.data(), bytes.size()) ==
          static_cast<la_ssize_t>(bytes.size()) &&
      ::archive_write_close(writer) == ARCHIVE_OK;
  ::archive_entry_free(entry);
  ::archive_write_free(writer);
  if (!done) throw std::runtime_error("the test cannot compress with " + method);
  return std::string(buffer.data(), used);
}

std::string bzimage(const std::string& method, std::string_view release, std::string_view text) {
  constexpr std::size_t sectors = 4;
  constexpr std::size_t setup_size = (sectors + 1) * 512;
  constexpr std::size_t version_at = 0x800;
  constexpr std::size_t payload_offset = 64;  // the decompressor's code would stand before it
  std::string payload = compress(method, text);
  if (method != "gzip") payload += le32(text.size());

  std::string image(setup_size + payload_offset, '\0');
  put<std::uint8_t>(image, 0x1f1, sectors);
  image.replace(0x202, 4, "HdrS");
  put<std::uint16_t>(image, 0x206, 0x020f);
  put<std::uint16_t>(image, 0x20e, version_at - 0x200);
  put<std::uint16_t>(image, 0x236, 0x3f);
  put<std::uint32_t>(image, 0x248, payload_offset);
  put<std::uint32_t>(image, 0x24c, static_cast<std::uint32_t>(payload.size()));
  const std::string version = std::string(release) + " (user@host) #1 SMP";
  image.replace(version_at, version.size(), version);
  return image + payload + noise(512);
}

std::string arm64_image(std::string_view text) {
  std::string image(64, '\0');
  image.replace(56, 4, "ARM\x64");
  return image.append(text);
}

std::string zboot(const std::string& method, std::string_view image) {
  constexpr std::size_t payload_offset = 4096;
  const std::string payload = compress(method, image);
  std::string whole(payload_offset, '\0');
  whole.replace(0, 2, "MZ");
  whole.replace(4, 4, "zimg");
  put<std::uint32_t>(whole, 8, payload_offset);
  put<std::uint32_t>(whole, 12, static_cast<std::uint32_t>(payload.size()));
  return whole + payload;
}

}  // namespace handover::system::test
