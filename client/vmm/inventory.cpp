// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory.h"

#include <array>
#include <string_view>

namespace handover::vmm {
namespace {

using nlohmann::json;
using Names = std::map<std::string, std::string>;

std::string word(const json& object, const char* name) {
  if (!object.is_object()) return "";
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

bool flag(const json& object, const char* name) {
  if (!object.is_object()) return false;
  const auto found = object.find(name);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

/// `object`[`name`], or null.
const json& part(const json& object, const char* name) {
  static const json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(name);
  return found != object.end() ? *found : nothing;
}

BlockNode node_of(const json& told) {
  BlockNode node;
  node.file = word(told, "file");
  // A folder shown as a disk keeps what is written to it in a temporary file.
  node.loses_writes = word(told, "drv") == "vvfat" && !flag(told, "ro");
  for (const auto& bitmap : part(told, "dirty-bitmaps")) {
    const std::string name = word(bitmap, "name");
    // One without a name is QEMU's own, of a job.
    if (!name.empty() && !flag(bitmap, "persistent")) node.short_lived.push_back(name);
  }
  return node;
}

Drive drive_of(const json& told) {
  constexpr std::array limits{"bps",        "bps_rd",   "bps_wr",      "iops",
                              "iops_rd",    "iops_wr",  "bps_max",     "bps_rd_max",
                              "bps_wr_max", "iops_max", "iops_rd_max", "iops_wr_max"};
  Drive drive;
  const auto& medium = part(told, "inserted");
  drive.file = word(medium, "file");
  for (const char* name : limits) {
    const auto& value = part(medium, name);
    if (value.is_number_integer() && value.get<long>() != 0) drive.limits[name] = value.get<long>();
  }
  return drive;
}

/// The children among a QOM object's properties: their type is "child<TYPE>".
void add_children(const json& properties, const std::string& prefix, Names* names) {
  constexpr std::string_view begin = "child<";
  for (const auto& property : properties) {
    const std::string type = word(property, "type");
    if (type.size() <= begin.size() || type.compare(0, begin.size(), begin) != 0) continue;
    (*names)[prefix + word(property, "name")] =
        type.substr(begin.size(), type.size() - begin.size() - 1);
  }
}

std::string place_of(const json& cpu) {
  std::string place;
  for (const char* level : {"socket", "die", "cluster", "core", "thread"}) {
    const auto& number = part(part(cpu, "props"), (std::string(level) + "-id").c_str());
    if (!number.is_number_integer()) continue;
    place +=
        (place.empty() ? "" : ", ") + std::string(level) + " " + std::to_string(number.get<long>());
  }
  return place;
}

bool is_over(const std::string& job_status) {
  return job_status == "concluded" || job_status == "null";
}

constexpr std::string_view peripheral = "/machine/peripheral/";
constexpr std::string_view anonymous = "/machine/peripheral-anon/";

/// What a person calls it: its id, where it has one.
std::string name_of(const std::string& path) {
  return path.compare(0, peripheral.size(), peripheral) == 0 ? path.substr(peripheral.size())
                                                             : path;
}

std::string named(const std::string& what, const std::string& name, const std::string& details) {
  return "The " + what + " '" + name + "'" + (details.empty() ? "" : " (" + details + ")");
}

constexpr const char* came =
    " came after the start, and the next QEMU would not have it: take it away again, or add it to "
    "the guest's arguments and restart the guest.";
constexpr const char* went =
    " is not there any more, and the next QEMU would have it again: bring it back, or take it out "
    "of the guest's arguments and restart the guest.";

void compare(const char* what, const Names& start, const Names& now,
             std::vector<std::string>* found) {
  for (const auto& [name, type] : now) {
    const auto before = start.find(name);
    if (before != start.end() && before->second == type) continue;
    found->push_back(named(what, name_of(name), type) + came);
  }
  for (const auto& [name, type] : start) {
    if (now.count(name) == 0) found->push_back(named(what, name_of(name), type) + went);
  }
}

void compare_drives(const Inventory& start, const Inventory& now, std::vector<std::string>* found) {
  const auto quoted = [](const std::string& file) {
    return file.empty() ? std::string("no medium") : "'" + file + "'";
  };
  for (const auto& [name, drive] : now.drives) {
    const auto before = start.drives.find(name);
    if (before == start.drives.end()) {
      found->push_back(named("drive", name, drive.file) + came);
      continue;
    }
    if (before->second.file != drive.file) {
      found->push_back("The drive '" + name + "' has " + quoted(drive.file) +
                       " now, and the next QEMU would go on with " + quoted(before->second.file) +
                       ": change it back, or change the guest's arguments and restart the guest.");
    }
    if (before->second.limits != drive.limits) {
      found->push_back("The I/O limits of the drive '" + name +
                       "' were changed, and the next QEMU would have those of its arguments: "
                       "change them back, or change the arguments and restart the guest.");
    }
  }
  for (const auto& [name, drive] : start.drives) {
    if (now.drives.count(name) == 0) found->push_back(named("drive", name, drive.file) + went);
  }
}

/// A node that nobody named, by what it is: QEMU's own name for it is another one each time.
std::string key_of(const json& node) {
  const std::string name = word(node, "node-name");
  return name.empty() || name.front() == '#' ? "#" + word(node, "drv") + " " + word(node, "file")
                                             : name;
}

bool is_generated(const std::string& key) { return key.front() == '#'; }

std::string node_named(const std::string& key, const BlockNode& node) {
  return is_generated(key) ? named("image", node.file, key.substr(1, key.find(' ') - 1))
                           : named("block node", key, node.file);
}

void compare_nodes(const Inventory& start, const Inventory& now, std::vector<std::string>* found) {
  for (const auto& [name, node] : now.nodes) {
    if (start.nodes.count(name) == 0) found->push_back(node_named(name, node) + came);
  }
  for (const auto& [name, node] : start.nodes) {
    // A backing file that a job merged away: the image that is left says so itself, so the next
    // QEMU has as few. What a drive has lost, its own file tells.
    if (now.nodes.count(name) != 0 || is_generated(name)) continue;
    found->push_back(node_named(name, node) + went);
  }
}

void look_at_nodes(const Inventory& now, std::vector<std::string>* found) {
  for (const auto& [name, node] : now.nodes) {
    if (node.loses_writes) {
      found->push_back("What the guest wrote to '" + node.file +
                       "', a folder shown as a disk, would be gone in the next QEMU: have it "
                       "without 'rw', or as a virtiofs share.");
    }
    for (const auto& bitmap : node.short_lived) {
      found->push_back("The dirty bitmap '" + bitmap + "' of '" + node.file +
                       "' is in no image, and would be gone in the next QEMU: make it persistent, "
                       "or remove it.");
    }
  }
}

}  // namespace

Inventory inventory_of(const Answers& answers) {
  Inventory inventory;
  for (const auto& node : answers.nodes) {
    inventory.nodes[key_of(node)] = node_of(node);
  }
  for (const auto& drive : answers.drives) {
    // One of -blockdev has no name but its device's.
    const auto name = word(drive, "device");
    inventory.drives[name.empty() ? word(drive, "qdev") : name] = drive_of(drive);
  }
  for (const auto& job : answers.jobs) {
    if (!is_over(word(job, "status"))) inventory.jobs[word(job, "id")] = word(job, "type");
  }
  for (const auto& one : answers.exports) {
    inventory.exports[word(one, "id")] = word(one, "type") + " of " + word(one, "node-name");
  }
  add_children(answers.peripheral, std::string(peripheral), &inventory.devices);
  add_children(answers.anonymous, std::string(anonymous), &inventory.devices);
  add_children(answers.objects, "", &inventory.objects);
  for (const auto& cpu : answers.cpus) {
    const std::string path = word(cpu, "qom-path");
    inventory.cpus[path] = place_of(cpu);
    inventory.devices.erase(path);
  }
  for (const auto& memory : answers.memory) {
    const auto& data = part(memory, "data");
    const auto id = word(data, "id");
    inventory.memory[id.empty() ? word(data, "memdev") : id] = word(memory, "type");
  }
  return inventory;
}

std::vector<std::string> obstacles(const Inventory& start, const Inventory& now) {
  std::vector<std::string> found;
  for (const auto& [name, type] : now.jobs) {
    found.push_back(named("job", name, type) +
                    " works on the guest's disks, and would be cut off: wait for its end, or "
                    "cancel it.");
  }
  compare("processor", start.cpus, now.cpus, &found);
  compare("device", start.devices, now.devices, &found);
  compare("memory", start.memory, now.memory, &found);
  compare("object", start.objects, now.objects, &found);
  compare_drives(start, now, &found);
  compare_nodes(start, now, &found);
  compare("export", start.exports, now.exports, &found);
  look_at_nodes(now, &found);
  return found;
}

}  // namespace handover::vmm
