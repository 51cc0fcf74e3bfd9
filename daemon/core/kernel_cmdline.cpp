// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/kernel_cmdline.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/text.h"

namespace handover {
namespace {

/// isspace() of the kernel (lib/ctype.c), which counts the no-break space of Latin-1.
bool is_kernel_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || static_cast<unsigned char>(c) == 0xa0;
}

std::size_t skip_spaces(std::string_view text, std::size_t at) {
  while (at < text.size() && is_kernel_space(text[at])) ++at;
  return at;
}

/// Spaces become one, except around a byte that may be part of a UTF-8 character.
std::string gap_of(std::string_view spaces) {
  return spaces.find('\xa0') == std::string_view::npos ? " " : std::string(spaces);
}

struct NextWord {
  CmdlineWord word;
  std::size_t end = 0;
  bool open = false;
};

/// next_arg(): `at` is where a word begins.
NextWord next_word(std::string_view text, std::size_t at) {
  const bool quoted = text[at] == '"';
  const std::size_t begin = at + (quoted ? 1 : 0);
  bool in_quotes = quoted;
  std::size_t equals = 0;
  std::size_t length = 0;
  for (; begin + length < text.size(); ++length) {
    const char c = text[begin + length];
    if (is_kernel_space(c) && !in_quotes) break;
    if (equals == 0 && c == '=') equals = length;  // one in front is no separator
    if (c == '"') in_quotes = !in_quotes;
  }
  NextWord next;
  next.end = begin + length;
  next.open = in_quotes;
  next.word.text = text.substr(at, next.end - at);
  std::string_view body = text.substr(begin, length);
  if (equals == 0) {
    if (quoted && body.ends_with('"')) body.remove_suffix(1);
    next.word.name = body;
    return next;
  }
  next.word.name = body.substr(0, equals);
  std::string_view value = body.substr(equals + 1);
  const bool value_quoted = value.starts_with('"');
  if (value_quoted) value.remove_prefix(1);
  if ((value_quoted || quoted) && value.ends_with('"')) value.remove_suffix(1);
  next.word.value = value;
  return next;
}

/// parameq(): "-" and "_" are alike in names.
bool same_name(std::string_view a, std::string_view b) {
  const auto plain = [](char c) { return c == '-' ? '_' : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [plain](char x, char y) { return plain(x) == plain(y); });
}

/// kstrtobool(). Absent: it changes nothing.
std::optional<bool> kernel_bool(std::string_view value) {
  if (value.empty()) return std::nullopt;
  switch (value[0]) {
    case 'e':
    case 'E':
    case 'y':
    case 'Y':
    case 't':
    case 'T':
    case '1':
      return true;
    case 'd':
    case 'D':
    case 'n':
    case 'N':
    case 'f':
    case 'F':
    case '0':
      return false;
    case 'o':
    case 'O':
      if (value.size() < 2) return std::nullopt;
      if (value[1] == 'n' || value[1] == 'N') return true;
      if (value[1] == 'f' || value[1] == 'F') return false;
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

/// What a mention of a parameter does to it.
std::optional<bool> mention(const CmdlineWord& word, std::string_view name) {
  if (!word.value || !same_name(word.name, name)) return std::nullopt;
  return kernel_bool(*word.value);
}

void append(std::string& text, const std::vector<CmdlineWord>& words) {
  for (const CmdlineWord& word : words) {
    if (!text.empty()) text += word.gap;
    text += word.text;
  }
}

/// The value of NAME="…" in a configuration, in which \" and \\ stand for " and \.
std::string config_string(std::string_view quoted) {
  std::string text;
  if (!quoted.starts_with('"')) return text;
  for (std::size_t at = 1; at < quoted.size() && quoted[at] != '"'; ++at) {
    if (quoted[at] == '\\' && at + 1 < quoted.size()) ++at;
    text += quoted[at];
  }
  return text;
}

}  // namespace

KernelCmdline parse_cmdline(std::string_view text) {
  text = text.substr(0, text.find('\0'));
  KernelCmdline line;
  auto* part = &line.words;
  std::size_t end = 0;
  for (std::size_t at = skip_spaces(text, 0); at < text.size(); at = skip_spaces(text, end)) {
    NextWord next = next_word(text, at);
    next.word.gap = gap_of(text.substr(end, at - end));
    end = next.end;
    line.quote_is_open = next.open;
    if (!next.word.value && next.word.name == "--") part = &line.init;
    part->push_back(std::move(next.word));
  }
  return line;
}

std::optional<BuiltInCmdline> built_in_cmdline(std::string_view config) {
  BuiltInCmdline found;
  bool in_front = false;
  while (!config.empty()) {
    std::string_view line = config.substr(0, config.find('\n'));
    config.remove_prefix(std::min(config.size(), line.size() + 1));
    if (line == "CONFIG_CMDLINE_BOOL=y") in_front = true;
    if (line == "CONFIG_CMDLINE_OVERRIDE=y" || line == "CONFIG_CMDLINE_FORCE=y") {
      found.overrides = true;
    }
    constexpr std::string_view name = "CONFIG_CMDLINE=";
    if (line.starts_with(name)) found.text = config_string(line.substr(name.size()));
  }
  if (!found.overrides && (!in_front || found.text.empty())) return std::nullopt;
  return found;
}

std::string booted_cmdline(std::string_view text, const std::optional<BuiltInCmdline>& built_in) {
  std::string line;
  if (built_in) line = built_in->text;
  if (!built_in || !built_in->overrides) {
    if (!line.empty()) line += ' ';
    line += text.substr(0, text.find('\0'));
  }
  if (line.size() >= cmdline_bytes) line.resize(cmdline_bytes - 1);
  return line;
}

std::string without_built_in(std::string_view text, const std::optional<BuiltInCmdline>& built_in) {
  if (!built_in || built_in->text.empty()) return std::string(text);
  const std::string_view front = built_in->text;
  while (text.starts_with(front) &&
         (text.size() == front.size() || is_kernel_space(text[front.size()]))) {
    text.remove_prefix(std::min(text.size(), front.size() + 1));
  }
  return std::string(text);
}

std::string given_cmdline(std::string_view text, const std::optional<BuiltInCmdline>& running,
                          const std::optional<BuiltInCmdline>& target) {
  // Where the running one's is all there is, nobody knows what was given. And where its
  // configuration is not known, it may be the target's: mostly they are two versions of one kernel.
  return without_built_in(text, running && !running->overrides ? running : target);
}

std::optional<bool> switched(std::string_view cmdline, std::string_view name) {
  std::optional<bool> state;
  for (const CmdlineWord& word : parse_cmdline(cmdline).words) {
    if (const auto said = mention(word, name)) state = said;
  }
  return state;
}

bool is_on(std::string_view cmdline, std::string_view name) {
  return switched(cmdline, name).value_or(false);
}

std::string ensure_cmdline(std::string_view cmdline) {
  constexpr std::array<std::string_view, 2> switches = {"kho", "liveupdate"};
  KernelCmdline line = parse_cmdline(cmdline);
  // Behind an open quote nothing is a word of its own.
  const bool open = line.quote_is_open && line.init.empty();
  std::vector<CmdlineWord> last;
  if (open && !line.words.empty()) {
    last.push_back(std::move(line.words.back()));
    line.words.pop_back();
  }
  for (const std::string_view name : switches) {
    const std::string wanted = std::string(name) + "=on";
    bool there = false;
    for (CmdlineWord& word : line.words) {
      if (!same_name(word.name, name)) continue;
      there = true;
      if (!mention(word, name).value_or(false)) word.text = wanted;
    }
    // All of it is that parameter's value.
    if (!last.empty() && same_name(last.front().name, name) &&
        !mention(last.front(), name).value_or(true)) {
      last.clear();
    }
    if (!there) line.words.push_back({wanted, std::string(name), "on"});
  }
  std::string text;
  append(text, line.words);
  append(text, last);
  append(text, line.init);
  return text;
}

Result<void> check_cmdline_text(std::string_view cmdline) {
  for (const char c : cmdline) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && byte != '\t' && byte != '\n') || byte == 0x7f) {
      return fail(ErrorCode::invalid_argument,
                  "a kernel's command line cannot have control characters, and ends at a NUL, but "
                  "this one has one: " +
                      printable(cmdline) + "; remove it");
    }
  }
  return {};
}

}  // namespace handover
