// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "support/utf8.h"

namespace handover {
namespace {

using nlohmann::json;

std::string read(const std::string& path) {
  std::ifstream file(HANDOVER_SOURCE_DIR "/" + path);
  EXPECT_TRUE(file) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void expect_refused(std::string_view text, const std::vector<std::string>& words) {
  const auto config = parse_config(text);
  ASSERT_FALSE(config) << text;
  EXPECT_EQ(config.error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(test::is_utf8(config.error().message));
  for (const std::string& word : words) {
    EXPECT_NE(config.error().message.find(word), std::string::npos)
        << "'" << word << "' is not in: " << config.error().message;
  }
}

TEST(Duration, AsSystemdWritesIt) {
  const std::map<std::string, std::uint64_t> cases = {
      {"90", 90'000'000},
      {"0", 0},
      {"500ms", 500'000},
      {"5s", 5'000'000},
      {"2min", 120'000'000},
      {"1h 30min", 5'400'000'000},
      {"1h30min", 5'400'000'000},
      {" 1 h  30 min ", 5'400'000'000},
      {"1d", 86'400'000'000},
      {"1week", 604'800'000'000},
      {"7us", 7},
      {"7µs", 7},
      {"1.5s", 1'500'000},
      {".5s", 500'000},
      {"0.25", 250'000},
      {"1.000001s", 1'000'001},
      {"1.0000019s", 1'000'001},
      {"2 seconds 3 msec", 2'003'000},
      {"18446744073709551615us", UINT64_MAX},
  };
  for (const auto& [text, usec] : cases) {
    const auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
    EXPECT_EQ(*parsed, usec) << text;
  }
}

TEST(Duration, RefusesTheRest) {
  for (const std::string text : {"",
                                 " ",
                                 "s",
                                 "5x",
                                 "-5s",
                                 "+5s",
                                 "5s-",
                                 "1.s",
                                 "1..5s",
                                 "1.5.5s",
                                 ".",
                                 "5 3s",
                                 "5s 3",
                                 "infinity",
                                 "1e3s",
                                 "0x5s",
                                 "18446744073709551616us",
                                 "18446744073709551615s",
                                 "99999999999999999999999999999",
                                 "18446744073709551615us 1us",
                                 "5\xFF",
                                 "5S",
                                 "5 M"}) {
    const auto parsed = parse_duration(text);
    ASSERT_FALSE(parsed) << text << " = " << *parsed;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid_argument);
    EXPECT_TRUE(test::is_utf8(parsed.error().message));
  }
}

TEST(Config, AnEmptyObjectIsTheDefault) { EXPECT_EQ(parse_config("{}").value(), Config{}); }

TEST(Config, TheFileThatIsShippedIsTheDefault) {
  const auto config = parse_config(read("config/handoverd.json"));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(*config, Config{});
}

TEST(Config, EveryFieldIsRead) {
  const auto config = parse_config(R"({
    "$schema": "./handoverd.schema.json",
    "backend": "tracker", "restore_threads": 6, "collapse": false, "mode": "orderly",
    "kernel": "/boot/vmlinuz", "cmdline": "quiet kho=on",
    "prepare_timeout": "2min", "freeze_timeout": "750ms", "thaw_timeout": 7,
    "freeze_budget": "6s", "sync_timeout": "3s", "unclaimed": "keep",
    "max_clients_per_user": 8, "max_needs_per_client": 9,
    "socket_group": "handover",
    "restore_timeout": "8s", "boot_gate": "4s", "claim_timeout": "1h",
    "max_sessions_per_user": 2, "max_descriptors_per_user": 3, "max_bytes_per_user": 4096,
    "history_entries": 5,
    "preflight": {"initrd-missing": "ignore", "modules-missing": "error"},
    "clients": {
      "db": {"prepare_timeout": "10min", "freeze_timeout": 1, "restore_timeout": "3s",
             "required": false, "if_not_frozen": "restore"},
      "Grüße": {}
    }
  })");
  ASSERT_TRUE(config) << config.error().message;
  Config expected;
  expected.backend = Keeper::tracker;
  expected.restore_threads = 6;
  expected.collapse = false;
  expected.mode = Mode::orderly;
  expected.kernel = "/boot/vmlinuz";
  expected.cmdline = "quiet kho=on";
  expected.prepare_timeout_usec = 120'000'000;
  expected.freeze_timeout_usec = 750'000;
  expected.freeze_budget_usec = 6'000'000;
  expected.sync_timeout_usec = 3'000'000;
  expected.thaw_timeout_usec = 7'000'000;
  expected.restore_timeout_usec = 8'000'000;
  expected.boot_gate_usec = 4'000'000;
  expected.claim_timeout_usec = 3'600'000'000;
  expected.unclaimed = Unclaimed::keep;
  expected.max_clients_per_user = 8;
  expected.preflight = {{FindingId::initrd_missing, Ruling::ignore},
                        {FindingId::modules_missing, Ruling::error}};
  expected.max_needs_per_client = 9;
  expected.socket_group = "handover";
  expected.max_sessions_per_user = 2;
  expected.max_descriptors_per_user = 3;
  expected.max_bytes_per_user = 4096;
  expected.history_entries = 5;
  expected.clients["db"] = {600'000'000, 1'000'000, 3'000'000, false, IfNotFrozen::restore};
  expected.clients["Grüße"] = {};
  EXPECT_EQ(*config, expected);
}

TEST(Config, SaysTheLineTheFieldAndWhatIsAllowed) {
  expect_refused("{\n  \"mode\": \"fast\"\n}",
                 {"line 2", "field mode", "\"immediate\"", "\"orderly\"", "'fast'"});
  expect_refused("{\n  \"socket_group\": \"a b\"\n}", {"line 2", "field socket_group", "group"});
  expect_refused("{\n\n  \"backend\": 3\n}", {"line 3", "field backend", "string"});
  expect_refused("{\n  \"clients\": {\n    \"db\": {\n      \"required\": 1\n    }\n  }\n}",
                 {"line 4", "field clients/db/required", "true or false"});
  expect_refused("{\n  \"colapse\": true\n}", {"line 2", "field colapse", "unknown", " collapse "});
  expect_refused("{\n \"clients\": {\"db\": {\n  \"freeze\": 1}}}",
                 {"line 3", "field clients/db/freeze", "unknown", "freeze_timeout"});
  expect_refused("{\n  \"freeze_timeout\": \"5 parsecs\"\n}",
                 {"line 2", "field freeze_timeout", "'parsecs'", "500ms"});
  expect_refused("{\"freeze_timeout\": 0}", {"line 1", "field freeze_timeout", "1ms", "30d"});
  expect_refused("{\"freeze_timeout\": \"31d\"}", {"between 1ms and 30d"});
  expect_refused("{\"freeze_timeout\": 18446744073709551615}", {"between 1ms and 30d"});
  expect_refused("{\"boot_gate\": \"61s\"}", {"field boot_gate", "between 1ms and 1min"});
  expect_refused("{\"unclaimed\": \"drop\"}", {"field unclaimed", "\"free\" \"keep\"", "'drop'"});
  expect_refused("{\n\"clients\": {\"db\": {\"if_not_frozen\": \"maybe\"}}}",
                 {"line 2", "clients/db/if_not_frozen", "\"discard\" \"restore\"", "'maybe'"});
  expect_refused("{\"freeze_timeout\": -1}", {"freeze_timeout", "duration"});
  expect_refused("{\"freeze_timeout\": 0.5}", {"freeze_timeout", "duration"});
  expect_refused("{\"restore_threads\": 65}", {"field restore_threads", "between 0 and 64"});
  expect_refused("{\"backend\": \"disk\"}", {"field backend", "\"tracker\"", "'disk'"});
  expect_refused("{\"cmdline\": \"root=/dev/vda1\\u0000 quiet\"}", {"field cmdline", "NUL"});
  expect_refused("{\"kernel\": \"vmlinuz\"}", {"field kernel", "absolute"});
  expect_refused("{\"clients\": {\"a/b\": {}}}", {"field clients/a~1b", "'/'"});
  expect_refused("{\"preflight\": []}", {"field preflight", "object"});
  expect_refused("{\"preflight\": {\"initrd\": \"ignore\"}}",
                 {"field preflight/initrd", "no finding", "'initrd-missing'"});
  expect_refused("{\"preflight\": {\"kho-off\": \"fact\"}}",
                 {"field preflight/kho-off", "'ignore'"});
  expect_refused("{\"preflight\": {\"kho-off\": 1}}", {"field preflight/kho-off", "'warning'"});
  expect_refused("{\"clients\": []}", {"field clients", "object"});
  expect_refused("{\"clients\": {\"db\": 1}}", {"field clients/db", "object"});
}

TEST(Config, AFieldThatIsThereTwiceIsRefused) {
  expect_refused("{\n\"mode\": \"orderly\",\n\"mode\": \"immediate\"\n}", {"field mode", "twice"});
}

TEST(Config, WhatIsNoJsonIsRefusedWithItsLine) {
  expect_refused("", {"line 1"});
  expect_refused("{\n  \"mode\": \"orderly\",\n}", {"line 3"});
  expect_refused("[]", {"object"});
  expect_refused("null", {"object"});
  expect_refused("{\"mode\": \"\xFF\"}", {"line 1"});
}

TEST(Config, CutAnywhereItIsRefused) {
  std::string text = read("config/handoverd.json");
  while (text.back() == '\n') text.pop_back();
  for (std::size_t length = 0; length < text.size(); ++length) {
    ASSERT_FALSE(parse_config(text.substr(0, length))) << length;
  }
}

TEST(Config, HasAHealthCommand) {
  const auto config =
      parse_config(R"({"health": {"command": ["/bin/sh", "-c", "exit 0"], "timeout": "2min"}})");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->health.command, (std::vector<std::string>{"/bin/sh", "-c", "exit 0"}));
  EXPECT_EQ(config->health.timeout_usec, 120'000'000U);
  EXPECT_TRUE(parse_config(R"({"health": {"command": []}})")->health.command.empty());
  for (const char* wrong :
       {R"({"health": []})", R"({"health": {"command": "true"}})",
        R"({"health": {"command": ["true"]}})", R"({"health": {"command": [1]}})",
        R"({"health": {"command": ["/bin/a", "b\u0000"]}})", R"({"health": {"timeout": 0}})",
        R"({"health": {"timeout_ms": 5}})"}) {
    const auto refused = parse_config(wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_NE(refused.error().message.find("field health"), std::string::npos)
        << refused.error().message;
  }
  std::string many = R"("/bin/a")";
  for (int i = 0; i < 64; ++i) many += R"(, "b")";
  EXPECT_FALSE(parse_config(R"({"health": {"command": [)" + many + "]}}"));
}

TEST(Config, HasAWatchdog) {
  const auto config = parse_config(R"({"watchdog": {"device": "/dev/watchdog0", "timeout": 90}})");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->watchdog.device, "/dev/watchdog0");
  EXPECT_EQ(config->watchdog.timeout_usec, 90'000'000U);
  EXPECT_EQ(parse_config("{}")->watchdog.device, "");
  for (const char* wrong : {R"({"watchdog": true})", R"({"watchdog": {"device": "watchdog0"}})",
                            R"({"watchdog": {"device": 0}})", R"({"watchdog": {"timeout": 0}})",
                            R"({"watchdog": {"time": "5s"}})"}) {
    const auto refused = parse_config(wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_NE(refused.error().message.find("field watchdog"), std::string::npos)
        << refused.error().message;
  }
}

// The schema and the parser ---------------------------------------------------------------------

/// The names that the parser lists when it meets an unknown one.
std::set<std::string> fields_of(const std::string& text_with_unknown) {
  const auto config = parse_config(text_with_unknown);
  EXPECT_FALSE(config);
  const std::string marker = "the fields are ";
  const auto at = config.error().message.find(marker);
  EXPECT_NE(at, std::string::npos) << config.error().message;
  std::istringstream words(config.error().message.substr(at + marker.size()));
  std::set<std::string> names;
  for (std::string word; words >> word;) names.insert(word);
  return names;
}

std::set<std::string> keys(const json& object) {
  std::set<std::string> names;
  for (const auto& [name, value] : object.items()) names.insert(name);
  return names;
}

json schema() { return json::parse(read("config/handoverd.schema.json")); }

TEST(Schema, KnowsTheSameFieldsAsTheParser) {
  const json all = schema();
  EXPECT_EQ(keys(all["properties"]), fields_of(R"({"no such field": 1})"));
  EXPECT_EQ(keys(all["$defs"]["client"]["properties"]),
            fields_of(R"({"clients": {"x": {"no such field": 1}}})"));
  EXPECT_EQ(keys(all["properties"]["hooks"]["properties"]),
            fields_of(R"({"hooks": {"no such field": 1}})"));
  EXPECT_EQ(all["properties"]["hooks"]["additionalProperties"], false);
  EXPECT_EQ(all["additionalProperties"], false);
  EXPECT_EQ(all["$defs"]["client"]["additionalProperties"], false);
}

TEST(Schema, DescribesEveryFieldAndKnowsItsDefault) {
  const json shipped = json::parse(read("config/handoverd.json"));
  const json all = schema();
  for (const auto& [name, property] : all["properties"].items()) {
    EXPECT_FALSE(property.value("description", "").empty()) << name;
    ASSERT_TRUE(property.contains("default")) << name;
    const auto config = parse_config(json{{name, property["default"]}}.dump());
    ASSERT_TRUE(config) << name << ": " << config.error().message;
    EXPECT_EQ(*config, Config{}) << name;
    if (name != "$schema") {
      EXPECT_EQ(shipped.at(name), property["default"]) << name;
    }
  }
}

TEST(Schema, HasTheSameFieldsAndDefaultsAsTheOperatorsGuide) {
  std::istringstream guide(read("docs/operating.md"));
  std::map<std::string, json> documented;
  bool in_table = false;
  for (std::string line; std::getline(guide, line);) {
    if (line.starts_with("| field | default |")) in_table = true;
    if (!line.starts_with("|")) in_table = false;
    // "| `name` | `default` | …"
    std::vector<std::string> quoted;
    for (std::size_t at = 0; in_table && quoted.size() < 2;) {
      const auto begin = line.find('`', at);
      const auto end = begin == std::string::npos ? begin : line.find('`', begin + 1);
      if (end == std::string::npos) break;
      quoted.push_back(line.substr(begin + 1, end - begin - 1));
      at = end + 1;
    }
    if (quoted.size() == 2) documented[quoted[0]] = json::parse(quoted[1]);
  }
  std::map<std::string, json> known;
  const json all = schema();
  for (const auto& [name, property] : all["properties"].items()) {
    if (name != "$schema") known[name] = property["default"];
  }
  EXPECT_EQ(documented, known);
}

TEST(Schema, AllowsWhatTheParserAllows) {
  std::size_t tried = 0;
  const auto accepts = [&tried](const std::string& name, const json& value) {
    ++tried;
    return parse_config(json{{name, value}}.dump()).has_value();
  };
  const json all = schema();
  for (const auto& [name, property] : all["properties"].items()) {
    if (property.contains("enum")) {
      for (const json& value : property["enum"]) EXPECT_TRUE(accepts(name, value)) << value;
      EXPECT_FALSE(accepts(name, "something else")) << name;
    }
    json range = property;
    if (property.contains("$ref")) {
      const std::string prefix = "#/$defs/";
      const auto reference = property["$ref"].get<std::string>();
      ASSERT_TRUE(reference.starts_with(prefix) && reference.ends_with("duration")) << name;
      range = all["$defs"][reference.substr(prefix.size())]["oneOf"][1];
    }
    const std::string type = range.value("type", "");
    if (type == "integer") {
      const auto least = range["minimum"].get<std::uint64_t>();
      const auto most = range["maximum"].get<std::uint64_t>();
      EXPECT_TRUE(accepts(name, least)) << name;
      EXPECT_TRUE(accepts(name, most)) << name;
      EXPECT_FALSE(accepts(name, static_cast<std::int64_t>(least) - 1)) << name;
      EXPECT_FALSE(accepts(name, most + 1)) << name;
      EXPECT_FALSE(accepts(name, true)) << name;
    } else if (type == "boolean") {
      EXPECT_TRUE(accepts(name, true)) << name;
      EXPECT_TRUE(accepts(name, false)) << name;
      EXPECT_FALSE(accepts(name, "true")) << name;
    } else if (type == "string") {
      EXPECT_TRUE(accepts(name, "/x")) << name;
      EXPECT_FALSE(accepts(name, 1)) << name;
    }
    EXPECT_FALSE(accepts(name, nullptr)) << name;
  }
  EXPECT_GT(tried, 60U);
}

}  // namespace
}  // namespace handover
