// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/boot_entry.h"

#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <map>
#include <utility>

#include "core/kernel_name.h"
#include "core/text.h"
#include "core/version_order.h"

namespace handover {
namespace {

constexpr std::string_view blanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

std::string_view take_entry_line(std::string_view& text) {
  const auto line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return trimmed(line);
}

/// "key value"; an empty key: nothing is said.
std::pair<std::string_view, std::string_view> key_and_value(std::string_view line) {
  if (line.empty() || line.front() == '#') return {};
  const auto end = std::min(line.find_first_of(blanks), line.size());
  return {line.substr(0, end), trimmed(line.substr(end))};
}

std::vector<std::string_view> words_in(std::string_view text) {
  std::vector<std::string_view> words;
  while (!(text = trimmed(text)).empty()) {
    words.push_back(text.substr(0, text.find_first_of(blanks)));
    text.remove_prefix(words.back().size());
  }
  return words;
}

std::optional<unsigned> whole_number(std::string_view digits) {
  unsigned number = 0;
  const auto* end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, number);
  if (digits.empty() || error != std::errc{} || at != end) return std::nullopt;
  return number;
}

/// "NAME+LEFT-DONE.conf": the counter goes into the entry, the rest is its id.
void take_counter(std::string_view file, BootEntry& entry) {
  entry.id = file;
  const auto dot = file.rfind('.');
  const auto plus = file.rfind('+', dot);
  if (dot == std::string_view::npos || plus == std::string_view::npos) return;
  const auto counter = file.substr(plus + 1, dot - plus - 1);
  const auto dash = counter.find('-');
  const auto left = whole_number(counter.substr(0, dash));
  auto done = std::optional<unsigned>(0);
  if (dash != std::string_view::npos) done = whole_number(counter.substr(dash + 1));
  if (!left || !done) return;
  entry.tries_left = left;
  entry.tries_done = *done;
  entry.id = std::string(file.substr(0, plus)) + std::string(file.substr(dot));
}

/// A path of the entry, below the directory that the entry lies in; "" if it leads out of it.
std::string path_below(std::string_view root, std::string_view path) {
  for (auto rest = path; !rest.empty();) {
    const auto part = rest.substr(0, rest.find('/'));
    if (part == "..") return {};
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  }
  std::string whole(root);
  if (!path.starts_with('/')) whole += '/';
  return whole + std::string(path);
}

/// os-release(5): KEY=value, or in quotes.
std::map<std::string, std::string, std::less<>> read_os_release(std::string_view text) {
  std::map<std::string, std::string, std::less<>> values;
  while (!text.empty()) {
    const auto line = take_entry_line(text);
    const auto equals = line.find('=');
    if (equals == std::string_view::npos || line.front() == '#') continue;
    auto value = line.substr(equals + 1);
    const bool quoted = value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
                        value.back() == value.front();
    if (quoted) value = value.substr(1, value.size() - 2);
    values.insert_or_assign(std::string(line.substr(0, equals)), std::string(value));
  }
  return values;
}

std::string without_end(std::string_view text) {
  text = text.substr(0, text.find('\0'));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return std::string(text);
}

bool has_used_up_its_tries(const BootEntry& entry) { return entry.tries_left == 0U; }

}  // namespace

Result<BootEntry> parse_boot_entry(std::string_view source, std::string_view root,
                                   std::string_view text) {
  BootEntry entry;
  entry.source = source;
  take_counter(file_of(source), entry);
  const auto bad = [&](const std::string& why) {
    return fail(ErrorCode::invalid_argument,
                "the boot loader entry " + printable(source) + " " + why);
  };
  while (!text.empty()) {
    const auto [key, value] = key_and_value(take_entry_line(text));
    if (value.empty()) continue;
    if (key == "title") entry.title = value;
    if (key == "version") entry.version = value;
    if (key == "machine-id") entry.machine_id = value;
    if (key == "sort-key") entry.sort_key = value;
    if (key == "architecture") entry.architecture = value;
    if (key == "options") entry.options += (entry.options.empty() ? "" : " ") + std::string(value);
    if (key != "linux" && key != "uki" && key != "initrd") continue;
    // GRUB takes several initrds in a line, and variables ("$tuned_initrd") that are empty here.
    for (const auto one : key == "initrd" ? words_in(value) : std::vector{value}) {
      if (one.starts_with('$')) continue;
      const auto path = path_below(root, one);
      if (path.empty()) return bad("names a file outside of its file system: " + printable(one));
      if (key == "linux") entry.linux = path;
      if (key == "uki") entry.uki = path;
      if (key == "initrd") entry.initrds.push_back(path);
    }
  }
  if (entry.linux.empty() == entry.uki.empty()) return bad("does not name one kernel");
  entry.release = release_of_path(entry.linux);
  // "SNAPSHOT@RELEASE": openSUSE.
  const auto version = std::string_view(entry.version).substr(entry.version.rfind('@') + 1);
  if (entry.release.empty() && is_release(version)) entry.release = version;
  return entry;
}

