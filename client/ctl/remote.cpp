// SPDX-License-Identifier: LGPL-2.1-or-later
#include "remote.h"

#include <systemd/sd-bus.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "file.h"

namespace handover::ctl {
namespace {

constexpr const char* bridge = "systemd-stdio-bridge";
// By which libhandover is told where to connect.
constexpr const char* socket_variable = "HANDOVER_PRIVATE_SOCKET";
constexpr const char* bus_variable = "DBUS_SYSTEM_BUS_ADDRESS";

client::Error invalid_argument(std::string message) {
  return {HANDOVER_ERROR_PREFIX "InvalidArgument", std::move(message), EINVAL};
}

/// As values in D-Bus addresses are escaped (D-Bus specification, "Server Addresses").
std::string escaped(std::string_view value) {
  constexpr std::string_view hex = "0123456789abcdef";
  constexpr std::string_view plain = "-_/.";
  std::string text;
  for (const char byte : value) {
    const auto code = static_cast<unsigned char>(byte);
    if (std::isalnum(code) != 0 || plain.find(byte) != std::string_view::npos) {
      text += byte;
    } else {
      text += {'%', hex[code >> 4U], hex[code & 0xfU]};
    }
  }
  return text;
}

struct Host {
  std::string destination;  ///< "[USER@]HOST", as ssh takes it
  std::string port;         ///< "": ssh's choice
};

bool digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char c) { return std::isdigit(c) != 0; });
}

/// "[USER@]HOST[:PORT]"; an IPv6 address in brackets.
std::optional<Host> parse_host(std::string_view name) {
  const auto at = name.rfind('@');
  const std::string user(at == std::string_view::npos ? "" : name.substr(0, at + 1));
  std::string_view rest = at == std::string_view::npos ? name : name.substr(at + 1);
  if (user == "@") return std::nullopt;
  std::string_view host = rest;
  std::string_view behind;
  if (!rest.empty() && rest.front() == '[') {
    const auto end = rest.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    host = rest.substr(1, end - 1);
    behind = rest.substr(end + 1);
  } else if (const auto colon = rest.find(':'); colon != std::string_view::npos) {
    host = rest.substr(0, colon);
    behind = rest.substr(colon);
  }
  const bool bad = host.empty() || std::any_of(name.begin(), name.end(), [](unsigned char c) {
                     return std::isspace(c) != 0 || std::iscntrl(c) != 0 || c == '/';
                   });
  if (bad) return std::nullopt;
  if (behind.empty()) return Host{user + std::string(host), ""};
  if (behind.front() != ':' || !digits(behind.substr(1))) return std::nullopt;
  return Host{user + std::string(host), std::string(behind.substr(1))};
}

/// What machinectl takes for a name: a host name.
bool is_machine(std::string_view name) {
  if (name == ".host") return true;
  return !name.empty() && name.size() <= 64 && name.front() != '.' && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
         });
}

std::string exec_address(const std::vector<std::string>& argv) {
  std::string address = "unixexec:path=" + escaped(argv.front());
  for (std::size_t i = 1; i < argv.size(); ++i) {
    address += ",argv" + std::to_string(i) + "=" + escaped(argv[i]);
  }
  return address;
}

}  // namespace

client::Result<std::string> bus_address_of(const Remote& remote, bool later) {
  if (remote.kind == Remote::Kind::machine) {
    if (!is_machine(remote.name)) {
      return invalid_argument("--machine: '" + remote.name +
                              "' is no machine's name; 'machinectl list' shows them.");
    }
    return "x-machine-unix:machine=" + escaped(remote.name);
  }
  const auto host = parse_host(remote.name);
  if (!host) {
    return invalid_argument("--host: '" + remote.name + "' is no [USER@]HOST[:PORT].");
  }
  // Programs that ssh starts are to find the daemon of here.
  std::vector<std::string> argv = {"env", "-u", bus_variable, "-u", socket_variable};
  // Only with it ssh notices that the host is gone, in a kexec that tells nobody.
  argv.insert(argv.end(), {"ssh", "-xT", "-o", "ServerAliveInterval=5"});
  if (!host->port.empty()) argv.insert(argv.end(), {"-p", host->port});
  argv.insert(argv.end(), {"--", host->destination, bridge});
  if (later) argv.insert(argv.begin(), {"sh", "-c", "sleep 2; exec \"$@\"", "sh"});
  return exec_address(argv);
}

