// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>

#include "common/fields.h"
#include "common/file.h"

namespace handover::fleet {
namespace {

using common::Fields;

constexpr std::uint64_t most_slots = 10'000;
constexpr std::uint64_t most_retries = 1000;
constexpr std::uint64_t longest_after_usec = 3'540'000'000;
constexpr std::uint64_t default_expected_usec = 600'000'000;

bool is_absolute(const std::string& path) { return path.starts_with('/'); }

/// What may stand in a key, a URL and a line of a log at once.
bool is_word(const std::string& text) {
  return text.size() <= 128 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

constexpr std::string_view plain_http = "http://";

/// Without a user and a password: it stands in logs and vetoes.
bool is_http_url(const std::string& url) {
  for (const std::string_view scheme : {plain_http, std::string_view("https://")}) {
    if (url.starts_with(scheme) && url.size() > scheme.size() && url[scheme.size()] != '/') {
      return url.find_first_of(" \t\r\n?#@") == std::string::npos;
    }
  }
  return false;
}

/// Whether what goes there can be read on a network.
bool is_in_the_clear(const std::string& url) {
  if (!url.starts_with(plain_http)) return false;
  const auto rest = url.substr(plain_http.size());
  if (rest.starts_with("[::1]")) return false;
  const auto host = rest.substr(0, rest.find_first_of(":/"));
  in_addr address = {};
  const bool is_address = inet_pton(AF_INET, host.c_str(), &address) == 1;
  return host != "localhost" &&
         (!is_address || ntohl(address.s_addr) >> IN_CLASSA_NSHIFT != IN_LOOPBACKNET);
}

void refuse_url(Fields& fields, std::string_view name) {
  fields.refuse(name,
                "must begin with http:// or https:// and a host, without a user and a password "
                "(\"token-file\" is for those)");
}

void trim_slashes(std::string& text) {
  while (text.size() > 1 && text.back() == '/') text.pop_back();
}

client::Result<Window> parse_window(Fields fields) {
  Window window;
  std::string zone;
  fields.take("calendar", window.calendar, true);
  fields.take("timezone", zone);
  if (!fields.take_seconds("length-seconds", window.length_usec) && window.length_usec == 0) {
    fields.refuse("length-seconds", "is missing: it must be a number of seconds, at most 86400");
  }
  if (zone.find_first_of(" \t\n") != std::string::npos) {
    fields.refuse("timezone", "must be a time zone's name as \"Europe/Berlin\"");
  }
  if (!zone.empty()) window.calendar += " " + zone;
  if (auto done = fields.finish(); !done) return done.error();
  return window;
}

client::Result<Check> parse_check(Fields fields) {
  Check check;
  fields.take("command", check.command);
  fields.take("unit", check.unit);
  fields.take_seconds("timeout-seconds", check.timeout_usec);
  fields.take_count("retries", check.retries, 0, most_retries);
  fields.take_seconds("retry-seconds", check.retry_usec);
  if (check.command.empty() == check.unit.empty()) {
    fields.refuse("command", R"(or "unit" must be given, one of them)");
  } else if (check.unit.empty() && !is_absolute(check.command.front())) {
    fields.refuse("command", "must begin with a program's absolute path");
  } else if (!check.unit.empty() &&
             (check.unit.front() == '-' || check.unit.find('.') == std::string::npos ||
              check.unit.find_first_of(" \t\n/*?[") != std::string::npos)) {
    fields.refuse("unit", "must be a unit's whole name as \"nginx.service\"");
  }
  if (auto done = fields.finish(); !done) return done.error();
  return check;
}

client::Result<std::vector<Check>> parse_checks(Fields& fields, std::string_view name) {
  std::vector<Check> checks;
  for (auto& object : fields.take_objects(name)) {
    auto check = parse_check(std::move(object));
    if (!check) return check.error();
    checks.push_back(std::move(*check));
  }
  return checks;
}

client::Result<Health> parse_health(Fields fields) {
  Health health;
  auto before = parse_checks(fields, "before");
  if (!before) return before.error();
  health.before = std::move(*before);
  auto after = parse_checks(fields, "after");
  if (!after) return after.error();
  health.after = std::move(*after);
  // Restore's answer waits for it.
  if (const auto longest = longest_usec(health.after); longest > longest_after_usec) {
    fields.refuse("after", "may take " + std::to_string(longest / 1'000'000) +
                               " s in all: it must end within " +
                               std::to_string(longest_after_usec / 1'000'000) + " s");
  }
  if (auto done = fields.finish(); !done) return done.error();
  return health;
}

client::Result<People> parse_people(Fields fields) {
  People people;
  fields.take("message", people.message);
  fields.take_seconds("delay-seconds", people.delay_usec);
  fields.take("inhibitors", people.inhibitors);
  if (std::any_of(people.message.begin(), people.message.end(),
                  [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    fields.refuse("message", "must be one line of text without control characters");
  }
  if (auto done = fields.finish(); !done) return done.error();
  return people;
}

void parse_access(Fields& fields, Access& access) {
  const auto path = [&](const char* name, std::string& out) {
    if (fields.take(name, out) && !is_absolute(out)) {
      fields.refuse(name, "must be an absolute path");
    }
  };
  path("ca", access.ca);
  path("certificate", access.certificate);
  path("key", access.key);
  path("token-file", access.token_file);
  fields.take("token-credential", access.token_credential);
  fields.take("proxy", access.proxy);
  fields.take_seconds("timeout-seconds", access.timeout_usec);
  if (access.certificate.empty() != access.key.empty()) {
    fields.refuse(access.key.empty() ? "key" : "certificate",
                  "is missing: certificate and key go together");
  }
  if (!access.token_file.empty() && !access.token_credential.empty()) {
    fields.refuse("token-credential", "must not be given with \"token-file\"");
  }
  if (!is_word(access.token_credential)) {
    fields.refuse("token-credential", "must be the name of a credential of the unit");
  }
}

void parse_etcd(Fields& fields, Lock& lock) {
  fields.take("endpoints", lock.urls);
  if (lock.urls.empty()) {
    fields.refuse("endpoints", R"(must have at least one, as ["https://etcd-1:2379"])");
  }
  for (auto& url : lock.urls) {
    trim_slashes(url);
    if (!is_http_url(url)) refuse_url(fields, "endpoints");
  }
  if (fields.take("prefix", lock.prefix)) trim_slashes(lock.prefix);
  if (!is_absolute(lock.prefix) || lock.prefix.size() < 2 || lock.prefix.size() > 256) {
    fields.refuse("prefix", R"(must begin with a '/' and a name, as "/handover/fleet")");
  }
  fields.take_count("slots", lock.slots, 1, most_slots);
}

void parse_fleetlock(Fields& fields, Lock& lock) {
  std::string url;
  if (!fields.take("url", url, true)) return;
  trim_slashes(url);
  if (!is_http_url(url)) refuse_url(fields, "url");
  lock.urls = {url};
}

client::Result<Lock> parse_lock(Fields fields) {
  Lock lock;
  std::string kind;
  if (fields.take("kind", kind, true)) {
    if (kind == "etcd") {
      lock.kind = LockKind::etcd;
      parse_etcd(fields, lock);
    } else if (kind == "fleetlock") {
      lock.kind = LockKind::fleetlock;
      parse_fleetlock(fields, lock);
    } else {
      fields.refuse("kind", "must be etcd or fleetlock");
    }
  }
  fields.take("group", lock.group);
  if (!is_word(lock.group)) {
    fields.refuse("group", "must have letters, digits, '-', '_' and '.' only, 128 at most");
  }
  fields.take("id", lock.id);
  if (!is_word(lock.id)) {
    fields.refuse("id", "must have letters, digits, '-', '_' and '.' only, 128 at most");
  }
  fields.take_seconds("wait-seconds", lock.wait_usec);
  parse_access(fields, lock.access);
  const auto* const token = !lock.access.token_file.empty()         ? "token-file"
                            : !lock.access.token_credential.empty() ? "token-credential"
                                                                    : nullptr;
  if (token != nullptr && std::any_of(lock.urls.begin(), lock.urls.end(), is_in_the_clear)) {
    fields.refuse(token, "must not go over http://, where others can read it: use https://");
  }
  if (auto done = fields.finish(); !done) return done.error();
  return lock;
}

client::Result<void> parse_parts(Fields& fields, Config& config) {
  for (auto& object : fields.take_objects("windows")) {
    auto window = parse_window(std::move(object));
    if (!window) return window.error();
    config.windows.list.push_back(std::move(*window));
  }
  config.windows.expected_usec = default_expected_usec;
  fields.take("must-end-within", config.windows.must_end_within);
  fields.take_seconds("expected-seconds", config.windows.expected_usec);
  if (auto object = fields.take_object("lock")) {
    auto lock = parse_lock(std::move(*object));
    if (!lock) return lock.error();
    config.lock = std::move(*lock);
  }
  if (auto object = fields.take_object("health")) {
    auto health = parse_health(std::move(*object));
    if (!health) return health.error();
    config.health = std::move(*health);
  }
  if (auto object = fields.take_object("people")) {
    auto people = parse_people(std::move(*object));
    if (!people) return people.error();
    config.people = std::move(*people);
  }
  return {};
}

}  // namespace

const char* to_string(LockKind kind) {
  switch (kind) {
    case LockKind::none:
      return "none";
    case LockKind::fleetlock:
      return "fleetlock";
    case LockKind::etcd:
      return "etcd";
  }
  return "";
}

std::string describe(const LockPlace& place) {
  if (place.kind == LockKind::none) return "no lock";
  std::string text = to_string(place.kind);
  for (const auto& url : place.urls) text += (&url == &place.urls.front() ? " at " : ", ") + url;
  text += ", group " + place.group;
  return place.kind == LockKind::etcd ? text + " below " + place.prefix : text;
}

Lock Lock::at(const LockPlace& place) const {
  auto lock = *this;
  lock.kind = place.kind;
  lock.urls = place.urls;
  lock.group = place.group;
  lock.prefix = place.prefix;
  return lock;
}

std::string Check::what() const {
  return unit.empty() ? "command " + command.front() : "unit " + unit;
}

client::Result<Config> parse_config(std::string_view text, const std::string& file) {
  auto document = Fields::parse(text, file);
  if (!document) return document.error();
  auto& fields = *document;
  Config config;
  std::string schema;
  fields.take("$schema", schema);
  if (auto parts = parse_parts(fields, config); !parts) return parts.error();
  if (auto done = fields.finish(); !done) return done.error();
  return config;
}

client::Result<Config> read_config(const std::string& file) {
  auto text = common::read_file(file);
  if (!text) return text.error();
  return parse_config(*text, file);
}

std::uint64_t longest_usec(const std::vector<Check>& checks) {
  std::uint64_t sum = 0;
  for (const auto& check : checks) {
    sum += (check.retries + 1) * check.timeout_usec + check.retries * check.retry_usec;
  }
  return sum;
}

}  // namespace handover::fleet
