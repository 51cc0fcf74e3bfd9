// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fleet/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "fleet/options.h"

namespace handover::fleet {
namespace {

using nlohmann::json;

std::string refused(const std::string& text) {
  auto config = parse_config(text, "f.json");
  return config ? "" : config.error().message;
}

constexpr const char* everything = R"({
  "$schema": "fleet.schema.json",
  "windows": [{"calendar": "Sat 02:00", "timezone": "Europe/Berlin", "length-seconds": 14400}],
  "must-end-within": true, "expected-seconds": 300,
  "lock": {"kind": "etcd", "endpoints": ["https://e1:2379/", "https://e2:2379"],
           "prefix": "/x/", "group": "web", "slots": 3, "id": "me", "wait-seconds": 60,
           "ca": "/ca", "certificate": "/c", "key": "/k", "token-file": "/t", "proxy": "none",
           "timeout-seconds": 2},
  "health": {"before": [{"unit": "nginx.service"}],
             "after": [{"command": ["/bin/check", "a"], "timeout-seconds": 5, "retries": 3,
                        "retry-seconds": 1}]},
  "people": {"message": "soon", "delay-seconds": 120, "inhibitors": false}
})";

TEST(FleetConfig, DefaultsAndAll) {
  auto least = parse_config("{}", "f.json");
  ASSERT_TRUE(least) << least.error().message;
  EXPECT_TRUE(least->windows.list.empty());
  EXPECT_EQ(least->lock.kind, LockKind::none);
  EXPECT_TRUE(least->people.inhibitors);

  auto all = parse_config(everything, "f.json");
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->windows.list.front().calendar, "Sat 02:00 Europe/Berlin");
  EXPECT_EQ(all->windows.list.front().length_usec, 14'400'000'000U);
  EXPECT_TRUE(all->windows.must_end_within);
  EXPECT_EQ(all->windows.expected_usec, 300'000'000U);
  EXPECT_EQ(all->lock.kind, LockKind::etcd);
  EXPECT_EQ(all->lock.urls, (std::vector<std::string>{"https://e1:2379", "https://e2:2379"}));
  EXPECT_EQ(all->lock.prefix, "/x");
  EXPECT_EQ(all->lock.slots, 3U);
  EXPECT_EQ(all->lock.access.timeout_usec, 2'000'000U);
  EXPECT_EQ(all->health.before.front().what(), "unit nginx.service");
  EXPECT_EQ(all->health.after.front().what(), "command /bin/check");
  EXPECT_EQ(longest_usec(all->health.after), 23'000'000U);
  EXPECT_FALSE(all->people.inhibitors);

  auto fleetlock = parse_config(
      R"({"lock": {"kind": "fleetlock", "url": "http://127.0.0.1:1/base/"}})", "f.json");
  ASSERT_TRUE(fleetlock) << fleetlock.error().message;
  EXPECT_EQ(fleetlock->lock.urls.front(), "http://127.0.0.1:1/base");
  EXPECT_EQ(fleetlock->lock.group, "default");
}

TEST(FleetConfig, AWrongFieldIsNamedInOneLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "f.json: the document must be an object, { … }"},
      {"{\n x", "f.json:2: no valid JSON"},
      {R"({"window": 1})", "f.json: /window is unknown here: known are "},
      {R"({"windows": [{"length-seconds": 1}]})", "f.json: /windows/0/calendar is missing"},
      {R"({"windows": [{"calendar": "Sat"}]})", "f.json: /windows/0/length-seconds is missing"},
      {R"({"windows": [{"calendar": "Sat", "length-seconds": 0}]})",
       "f.json: /windows/0/length-seconds must be a number of seconds"},
      {R"({"windows": [{"calendar": "Sat", "length-seconds": 1, "timezone": "a b"}]})",
       "f.json: /windows/0/timezone must be a time zone's name"},
      {R"({"lock": {}})", "f.json: /lock/kind is missing"},
      {R"({"lock": {"kind": "consul"}})", "f.json: /lock/kind must be etcd or fleetlock"},
      {R"({"lock": {"kind": "etcd"}})", "f.json: /lock/endpoints must have at least one"},
      {R"({"lock": {"kind": "etcd", "endpoints": ["e1:2379"]}})",
       "f.json: /lock/endpoints must begin with http:// or https:// and a host"},
      {R"({"lock": {"kind": "etcd", "endpoints": ["https://e", "https://me:s3cret@e"]}})",
       "f.json: /lock/endpoints must begin with http:// or https:// and a host, without a user"},
      {R"({"lock": {"kind": "fleetlock", "url": "https://me:s3cret@f"}})",
       "f.json: /lock/url must begin with http:// or https:// and a host, without a user"},
      {R"({"lock": {"kind": "fleetlock", "url": "http://f", "token-file": "/t"}})",
       "f.json: /lock/token-file must not go over http://, where others can read it: use https://"},
      {R"({"lock": {"kind": "etcd", "endpoints": ["https://e", "http://127.0.0.1.example:2379"],
                    "token-credential": "t"}})",
       "f.json: /lock/token-credential must not go over http://"},
      {R"({"lock": {"kind": "etcd", "endpoints": ["http://e"], "prefix": "x"}})",
       "f.json: /lock/prefix must begin with a '/'"},
      {R"({"lock": {"kind": "etcd", "endpoints": ["http://e"], "slots": 0}})",
       "f.json: /lock/slots must be a whole number from 1 to 10000"},
      {R"({"lock": {"kind": "etcd", "endpoints": ["http://e"], "group": "a/b"}})",
       "f.json: /lock/group must have letters, digits, '-', '_' and '.' only, 128 at most"},
      {R"({"lock": {"kind": "fleetlock", "url": "http://f", "slots": 2}})",
       "f.json: /lock/slots is unknown here"},
      {R"({"lock": {"kind": "fleetlock", "url": "ftp://f"}})", "f.json: /lock/url must begin with"},
      {R"({"lock": {"kind": "fleetlock", "url": "http://f", "ca": "ca.pem"}})",
       "f.json: /lock/ca must be an absolute path"},
      {R"({"lock": {"kind": "fleetlock", "url": "http://f", "key": "/k"}})",
       "f.json: /lock/certificate is missing: certificate and key go together"},
      {R"({"lock": {"kind": "fleetlock", "url": "http://f", "token-file": "/t",
                    "token-credential": "t"}})",
       "f.json: /lock/token-credential must not be given with \"token-file\""},
      {R"({"health": {"after": [{}]}})",
       "f.json: /health/after/0/command or \"unit\" must be given"},
      {R"({"health": {"after": [{"command": ["true"]}]}})",
       "f.json: /health/after/0/command must begin with a program's absolute path"},
      {R"({"health": {"after": [{"unit": "nginx"}]}})",
       "f.json: /health/after/0/unit must be a unit's whole name"},
      {R"({"health": {"after": [{"unit": "a.service", "retries": 5, "timeout-seconds": 900}]}})",
       "f.json: /health/after may take 5425 s in all: it must end within 3540 s"},
      {R"({"people": {"message": "a\nb"}})", "f.json: /people/message must be one line"},
  };
  for (const auto& [text, expected] : cases) {
    const auto said = refused(text);
    EXPECT_EQ(said.substr(0, std::string_view(expected).size()), expected) << text;
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
    EXPECT_EQ(said.find("s3cret"), std::string::npos) << said;
  }
  for (const char* url : {"https://f", "http://localhost:1", "http://127.0.0.1",
                          "http://127.1.2.3/x", "http://[::1]:2379"}) {
    const json config = {{"lock", {{"kind", "fleetlock"}, {"url", url}, {"token-file", "/t"}}}};
    EXPECT_EQ(refused(config.dump()), "") << url;
  }
}