// There is one thread, and libhandover reads the environment at each connection.
// NOLINTBEGIN(concurrency-mt-unsafe)
namespace {

std::optional<std::string> variable(const char* name) {
  const char* const value = getenv(name);
  return value ? std::optional<std::string>(value) : std::nullopt;
}

void set_variable(const char* name, const std::optional<std::string>& value) {
  if (value) {
    setenv(name, value->c_str(), 1);
  } else {
    unsetenv(name);
  }
}

}  // namespace

Environment::Environment()
    : socket_(variable(socket_variable)),
      bus_(variable(bus_variable)),
      size_signal_(signal(SIGXFSZ, SIG_IGN)) {}

void Environment::put_back() const {
  set_variable(socket_variable, socket_);
  set_variable(bus_variable, bus_);
  signal(SIGXFSZ, size_signal_);
}

client::Result<void> go_to(const Remote& remote) {
  auto address = bus_address_of(remote, /*later=*/false);
  if (!address) return address.error();
  if (remote.kind == Remote::Kind::host && !can_be_executed("ssh")) {
    return client::Error{SD_BUS_ERROR_NO_SERVER,
                         "There is no program 'ssh' to reach " + remote.name + " with.", ENOENT};
  }
  const bool here = remote.kind == Remote::Kind::machine && remote.name == ".host";
  if (here) return {};
  setenv(socket_variable, "", 1);  // the one of this host's daemon
  setenv(bus_variable, address->c_str(), 1);
  return {};
}

void stay_with(const Remote& remote) {
  if (remote.kind != Remote::Kind::host) return;
  if (auto address = bus_address_of(remote, /*later=*/true)) {
    setenv(bus_variable, address->c_str(), 1);
  }
}
// NOLINTEND(concurrency-mt-unsafe)

client::Error not_reached(const Remote& remote, const client::Error& error) {
  const bool of_bus = error.is(SD_BUS_ERROR_SERVICE_UNKNOWN) ||
                      error.is(SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
                      error.name.find(".Spawn.") != std::string::npos ||
                      error.name.find("systemd1") != std::string::npos;
  const bool host = remote.kind == Remote::Kind::host;
  const std::string where = (host ? "on " : "in machine ") + remote.name;
  std::string message;
  if (of_bus) {
    message = "handoverd does not run " + where + "; start it there: systemctl start handoverd.";
  } else if (error.is(SD_BUS_ERROR_ACCESS_DENIED)) {
    message = "The system bus " + where + " refuses: " + error.message;
  } else if (host && error.is(SD_BUS_ERROR_TIMEOUT)) {
    message = "The system bus " + where + " does not answer within 25 seconds; try: ssh " +
              remote.name + " true.";
  } else if (host) {
    message = "ssh does not bring the system bus " + where +
              " here; what it says is above, if it says anything; try: ssh " + remote.name + " " +
              bridge + " < /dev/null.";
  } else if (error.code == EHOSTDOWN || error.code == ENOENT) {
    message = "There is no machine " + remote.name + "; 'machinectl list' shows them.";
  } else if (error.code == EPERM || error.code == EACCES) {
    message = "Only root reaches the system bus " + where + ".";
  } else {
    message = "The system bus " + where + " does not answer: " + error.message;
  }
  return {error.name, std::move(message), error.code};
}

client::Error needs_descriptors(const Remote& remote, const std::string& what) {
  return invalid_argument("'" + what +
                          "' passes a descriptor, which does not go through ssh: run it on " +
                          remote.name + ".");
}

}  // namespace handover::ctl
