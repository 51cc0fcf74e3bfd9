// SPDX-License-Identifier: LGPL-2.1-or-later
#include "requirements.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "argument_list.h"

namespace handover::vmm {
namespace {

using common::WaitFor;
using Kind = WaitFor::Kind;
using nlohmann::json;

template <std::size_t Count>
bool among(std::string_view word, const std::array<std::string_view, Count>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

class Collector {
 public:
  explicit Collector(std::string directory) : directory_(std::move(directory)) {}

  void add(Kind kind, const std::string& name) {
    const WaitFor wanted{kind, name};
    if (std::find(wanted_.begin(), wanted_.end(), wanted) == wanted_.end()) {
      wanted_.push_back(wanted);
    }
  }

  [[nodiscard]] std::string absolute(std::string_view path) const {
    return path.front() == '/' ? std::string(path) : directory_ + "/" + std::string(path);
  }

  /// As QEMU reads a file's name: "nbd:…" and "json:…" are none, "file:" and "host_device:" may
  /// stand before one.
  void add_file(std::string_view name, bool written) {
    for (const std::string_view prefix : {"file:", "host_device:", "host_cdrom:"}) {
      if (name.substr(0, prefix.size()) == prefix) name.remove_prefix(prefix.size());
    }
    if (name.empty()) return;
    const auto colon = name.find(':');
    if (colon != std::string_view::npos && name.find('/') > colon) return;
    add(written ? Kind::writable : Kind::path, absolute(name));
  }

  std::vector<WaitFor> take() { return std::move(wanted_); }

 private:
  std::string directory_;
  std::vector<WaitFor> wanted_;
};

void add_drive(const OptionList& drive, Collector* collector) {
  const bool read_only =
      is_on(drive, "readonly") || is_on(drive, "read-only") || value_of(drive, "media") == "cdrom";
  for (const char* name : {"file", "filename", "file.filename"}) {
    collector->add_file(value_of(drive, name), !read_only);
  }
}

/// Every "filename" of a node and of those below it.
void add_node(const json& node, bool read_only, Collector* collector) {
  if (!node.is_object()) return;
  if (const auto flag = node.find("read-only"); flag != node.end() && flag->is_boolean()) {
    read_only = flag->get<bool>();
  }
  for (const auto& [name, value] : node.items()) {
    if (name == "filename" && value.is_string()) {
      collector->add_file(value.get<std::string>(), !read_only);
    }
    // What is below an image's own data is never written.
    add_node(value, read_only || name == "backing", collector);
  }
}

void add_accelerator(std::string_view names, Collector* collector) {
  if (names.substr(0, names.find(':')) == "kvm") collector->add(Kind::device, "/dev/kvm");
}

void add_vdpa(const OptionList& options, Collector* collector) {
  const auto device = value_of(options, "vhostdev");
  if (!device.empty()) collector->add(Kind::device, device);
}

void add_network(const OptionList& network, Collector* collector) {
  const auto type =
      value_of(network, "").empty() ? value_of(network, "type") : value_of(network, "");
  if (type == "bridge") {
    const auto bridge = value_of(network, "br");
    collector->add(Kind::link, bridge.empty() ? "br0" : bridge);
    collector->add(Kind::device, "/dev/net/tun");
  }
  if (type == "tap" && value_of(network, "fd").empty() && value_of(network, "fds").empty()) {
    collector->add(Kind::device, "/dev/net/tun");
    // With a script of its own, QEMU makes the link itself.
    if (const auto link = value_of(network, "ifname");
        !link.empty() && value_of(network, "script") == "no") {
      collector->add(Kind::link, link);
    }
    if (const auto bridge = value_of(network, "br"); !bridge.empty()) {
      collector->add(Kind::link, bridge);
    }
  }
  if (is_on(network, "vhost")) collector->add(Kind::device, "/dev/vhost-net");
  if (type == "vhost-vdpa") add_vdpa(network, collector);
}

/// What is given by a descriptor's number is nobody's to wait for.
void add_device(const OptionList& device, Collector* collector) {
  const auto type =
      value_of(device, "").empty() ? value_of(device, "driver") : value_of(device, "");
  const auto is = [&](std::string_view name) { return type.substr(0, name.size()) == name; };
  if (!value_of(device, "vhostfd").empty()) return;
  if (is("vhost-vsock")) collector->add(Kind::device, "/dev/vhost-vsock");
  if (is("vhost-scsi")) collector->add(Kind::device, "/dev/vhost-scsi");
  if (is("vhost-vdpa-device")) add_vdpa(device, collector);
}

void add_argument(const Argument& argument, Collector* collector) {
  constexpr std::array<std::string_view, 10> written{"",    "hda", "hdb",    "hdc",      "hdd",
                                                     "fda", "fdb", "pflash", "mtdblock", "sd"};
  constexpr std::array<std::string_view, 4> read{"cdrom", "kernel", "initrd", "dtb"};
  const auto& [option, value] = argument;
  if (among(option, written)) collector->add_file(value, true);
  if (among(option, read)) collector->add_file(value, false);
  // Without a slash it is one of QEMU's own.
  if (option == "bios" && value.find('/') != std::string::npos) collector->add_file(value, false);
  if (option == "enable-kvm") add_accelerator("kvm", collector);
  if (option == "accel") add_accelerator(value_of(split_value(value), ""), collector);
  if (option == "machine" || option == "M") {
    add_accelerator(value_of(split_value(value), "accel"), collector);
  }
  if (option == "drive") add_drive(split_value(value), collector);
  if (option == "blockdev") {
    const auto node = json::parse(value, nullptr, false);
    if (node.is_object()) {
      add_node(node, false, collector);
    } else {
      add_drive(split_value(value), collector);
    }
  }
  if (option == "netdev" || option == "nic" || option == "net") {
    add_network(split_value(value), collector);
  }
  if (option == "device") add_device(split_value(value), collector);
}

}  // namespace

std::vector<WaitFor> requirements_of(const std::vector<std::string>& arguments,
                                     const std::string& directory) {
  Collector collector(directory);
  const auto list = split_arguments(arguments);
  for (auto argument = list.begin(); argument != list.end(); ++argument) {
    // Of more than one accelerator the first that there is counts, as in one list of them.
    const bool second = std::any_of(list.begin(), argument, [&](const Argument& earlier) {
      return argument->option == "accel" && earlier.option == "accel";
    });
    if (!second) add_argument(*argument, &collector);
  }
  return collector.take();
}

std::string own_directory() {
  std::error_code error;
  return std::filesystem::current_path(error).string();
}

std::vector<std::string> sockets_of(const std::vector<std::string>& arguments,
                                    const std::string& directory, Sockets which) {
  const Collector collector(directory);
  std::vector<std::string> sockets;
  const auto add = [&](const OptionList& list, const char* name) {
    const auto path = value_of(list, name);
    const bool counts = which == Sockets::all || !is_patient(list);
    if (!path.empty() && counts && !is_on(list, "server")) {
      sockets.push_back(collector.absolute(path));
    }
  };
  for (const auto& [option, value] : split_arguments(arguments)) {
    const auto list = split_value(value);
    if (option == "chardev" && value_of(list, "") == "socket") add(list, "path");
    if (option == "netdev" && value_of(list, "") == "stream") add(list, "addr.path");
  }
  return sockets;
}

std::vector<WaitFor> present(std::vector<WaitFor> wanted) {
  wanted.erase(std::remove_if(
                   wanted.begin(), wanted.end(),
                   [](const WaitFor& one) { return !missing(one, common::look_at(one)).empty(); }),
               wanted.end());
  return wanted;
}

std::string to_text(const WaitFor& wanted) {
  switch (wanted.kind) {
    case Kind::path:
      return "path:" + wanted.name;
    case Kind::writable:
      return "writable:" + wanted.name;
    case Kind::device:
      return "device:" + wanted.name;
    case Kind::link:
      return "link:" + wanted.name;
    case Kind::mount:
      return "mount:" + wanted.name;
  }
  return wanted.name;
}

}  // namespace handover::vmm