/// The schema is for people and editors: it names what the parser takes, and nothing else.
void collect(const json& schema, const json& root, const std::string& path,
             std::set<std::string>& fields) {
  if (schema.contains("$ref")) {
    const auto reference = schema["$ref"].get<std::string>().substr(1);
    return collect(root.at(json::json_pointer(reference)), root, path, fields);
  }
  if (schema.contains("items")) collect(schema["items"], root, path, fields);
  if (!schema.contains("properties")) return;
  EXPECT_EQ(schema.value("additionalProperties", true), false) << path;
  for (const auto& [name, property] : schema["properties"].items()) {
    fields.insert(path + "/" + name);
    EXPECT_TRUE(property.contains("description") || property.contains("$ref")) << path << name;
    collect(property, root, path + "/" + name, fields);
  }
}

void collect(const json& document, const std::string& path, std::set<std::string>& fields) {
  if (document.is_array()) {
    for (const auto& item : document) collect(item, path, fields);
  }
  if (!document.is_object()) return;
  for (const auto& [name, value] : document.items()) {
    fields.insert(path + "/" + name);
    collect(value, path + "/" + name, fields);
  }
}

TEST(FleetConfig, TheSchemaHasWhatTheParserTakes) {
  std::ifstream file(HANDOVER_SOURCE_DIR "/config/fleet.schema.json");
  const auto schema = json::parse(file);
  std::set<std::string> named;
  collect(schema, schema, "", named);
  std::set<std::string> taken;
  collect(json::parse(everything), "", taken);
  taken.insert({"/lock/url", "/lock/token-credential", "/health/before/command",
                "/health/before/timeout-seconds", "/health/before/retries",
                "/health/before/retry-seconds", "/health/after/unit"});
  EXPECT_EQ(named, taken);
}

TEST(FleetConfig, ItsExampleIsGood) {
  auto example = read_config(HANDOVER_SOURCE_DIR "/config/fleet.json.example");
  EXPECT_TRUE(example) << example.error().message;
}

TEST(FleetOptions, EachCommand) {
  const auto parsed = [](std::vector<std::string> arguments) {
    auto options = parse_options(arguments);
    EXPECT_TRUE(options) << options.error().message;
    return *options;
  };
  EXPECT_EQ(std::get<RunOptions>(parsed({"run"})).config, "/etc/handover/fleet.json");
  EXPECT_EQ(std::get<CheckOptions>(parsed({"check", "x"})).config, "x");
  EXPECT_TRUE(std::get<StatusOptions>(parsed({"status", "--json"})).json);
  EXPECT_EQ(std::get<ReleaseOptions>(parsed({"release"})).name, "fleet");
  EXPECT_EQ(std::get<ListOptions>(parsed({"lock", "list", "--config", "y"})).config, "y");
  EXPECT_EQ(std::get<BreakOptions>(parsed({"lock", "break", "2"})).slot, "2");
  for (const std::vector<std::string>& bad : {std::vector<std::string>{},
                                              {"go"},
                                              {"lock"},
                                              {"lock", "break"},
                                              {"run", "--name", "a/b"}}) {
    EXPECT_FALSE(parse_options(bad));
  }
}

}  // namespace
}  // namespace handover::fleet
