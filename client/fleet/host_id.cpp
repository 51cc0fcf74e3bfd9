// SPDX-License-Identifier: LGPL-2.1-or-later
#include "host_id.h"

#include <sys/stat.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "common/file.h"

namespace handover::fleet {
namespace {

constexpr sd_id128_t application =
    SD_ID128_MAKE(8e, 5b, 41, 0d, 37, 9c, 4f, 62, a1, 7e, 60, c4, d2, 18, 9f, 53);

std::string text_of_id(sd_id128_t id) {
  std::array<char, SD_ID128_STRING_MAX> text = {};
  return sd_id128_to_string(id, text.data());
}

}  // namespace

client::Result<std::string> machine_id() {
  sd_id128_t id = {};
  const int r = sd_id128_get_machine_app_specific(application, &id);
  if (r < 0) {
    return client::Error{"",
                         "This host has no id for the lock: set \"id\" in \"lock\", or make "
                         "/etc/machine-id with systemd-machine-id-setup.",
                         -r};
  }
  return text_of_id(id);
}

client::Result<std::string> boot_id() {
  sd_id128_t id = {};
  const int r = sd_id128_get_boot(&id);
  if (r < 0) return common::errno_error("Cannot read the boot's id", -r);
  return text_of_id(id);
}

std::string host_name() {
  std::array<char, 256> name = {};
  if (gethostname(name.data(), name.size() - 1) < 0) return "localhost";
  return name.data();
}

client::Result<std::string> installation_id(const std::string& directory) {
  if (mkdir(directory.c_str(), 0755) < 0 && errno != EEXIST) {
    return common::errno_error("Cannot make " + directory);
  }
  const auto path = directory + "/installation";
  sd_id128_t id = {};
  auto text = common::read_file(path);
  if (!text && text.error().code != ENOENT) return text.error();
  if (text) {
    // One that is not whole says nothing.
    if (sd_id128_from_string(text->substr(0, text->find('\n')).c_str(), &id) == 0) {
      return text_of_id(id);
    }
  }
  if (const int r = sd_id128_randomize(&id); r < 0) {
    return common::errno_error("Cannot draw an id for " + path, -r);
  }
  auto written = common::replace_file(path, text_of_id(id) + "\n", common::Durable::yes);
  if (!written) return written.error();
  return text_of_id(id);
}

}  // namespace handover::fleet
