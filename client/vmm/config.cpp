// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config.h"

#include <algorithm>
#include <utility>

#include "argument_list.h"
#include "arguments.h"
#include "common/fields.h"
#include "common/file.h"
#include "common/name.h"

namespace handover::vmm {
namespace {

using common::Fields;

constexpr std::uint64_t mebibyte = 1 << 20;
constexpr std::uint64_t gibibyte = 1 << 30;

client::Result<void> take_limits(Fields fields, Limits* limits) {
  fields.take_seconds("start", limits->start);
  fields.take_seconds("command", limits->command);
  fields.take_seconds("prepare", limits->prepare);
  fields.take_seconds("freeze", limits->freeze);
  fields.take_seconds("restore", limits->restore);
  fields.take_seconds("shutdown", limits->shutdown);
  return fields.finish();
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

void take_wait_for(Fields& fields, Config* config) {
  std::vector<std::string> texts;
  fields.take("wait-for", texts);
  auto wanted = common::parse_wait_for(texts);
  if (wanted) {
    config->wait_for = std::move(*wanted);
  } else {
    fields.refuse("wait-for", "is wrong: " + wanted.error().message);
  }
}

void check_user(Fields& fields, const Config& config) {
  if (config.user.empty() && !config.group.empty()) {
    fields.refuse("group", R"(is of no use without "user".)");
  }
  for (const auto& [option, value] : split_arguments(config.arguments)) {
    const bool changes = option == "runas" ||
                         (option == "run-with" && !value_of(split_value(value), "user").empty());
    if (changes && !config.user.empty()) {
      fields.refuse("arguments", "may not hold '-" + option + R"(' beside "user".)");
    }
  }
}

client::Result<void> take_helpers(std::vector<Fields> objects, Config* config) {
  for (auto& fields : objects) {
    std::vector<std::string> command;
    fields.take("command", command);
    if (command.empty() || command.front().empty()) {
      fields.refuse("command", R"(must be a program and its arguments, ["…", "…"])");
    }
    if (auto done = fields.finish(); !done) return done;
    config->helpers.push_back(std::move(command));
  }
  return {};
}

}  // namespace

client::Result<Config> parse_config(const std::string& text, const std::string& file) {
  auto document = Fields::parse(text, file);
  if (!document) return document.error();
  auto& fields = *document;
  Config config;
  fields.take("qemu", config.qemu);
  fields.take("arguments", config.arguments);
  fields.take_size("memory", config.memory, true);
  fields.take_size("hugepages", config.hugepages);
  fields.take_size("state", config.state);
  fields.take("backend", config.backend);
  fields.take("needs", config.needs);
  fields.take("optional", config.optional);
  fields.take("user", config.user);
  fields.take("group", config.group);
  fields.take("guest-agent", config.guest_agent);
  take_wait_for(fields, &config);
  auto helpers = fields.take_objects("helpers");
  auto limits = fields.take_object("limits");

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
  check_user(fields, config);
  if (auto done = fields.finish(); !done) return done.error();
  if (auto taken = take_helpers(std::move(helpers), &config); !taken) return taken.error();
  if (limits) {
    if (auto taken = take_limits(std::move(*limits), &config.limits); !taken) return taken.error();
  }
  return config;
}

client::Result<Config> read_config(const std::string& file) {
  auto text = common::read_file(file);
  if (!text) return text.error();
  return parse_config(*text, file);
}

}  // namespace handover::vmm
