// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "core/ascii.h"
#include "core/field_reader.h"
#include "core/json_lines.h"
#include "core/kernel_cmdline.h"
#include "core/names.h"
#include "core/text.h"

namespace handover {

namespace {

constexpr std::uint64_t usec_per_second = 1'000'000;

struct Unit {
  std::string_view name;
  std::uint64_t usec;
};

// The units of systemd.time(7), up to weeks.
constexpr std::array units = {
    Unit{"", usec_per_second},
    Unit{"us", 1},
    Unit{"usec", 1},
    Unit{"µs", 1},  // U+00B5
    Unit{"μs", 1},  // U+03BC
    Unit{"ms", 1'000},
    Unit{"msec", 1'000},
    Unit{"s", usec_per_second},
    Unit{"sec", usec_per_second},
    Unit{"second", usec_per_second},
    Unit{"seconds", usec_per_second},
    Unit{"m", 60 * usec_per_second},
    Unit{"min", 60 * usec_per_second},
    Unit{"minute", 60 * usec_per_second},
    Unit{"minutes", 60 * usec_per_second},
    Unit{"h", 3'600 * usec_per_second},
    Unit{"hr", 3'600 * usec_per_second},
    Unit{"hour", 3'600 * usec_per_second},
    Unit{"hours", 3'600 * usec_per_second},
    Unit{"d", 86'400 * usec_per_second},
    Unit{"day", 86'400 * usec_per_second},
    Unit{"days", 86'400 * usec_per_second},
    Unit{"w", 604'800 * usec_per_second},
    Unit{"week", 604'800 * usec_per_second},
    Unit{"weeks", 604'800 * usec_per_second},
};

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view take_while(std::string_view& text, bool (*wanted)(char)) {
  const auto end = std::find_if_not(text.begin(), text.end(), wanted);
  const auto taken = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  text.remove_prefix(taken.size());
  return taken;
}

/// a * b + c, or nullopt if it does not fit.
std::optional<std::uint64_t> multiply_add(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  std::uint64_t product = 0;
  std::uint64_t sum = 0;
  if (__builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(product, c, &sum)) {
    return std::nullopt;
  }
  return sum;
}

/// "1", "1.5", ".5" times the unit.
std::optional<std::uint64_t> scaled(std::string_view whole, std::string_view fraction,
                                    std::uint64_t unit) {
  std::optional<std::uint64_t> number = 0;
  for (const char digit : whole) {
    number = multiply_add(*number, 10, static_cast<std::uint64_t>(digit - '0'));
    if (!number) return std::nullopt;
  }
  number = multiply_add(*number, unit, 0);
  for (const char digit : fraction) {
    if (!number) return std::nullopt;
    // A digit is worth a tenth of the one before; what rounding loses is a few µs of an hour.
    const std::uint64_t tenth = unit / 10;
    number = multiply_add(tenth, static_cast<std::uint64_t>(digit - '0'), *number);
    unit = tenth;
  }
  return number;
}

/// The limits of a duration. Below 1 ms no client could answer, and what waits for more than 30
/// days waits for a mistake.
struct Range {
  std::uint64_t longest_usec = UINT64_C(30) * 86'400 * usec_per_second;
  std::string_view in_words = "between 1ms and 30d";
};
constexpr std::uint64_t shortest_usec = 1'000;

/// As FieldReader's conversions: sets `out` or leaves what is wrong in the reader.
template <typename Out>
void read_duration(FieldReader& reader, std::string_view name, Out& out, Range range = {}) {
  const auto value = reader.take(name);
  if (!value) return;
  std::uint64_t usec = 0;
  if (value->is_string()) {
    const auto parsed = parse_duration(value->get_ref<const std::string&>());
    if (!parsed) return reader.refuse(name, "is no duration: " + parsed.error().message);
    usec = *parsed;
  } else if (value->is_number_unsigned()) {
    const auto seconds = value->get<std::uint64_t>();
    usec = multiply_add(seconds, usec_per_second, 0)
               .value_or(std::numeric_limits<std::uint64_t>::max());
  } else {
    return reader.refuse(name,
                         R"(must be a duration as "500ms", "5s" or "2min", or whole seconds)");
  }
  if (usec < shortest_usec || usec > range.longest_usec) {
    return reader.refuse(name, "must be " + std::string(range.in_words));
  }
  out = usec;
}

void read_number(FieldReader& reader, std::string_view name, std::uint64_t least,
                 std::uint64_t most, std::uint64_t& out) {
  std::uint64_t number = out;
  reader.optional(name, number);
  if (number < least || number > most) {
    return reader.refuse(
        name, "must be between " + std::to_string(least) + " and " + std::to_string(most));
  }
  out = number;
}

void read_choice(FieldReader& reader, std::string_view name,
                 const std::vector<std::string_view>& allowed, std::string& out) {
  std::string chosen = out;
  reader.optional(name, chosen);
  if (std::find(allowed.begin(), allowed.end(), chosen) == allowed.end()) {
    std::string message = "must be one of";
    for (const std::string_view one : allowed) message += " \"" + std::string(one) + "\"";
    return reader.refuse(name, message + ", not " + in_quotes(chosen));
  }
  out = std::move(chosen);
}

/// One of the enum's words.
template <HasWords E>
void read_word(FieldReader& reader, std::string_view name, E& out) {
  std::vector<std::string_view> allowed;
  allowed.reserve(words_of<E>.size());
  for (const Word<E>& line : words_of<E>) allowed.push_back(line.word);
  std::string word(to_string(out));
  read_choice(reader, name, allowed, word);
  out = from_string<E>(word).value_or(out);
}

void refuse_unknown(FieldReader& reader) {
  const nlohmann::json rest = reader.rest();
  if (rest.empty()) return;
  std::string message = "is unknown; the fields are";
  const std::set<std::string_view> known(reader.known().begin(), reader.known().end());
  for (const std::string_view name : known) message.append(" ").append(name);
  reader.refuse(rest.begin().key(), std::move(message));
}

ClientLimits read_client_limits(FieldReader& reader) {
  ClientLimits limits;
  read_duration(reader, "prepare_timeout", limits.prepare_timeout_usec);
  read_duration(reader, "freeze_timeout", limits.freeze_timeout_usec);
  read_duration(reader, "restore_timeout", limits.restore_timeout_usec);
  reader.optional("required", limits.required);
  read_word(reader, "if_not_frozen", limits.if_not_frozen);
  refuse_unknown(reader);
  return limits;
}

void read_clients(FieldReader& reader, std::map<std::string, ClientLimits>& out) {
  auto clients = reader.take("clients");
  if (!clients) return;
  if (!clients->is_object()) {
    return reader.refuse("clients", "must be an object: client name to its limits");
  }
  for (auto& [name, value] : clients->items()) {
    const std::string pointer = child_pointer(reader.pointer("clients"), name);
    if (auto checked = check_name(name); !checked) {
      return reader.refuse(FieldError{pointer, "is no client: " + checked.error().message});
    }
    FieldReader limits(std::move(value), pointer);
    out[name] = read_client_limits(limits);
    if (limits.error()) return reader.refuse(*limits.error());
  }
}

void read_rulings(FieldReader& reader, Rulings& out) {
  auto rulings = reader.take("preflight");
  if (!rulings) return;
  if (!rulings->is_object()) {
    return reader.refuse("preflight", "must be an object: finding to error, warning or ignore");
  }
  for (const auto& [name, value] : rulings->items()) {
    const std::string pointer = child_pointer(reader.pointer("preflight"), name);
    const auto id = from_string<FindingId>(name);
    if (!id) {
      return reader.refuse(
          FieldError{pointer, "is no finding; they are " + alternatives<FindingId>()});
    }
    const auto ruling =
        value.is_string() ? from_string<Ruling>(value.get_ref<const std::string&>()) : std::nullopt;
    if (!ruling) {
      return reader.refuse(FieldError{pointer, "must be " + alternatives<Ruling>()});
    }
    out[*id] = *ruling;
  }
}

void read_hooks(FieldReader& reader, HookSettings& out) {
  auto hooks = reader.take("hooks");
  if (!hooks) return;
  if (!hooks->is_object()) {
    return reader.refuse("hooks", "must be an object with timeout and in_blackout");
  }
  FieldReader inner(std::move(*hooks), reader.pointer("hooks"));
  read_duration(inner, "timeout", out.timeout_usec);
  inner.optional("in_blackout", out.in_blackout);
  refuse_unknown(inner);
  if (inner.error()) reader.refuse(*inner.error());
}

/// A program by its whole path, and its arguments. A search by PATH would be another in each shell.
void read_command(FieldReader& reader, std::string_view name, std::vector<std::string>& out) {
  constexpr std::size_t most_words = 64;
  std::vector<std::string> command;
  reader.optional(name, command);
  if (command.empty()) return;
  if (command.size() > most_words) {
    return reader.refuse(name, "must have no more than " + std::to_string(most_words) + " words");
  }
  if (!command.front().starts_with('/')) {
    return reader.refuse(name, "must begin with the absolute path of a program");
  }
  for (const std::string& word : command) {
    if (word.find('\0') != std::string::npos) return reader.refuse(name, "must not have a NUL");
  }
  out = std::move(command);
}

/// An object of settings; `read` reads its fields. `out` changes only if all of it is good.
template <typename Settings, typename Read>
void read_settings(FieldReader& reader, std::string_view name, Settings& out, Read read) {
  auto object = reader.take(name);
  if (!object) return;
  FieldReader inner(std::move(*object), reader.pointer(name));
  Settings settings;
  read(inner, settings);
  refuse_unknown(inner);
  if (inner.error()) return reader.refuse(*inner.error());
  out = std::move(settings);
}

void read_health(FieldReader& reader, HealthConfig& out) {
  read_settings(reader, "health", out, [](FieldReader& inner, HealthConfig& config) {
    read_command(inner, "command", config.command);
    read_duration(inner, "timeout", config.timeout_usec);
  });
}

void read_watchdog(FieldReader& reader, WatchdogConfig& out) {
  read_settings(reader, "watchdog", out, [](FieldReader& inner, WatchdogConfig& config) {
    inner.optional("device", config.device);
    if (!config.device.empty() && !config.device.starts_with("/dev/")) {
      inner.refuse("device", "must be a device below /dev, or empty for none");
    }
    read_duration(inner, "timeout", config.timeout_usec);
  });
}

/// "line 7: field clients/db/required must be true or false".
tl::unexpected<Error> fail_at(const JsonLines& lines, const FieldError& error) {
  std::string message;
  if (const auto line = lines.line_of(error.pointer)) {
    message += "line " + std::to_string(*line) + ": ";
  }
  message += error.pointer.empty() ? std::string("the configuration ")
                                   : "field " + printable(error.pointer.substr(1)) + " ";
  return fail(ErrorCode::invalid_argument, message + error.message);
}

}  // namespace

Result<std::uint64_t> parse_duration(std::string_view text) {
  const auto refuse = [text](const std::string& why) {
    return fail(ErrorCode::invalid_argument,
                in_quotes(text) + " " + why + R"(; write it as "500ms", "5s" or "1h 30min")");
  };
  std::string_view rest = text;
  std::uint64_t total = 0;
  bool any = false;
  while (true) {
    take_while(rest, is_blank);
    if (rest.empty()) break;
    const std::string_view whole = take_while(rest, is_digit);
    std::string_view fraction;
    if (rest.starts_with('.')) {
      rest.remove_prefix(1);
      fraction = take_while(rest, is_digit);
      if (fraction.empty()) return refuse("has a point with no digit after it");
    }
    if (whole.empty() && fraction.empty()) return refuse("has no number where one is needed");
    take_while(rest, is_blank);
    const std::string_view name =
        take_while(rest, [](char c) { return !is_digit(c) && !is_blank(c) && c != '.'; });
    const auto* const unit =
        std::find_if(units.begin(), units.end(), [name](const Unit& u) { return u.name == name; });
    if (unit == units.end()) return refuse("has an unknown unit " + in_quotes(name));
    // "5 3s" would be 8 s to systemd; here it is more likely a mistake.
    if (name.empty() && (any || !rest.empty())) return refuse("has a number without a unit");
    const auto part = scaled(whole, fraction, unit->usec);
    const auto sum = part ? multiply_add(*part, 1, total) : std::nullopt;
    if (!sum) return refuse("is too long");
    total = *sum;
    any = true;
  }
  if (!any) return refuse("is empty");
  return total;
}

Result<Config> parse_config(std::string_view text) {
  auto json = parse_json(text, ErrorCode::invalid_argument);
  if (!json) return fail(json.error());
  const JsonLines lines(text);
  if (const auto& twice = lines.repeated()) return fail_at(lines, {*twice, "is there twice"});

  constexpr std::uint64_t most_sessions = 65'536;
  constexpr std::uint64_t most_descriptors = 1'048'576;
  constexpr std::uint64_t most_clients = 65'536;
  constexpr std::uint64_t most_needs = 4'096;
  constexpr std::uint64_t most_bytes = std::numeric_limits<std::int64_t>::max();
  constexpr std::uint64_t most_history = 10'000;
  constexpr std::uint64_t most_threads = 64;  // HANDOVER_SESSION_RESTORE

  Config config;
  FieldReader reader(std::move(*json), "");
  std::string schema;  // names the schema to editors; means nothing here
  reader.optional("$schema", schema);
  std::string backend = "auto";
  read_choice(reader, "backend", {"auto", "luo", "tracker", "emulated"}, backend);
  config.backend = from_string<Keeper>(backend);
  read_number(reader, "restore_threads", 0, most_threads, config.restore_threads);
  reader.optional("collapse", config.collapse);
  std::string mode(to_string(config.mode));
  read_choice(reader, "mode", {"immediate", "orderly"}, mode);
  config.mode = from_string<Mode>(mode).value_or(config.mode);
  reader.optional("kernel", config.kernel);
  if (!config.kernel.empty() && !config.kernel.starts_with('/')) {
    reader.refuse("kernel", "must be an absolute path, or empty for the newest one");
  }
  reader.optional("cmdline", config.cmdline);
  if (!check_cmdline_text(config.cmdline)) {
    reader.refuse("cmdline", "must not have control characters; a kernel reads up to a NUL");
  }
  read_duration(reader, "prepare_timeout", config.prepare_timeout_usec);
  read_duration(reader, "freeze_timeout", config.freeze_timeout_usec);
  read_duration(reader, "freeze_budget", config.freeze_budget_usec);
  read_duration(reader, "sync_timeout", config.sync_timeout_usec);
  read_duration(reader, "thaw_timeout", config.thaw_timeout_usec);
  read_duration(reader, "restore_timeout", config.restore_timeout_usec);
  // PID 1 waits 90 s for the daemon to be ready (TimeoutStartSec=) and kills it then.
  read_duration(reader, "boot_gate", config.boot_gate_usec,
                {60 * usec_per_second, "between 1ms and 1min"});
  read_duration(reader, "claim_timeout", config.claim_timeout_usec);
  read_word(reader, "unclaimed", config.unclaimed);
  read_number(reader, "max_sessions_per_user", 0, most_sessions, config.max_sessions_per_user);
  read_number(reader, "max_descriptors_per_user", 0, most_descriptors,
              config.max_descriptors_per_user);
  read_number(reader, "max_bytes_per_user", 0, most_bytes, config.max_bytes_per_user);
  read_number(reader, "max_clients_per_user", 0, most_clients, config.max_clients_per_user);
  read_number(reader, "max_needs_per_client", 1, most_needs, config.max_needs_per_client);
  reader.optional("socket_group", config.socket_group);
  if (config.socket_group.find_first_of(" \t\n") != std::string::npos) {
    reader.refuse("socket_group", "must be the name or the number of a group, or empty for none");
  }
  read_number(reader, "history_entries", 1, most_history, config.history_entries);
  read_rulings(reader, config.preflight);
  read_hooks(reader, config.hooks);
  read_health(reader, config.health);
  read_watchdog(reader, config.watchdog);
  reader.optional("bless", config.bless);
  read_clients(reader, config.clients);
  refuse_unknown(reader);
  if (reader.error()) return fail_at(lines, *reader.error());
  return config;
}

}  // namespace handover
