// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/log.h"

#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "system/log_ring.h"

namespace handover::log {

namespace {

using Name = std::pair<std::string_view, Level>;
// The last name of a level is the one that level_name() gives.
constexpr std::array<Name, 8> names{{{"emerg", Level::critical},
                                     {"alert", Level::critical},
                                     {"crit", Level::critical},
                                     {"err", Level::error},
                                     {"warning", Level::warning},
                                     {"notice", Level::info},
                                     {"info", Level::info},
                                     {"debug", Level::debug}}};

/// The ring is to stay small, and journald cuts lines of 48 KiB (LineMax= in journald.conf(5)).
constexpr std::size_t longest_line = 8192;
constexpr std::size_t longest_value = 512;
constexpr std::uint64_t exit_patience_usec = 1'000'000;

std::atomic<Level> lowest = Level::info;
std::atomic<std::uint64_t> update_now = 0;

/// Rings are never freed: their threads may run, and others may log, until the process is gone.
class Rings {
 public:
  Rings() : current_(add(to_journal() ? journal_sink() : stderr_sink())) {}

  Ring& current() { return *current_.load(std::memory_order_acquire); }
  void replace(Sink sink) {
    current().finish(exit_patience_usec);
    current_.store(add(std::move(sink)), std::memory_order_release);
  }
  /// In the child of fork() the ring has no thread, and the parent writes the lines in it.
  void start_anew() { current_.store(add(sink_), std::memory_order_release); }

 private:
  Ring* add(Sink sink) {
    sink_ = std::move(sink);
    all_.push_back(std::make_unique<Ring>(sink_));
    return all_.back().get();
  }

  Sink sink_;
  std::vector<std::unique_ptr<Ring>> all_;
  std::atomic<Ring*> current_;
};

Rings& rings() {
  static Rings& instance = *[] {
    auto* made = new Rings;
    pthread_atfork(nullptr, nullptr, [] { rings().start_anew(); });
    std::atexit([] { rings().current().finish(exit_patience_usec); });
    return made;
  }();
  return instance;
}

/// `text` without a cut character at its end.
std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  constexpr std::string_view ellipsis = "…";
  std::size_t end = most - ellipsis.size();
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end)).append(ellipsis);
}

std::uint64_t boottime_usec() {
  struct timespec now = {};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

Line line_of(Level level, std::string_view text) {
  Line line;
  line.level = level;
  line.text = shortened(text, longest_line);
  line.boottime_usec = boottime_usec();
  return line;
}

std::string field(Field name, std::string_view value) {
  return std::string(field_name(name)).append("=").append(shortened(value, longest_value));
}

}  // namespace

bool to_journal() {
  return std::getenv("JOURNAL_STREAM") != nullptr;  // NOLINT(concurrency-mt-unsafe): never set here
}

void set_up(bool debug) {
  lowest = debug ? Level::debug : Level::info;
  rings();
}

std::string_view level_name() {
  std::string_view name = "info";
  for (const auto& [text, level] : names) {
    if (level == lowest) name = text;
  }
  return name;
}

bool set_level(std::string_view name) {
  for (const auto& [text, level] : names) {
    if (text != name) continue;
    lowest = level;
    return true;
  }
  return false;
}

bool enabled(Level level) { return level >= lowest.load(std::memory_order_relaxed); }

bool flush(std::uint64_t usec) noexcept { return rings().current().flush(usec); }
std::uint64_t dropped() { return rings().current().dropped(); }
std::size_t waiting() { return rings().current().waiting(); }
void use_sink(Sink sink) { rings().replace(std::move(sink)); }

void set_update(std::uint64_t id) { update_now = id; }

void write(Level level, std::string_view line) noexcept {
  if (!enabled(level)) return;
  try {
    rings().current().push(line_of(level, line));
  } catch (...) {
    rings().current().count_dropped();  // no memory for it
  }
}

void write_event(Id id, Level level, std::initializer_list<FieldValue> fields,
                 std::string_view text) noexcept {
  if (!enabled(level)) return;
  try {
    const EventInfo& info = info_of(id);
    Line line = line_of(level, text);
    line.fields.push_back("MESSAGE_ID=" + std::string(info.message_id));
    bool names_update = false;
    for (const FieldValue& one : fields) {
      if (one.value.text.empty()) continue;
      names_update = names_update || one.field == Field::update;
      line.fields.push_back(field(one.field, one.value.text));
    }
    const auto update = update_now.load(std::memory_order_relaxed);
    if (!names_update && update != 0) {
      line.fields.push_back(field(Field::update, std::to_string(update)));
    }
    rings().current().push(std::move(line));
  } catch (...) {
    rings().current().count_dropped();
  }
}

}  // namespace handover::log
