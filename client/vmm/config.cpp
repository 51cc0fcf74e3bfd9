// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config.h"

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "common/file.h"
#include "common/name.h"
#include "fields.h"

namespace handover::vmm {
namespace {

constexpr std::uint64_t mebibyte = 1 << 20;
constexpr std::uint64_t gibibyte = 1 << 30;

client::Result<nlohmann::json> parse_json(const std::string& text, const std::string& file) {
  try {
    return nlohmann::json::parse(text, nullptr, true, true);
  } catch (const nlohmann::json::parse_error& error) {
    const auto end = text.begin() + static_cast<std::ptrdiff_t>(std::min(error.byte, text.size()));
    const auto line = 1 + std::count(text.begin(), end, '\n');
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error …"
    const std::string what = error.what();
    const auto colon = what.find(": ");
    return client::Error{"",
                         file + ":" + std::to_string(line) + ": no valid JSON: " +
                             (colon == std::string::npos ? what : what.substr(colon + 2)) + ".",
                         EINVAL};
  }
}

client::Result<void> take_limits(const nlohmann::json& object, const std::string& file,
                                 Limits* limits) {
  Fields fields(object, file + ": limits");
  fields.seconds("start", &limits->start);
  fields.seconds("command", &limits->command);
  fields.seconds("prepare", &limits->prepare);
  fields.seconds("freeze", &limits->freeze);
  fields.seconds("restore", &limits->restore);
  fields.seconds("shutdown", &limits->shutdown);
  return fields.end();
}

void check_memory(Fields& fields, const Config& config) {
  if (config.hugepages != 0 && config.hugepages != 2 * mebibyte && config.hugepages != gibibyte) {
    fields.refuse("hugepages", R"(must be "2M" or "1G".)");
  }
  const std::uint64_t unit = std::max(config.hugepages, mebibyte);
  if (config.memory % unit != 0) {
    fields.refuse("memory", "must be a multiple of " + std::to_string(unit / mebibyte) + " MiB.");
  }
  // The least that a QEMU's description and the smallest machine's state need.
  if (config.state < mebibyte || config.state % mebibyte != 0) {
    fields.refuse("state", "must be a multiple of 1 MiB.");
  }
}

void check_backend(Fields& fields, Config* config) {
  if (config->backend == "auto") config->backend.clear();
  if (!config->backend.empty() && config->backend != "luo" && config->backend != "tracker") {
    fields.refuse("backend", R"(must be "auto", "luo" or "tracker".)");
  }
  if (config->backend == "luo" && config->hugepages != 0) {
    fields.refuse("backend", R"(must be "auto" or "tracker": LUO does not keep huge pages.)");
  }
}

}  // namespace

client::Result<Config> parse_config(const std::string& text, const std::string& file) {
  auto json = parse_json(text, file);
  if (!json) return json.error();
  Config config;
  Fields fields(*json, file);
  fields.text("qemu", &config.qemu);
  fields.texts("arguments", &config.arguments);
  fields.size("memory", &config.memory, true);
  fields.size("hugepages", &config.hugepages);
  fields.size("state", &config.state);
  fields.text("backend", &config.backend);
  fields.texts("needs", &config.needs);
  fields.boolean("optional", &config.optional);
  const auto* limits = fields.object("limits");

  check_memory(fields, config);
  check_backend(fields, &config);
  for (const auto& need : config.needs) {
    if (auto name = common::check_name(need); !name) {
      fields.refuse("needs", "is wrong: " + name.error().message);
    }
  }
  if (auto arguments = check_arguments(config.arguments); !arguments) {
    fields.refuse("arguments", arguments.error().message);
  }
  if (auto end = fields.end(); !end) return end.error();
  if (limits) {
    if (auto taken = take_limits(*limits, file, &config.limits); !taken) return taken.error();
  }
  return config;
}

client::Result<Config> read_config(const std::string& file) {
  auto text = common::read_file(file);
  if (!text) return text.error();
  return parse_config(*text, file);
}

}  // namespace handover::vmm
