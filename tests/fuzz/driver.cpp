// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs a fuzz target without libFuzzer: over a corpus, then over mutations of it.
//
//   TARGET CORPUS-DIRECTORY SECONDS [SEED]
//
// The mutations of one seed are always the same ones in the same order; the time only says how many
// are tried. An input that crashes the target is left in ./crash-input.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

const std::string* current_input = nullptr;

extern "C" void keep_input(int signal) {
  // Only what signal-safety(7) allows.
  const int fd = ::open("crash-input", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd >= 0 && current_input != nullptr) {
    if (::write(fd, current_input->data(), current_input->size()) >= 0) {
      static constexpr std::string_view note = "the input is in ./crash-input\n";
      if (::write(STDERR_FILENO, note.data(), note.size()) < 0) std::_Exit(2);
    }
  }
  static_cast<void>(std::signal(signal, SIG_DFL));
  static_cast<void>(std::raise(signal));
}

void run(const std::string& input) {
  current_input = &input;
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  current_input = nullptr;
}

// Pieces that JSON and these formats are sensitive to.
constexpr std::array<std::string_view, 24> pieces = {
    "{",    "}",  "[",       "]",    "\"",       ",",    ":",     "\\",
    "null", "-1", "1e999",   "true", "\\ud800",  "0",    "1.5",   "18446744073709551616",
    "\xFF", "/",  "{\"a\":", "[[[",  "\xC0\xAF", "5min", "ms 3h", "\n"};

std::size_t below(std::mt19937_64& random, std::size_t limit) {
  return limit == 0 ? 0 : random() % limit;
}

void mutate(std::string& text, const std::vector<std::string>& corpus, std::mt19937_64& random) {
  const std::size_t at = below(random, text.size() + 1);
  const std::size_t length = 1 + below(random, 1 + below(random, 32));
  switch (random() % 8) {
    case 0:  // flip a bit
      if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << random() % 8));
      break;
    case 1:  // another byte
      if (at < text.size()) text[at] = static_cast<char>(random());
      break;
    case 2:
      text.erase(at, length);
      break;
    case 3:
      text.insert(at, pieces[below(random, pieces.size())]);
      break;
    case 4:  // repeat a part
      text.insert(at, text.substr(below(random, text.size()), length));
      break;
    case 5:  // cut
      text.resize(at);
      break;
    case 6: {  // another digit
      const auto digit = std::find_if(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(),
                                      [](char c) { return c >= '0' && c <= '9'; });
      if (digit != text.end()) *digit = static_cast<char>('0' + random() % 10);
      break;
    }
    default: {  // a part of another input
      const std::string& other = corpus[below(random, corpus.size())];
      text.insert(at, other.substr(below(random, other.size()), length * 4));
      break;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: %s CORPUS-DIRECTORY SECONDS [SEED]\n", argv[0]);
    return 2;
  }
  const std::chrono::duration<double> limit(std::strtod(argv[2], nullptr));
  std::mt19937_64 random(argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1);

  std::vector<std::filesystem::path> paths;
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1], problem)) {
    paths.push_back(entry.path());
  }
  if (problem || paths.empty()) {
    std::fprintf(stderr, "no corpus in %s\n", argv[1]);
    return 2;
  }
  std::sort(paths.begin(), paths.end());  // the order of a directory is not the same everywhere

  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    static_cast<void>(std::signal(signal, keep_input));
  }
  std::vector<std::string> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    run(corpus.back());
  }

  const auto end = std::chrono::steady_clock::now() + limit;
  std::uint64_t count = 0;
  while (std::chrono::steady_clock::now() < end) {
    for (int batch = 0; batch < 64; ++batch) {
      std::string input = corpus[below(random, corpus.size())];
      for (std::size_t times = 1 + below(random, 6); times > 0; --times) {
        mutate(input, corpus, random);
      }
      run(input);
      ++count;
    }
  }
  std::printf("%zu inputs of the corpus and %llu mutations, none of them crashed\n", corpus.size(),
              static_cast<unsigned long long>(count));
  return 0;
}
