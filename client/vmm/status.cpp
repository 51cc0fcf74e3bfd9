// SPDX-License-Identifier: LGPL-2.1-or-later
#include "status.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "common/file.h"

namespace handover::vmm {
namespace {

using nlohmann::json;

std::string mebibytes(std::uint64_t bytes) {
  std::string text(32, '\0');
  const int n =
      snprintf(text.data(), text.size(), "%.1f MiB", static_cast<double>(bytes) / 1048576);
  text.resize(static_cast<std::size_t>(n));
  return text;
}

std::string milliseconds(std::uint64_t usec) { return std::to_string(usec / 1000) + " ms"; }

}  // namespace

std::string to_json(const Status& status) {
  json object = {{"name", status.name},
                 {"state", status.state},
                 {"pid", status.pid},
                 {"program", {{"pid", status.program}, {"start", status.program_start}}},
                 {"qemu", {{"major", status.version.major}, {"minor", status.version.minor}}},
                 {"ram_bytes", status.ram_bytes},
                 {"state_room", status.state_room}};
  if (status.carried) {
    object["carried"] = {{"restored", status.carried->restored},
                         {"stopped_usec", status.carried->stopped_usec},
                         {"state_bytes", status.carried->state_bytes}};
  }
  return object.dump(2) + "\n";
}

client::Result<Status> parse_status(const std::string& text) {
  try {
    const auto object = json::parse(text);
    Status status;
    status.name = object.at("name").get<std::string>();
    status.state = object.at("state").get<std::string>();
    status.pid = object.at("pid").get<pid_t>();
    if (const auto program = object.find("program"); program != object.end()) {
      status.program = program->at("pid").get<pid_t>();
      status.program_start = program->at("start").get<std::uint64_t>();
    }
    status.version = {object.at("qemu").at("major").get<int>(),
                      object.at("qemu").at("minor").get<int>()};
    status.ram_bytes = object.at("ram_bytes").get<std::uint64_t>();
    status.state_room = object.at("state_room").get<std::uint64_t>();
    if (const auto carried = object.find("carried"); carried != object.end()) {
      status.carried = Carried{carried->at("restored").get<bool>(),
                               carried->at("stopped_usec").get<std::uint64_t>(),
                               carried->at("state_bytes").get<std::uint64_t>()};
    }
    return status;
  } catch (const json::exception&) {
    return client::Error{"", "The status file is not one of handover-vmm's.", EBADMSG};
  }
}

std::string to_lines(const Status& status) {
  std::string text = "guest   " + status.name + ": " + status.state + "\n";
  if (status.pid != 0) {
    text += "QEMU    " + std::to_string(status.version.major) + "." +
            std::to_string(status.version.minor) + ", process " + std::to_string(status.pid) + "\n";
  }
  text += "memory  " + mebibytes(status.ram_bytes) + ", room for state " +
          mebibytes(status.state_room) + "\n";
  if (status.carried) {
    text += std::string("latest  ") +
            (status.carried->restored ? "carried into this kernel" : "thawed after no update") +
            ": stopped for " + milliseconds(status.carried->stopped_usec) + ", state " +
            mebibytes(status.carried->state_bytes) + "\n";
  }
  return text;
}

std::string status_path(const std::string& directory, const std::string& name) {
  return directory + "/" + name + ".json";
}

client::Result<void> write_status(const std::string& directory, const Status& status) {
  if (mkdir(directory.c_str(), 0755) < 0 && errno != EEXIST) {
    return common::errno_error("Cannot make " + directory);
  }
  return common::replace_file(status_path(directory, status.name), to_json(status),
                              common::Durable::no);
}

std::uint64_t start_of(pid_t process) {
  auto text = common::read_file("/proc/" + std::to_string(process) + "/stat");
  if (!text) return 0;
  // proc_pid_stat(5): pid (name) state …, the start is the 22nd; the name may hold spaces.
  constexpr int fields_between = 20;
  std::istringstream rest(text->substr(std::min(text->rfind(')') + 1, text->size())));
  std::string field;
  for (int i = 0; i < fields_between; ++i) rest >> field;
  return std::strtoull(field.c_str(), nullptr, 10);
}

client::Result<Status> read_status(const std::string& directory, const std::string& name) {
  auto text = common::read_file(status_path(directory, name));
  if (!text && text.error().code == ENOENT) {
    return client::Error{"", "There is no guest '" + name + "' here.", ENOENT};
  }
  if (!text) return text.error();
  auto status = parse_status(*text);
  if (status && status->program != 0 && start_of(status->program) != status->program_start) {
    status->state = "ended";
    status->pid = 0;
  }
  return status;
}

}  // namespace handover::vmm
