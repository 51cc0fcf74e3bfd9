// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever is given as a command line: words must be its own, and what was switched on stays on.
#include <cstdint>
#include <string>
#include <string_view>

#include "core/kernel_cmdline.h"
#include "require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace handover;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto line = parse_cmdline(text);
  std::size_t bytes = 0;
  for (const auto* part : {&line.words, &line.init}) {
    for (const auto& word : *part) {
      require(!word.text.empty(), "a word has a letter");
      require(text.find(word.text) != std::string_view::npos, "a word is there");
      require(word.name.size() + word.value.value_or("").size() <= word.text.size(),
              "and its parts are in it");
      bytes += word.text.size();
    }
  }
  require(bytes <= size, "no letter is in two words");
  const auto ensured = ensure_cmdline(text);
  require(is_on(ensured, "kho") && is_on(ensured, "liveupdate"), "both are switched on");
  require(ensure_cmdline(ensured) == ensured, "once is enough");
  require(ensured.find('\0') == std::string::npos, "there is no NUL");
  const auto built_in = built_in_cmdline(text);
  const auto booted = booted_cmdline(text, built_in);
  require(booted.size() < cmdline_bytes, "a kernel reads no more");
  require(without_built_in(text, built_in).size() <= size, "what is taken off was there");
  return 0;
}
