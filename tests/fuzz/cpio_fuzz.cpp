// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever lies in an initrd: a walk in pieces must find what a walk at once does, and nothing
// makes it grow.
#include <cstdint>
#include <string_view>

#include "core/cpio_walk.h"
#include "require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  handover::CpioWalk whole;
  const auto taken = whole.feed(bytes);
  require(taken <= size, "no more is taken than is there");
  require(!whole.is_whole() || !whole.is_damaged(), "what is damaged is not whole");
  require(!whole.is_whole() || !whole.is_empty(), "what is whole has begun");
  require(whole.modules().size() <= 64, "no more releases than anybody has");

  handover::CpioWalk pieces;
  const std::size_t piece = size == 0 ? 1 : 1 + data[0] % 16;
  std::size_t at = 0;
  while (at < size) {
    const auto part = bytes.substr(at, piece);
    const auto got = pieces.feed(part);
    at += got;
    if (got < part.size()) break;
  }
  require(whole.is_damaged() || at == taken, "pieces are taken as the whole is");
  require(pieces.is_whole() == whole.is_whole(), "pieces are as whole");
  require(pieces.is_damaged() == whole.is_damaged(), "pieces are as damaged");
  require(pieces.modules() == whole.modules(), "pieces have the same modules");
  return 0;
}