BootEntry entry_of_uki(std::string_view source, std::string_view osrel, std::string_view uname,
                       std::string_view cmdline) {
  BootEntry entry;
  entry.source = source;
  entry.uki = source;
  take_counter(file_of(source), entry);
  const auto values = read_os_release(osrel.substr(0, osrel.find('\0')));
  // bootspec_pick_name_version_sort_key() of systemd.
  const auto first_of = [&values](std::initializer_list<std::string_view> keys) -> std::string {
    for (const auto key : keys) {
      const auto found = values.find(key);
      if (found != values.end() && !found->second.empty()) return found->second;
    }
    return {};
  };
  entry.title = first_of({"PRETTY_NAME", "IMAGE_ID", "NAME", "ID"});
  entry.version = first_of({"IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID"});
  entry.sort_key = first_of({"IMAGE_ID", "ID"});
  entry.release = without_end(uname);
  entry.options = without_end(cmdline);
  return entry;
}

bool menu_order(const BootEntry& a, const BootEntry& b) {
  if (has_used_up_its_tries(a) != has_used_up_its_tries(b)) return has_used_up_its_tries(b);
  if (a.sort_key.empty() != b.sort_key.empty()) return b.sort_key.empty();
  if (!a.sort_key.empty()) {
    if (a.sort_key != b.sort_key) return a.sort_key < b.sort_key;
    if (a.machine_id != b.machine_id) return a.machine_id < b.machine_id;
    if (const int order = compare_versions(a.version, b.version); order != 0) return order > 0;
  }
  if (const int order = compare_versions(a.id, b.id); order != 0) return order > 0;
  if (a.tries_left && b.tries_left && a.tries_left != b.tries_left) {
    return a.tries_left > b.tries_left;
  }
  return a.tries_done < b.tries_done;
}

std::string grub_default(std::string_view grubenv) {
  constexpr std::string_view key = "saved_entry=";
  while (!grubenv.empty()) {
    const auto line = take_entry_line(grubenv);
    if (line.starts_with(key)) return std::string(line.substr(key.size()));
  }
  return {};
}

const BootEntry* first_in_menu(const std::vector<BootEntry>& entries,
                               const std::function<bool(const BootEntry&)>& counts) {
  const BootEntry* first = nullptr;
  for (const BootEntry& entry : entries) {
    if (counts(entry) && (first == nullptr || menu_order(entry, *first))) first = &entry;
  }
  return first;
}

const BootEntry* default_entry(const std::vector<BootEntry>& entries, std::string_view loader_conf,
                               const LoaderVariables& variables) {
  std::string configured;
  while (!loader_conf.empty()) {
    const auto [key, value] = key_and_value(take_entry_line(loader_conf));
    if (key == "default") configured = value;
  }
  // As config_select_default_entry() of systemd-boot.
  for (const std::string& said : {variables.entry_default, configured}) {
    const auto& pattern = said == "@saved" ? variables.last_booted : said;
    if (pattern.empty()) continue;
    const auto* chosen = first_in_menu(entries, [&pattern](const BootEntry& entry) {
      return ::fnmatch(pattern.c_str(), entry.id.c_str(), FNM_CASEFOLD) == 0;
    });
    if (chosen != nullptr) return chosen;
  }
  return first_in_menu(entries, [](const BootEntry&) { return true; });
}

const BootEntry* find_entry(const std::vector<BootEntry>& entries, std::string_view wanted) {
  if (wanted.empty()) return nullptr;
  for (const BootEntry& entry : entries) {
    const std::string_view id = entry.id;
    if (wanted == id || wanted == entry.source) return &entry;
    for (const std::string_view ending : {".conf", ".efi"}) {
      if (id.ends_with(ending) && wanted == id.substr(0, id.size() - ending.size())) return &entry;
    }
  }
  return nullptr;
}

}  // namespace handover
