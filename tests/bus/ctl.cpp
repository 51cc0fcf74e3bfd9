// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ctl.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

namespace handover::test {
namespace {

/// For a child: `path` as its descriptor `fd`.
void open_as(const std::string& path, int flags, int fd) {
  const UniqueFd file(open(path.c_str(), flags | O_CLOEXEC, 0600));
  dup2(file.get(), fd);
}

}  // namespace

nlohmann::json CtlEnd::out_json() const { return nlohmann::json::parse(out, nullptr, false); }

nlohmann::json CtlEnd::err_json() const { return nlohmann::json::parse(err, nullptr, false); }

CtlEnd run_ctl(Host& host, const std::vector<std::string>& arguments,
               const std::function<void()>& in_child,
               const std::function<void(const ChildProcess&)>& meanwhile,
               const std::string& bus_address) {
  const auto out = host.directory().write("ctl.out", "");
  const auto err = host.directory().write("ctl.err", "");
  ChildProcess::Setup setup;
  setup.argv = {HANDOVERCTL_PROGRAM};
  setup.argv.insert(setup.argv.end(), arguments.begin(), arguments.end());
  setup.environment = {
      "HANDOVER_PRIVATE_SOCKET=" + host.directory().path("run/private"),
      "DBUS_SYSTEM_BUS_ADDRESS=" + (bus_address.empty() ? host.bus().address() : bus_address)};
  setup.log = err;
  setup.in_child = [&] {
    open_as("/dev/null", O_RDONLY, STDIN_FILENO);
    open_as(out, O_WRONLY | O_APPEND, STDOUT_FILENO);
    if (in_child) in_child();
  };
  std::optional<int> status;
  const ChildProcess child(host.loop(), setup, [&](int ended) { status = ended; });
  if (meanwhile) meanwhile(child);
  EXPECT_TRUE(host.run_until([&] { return status.has_value(); })) << "handoverctl does not end";
  CtlEnd end;
  if (status && WIFEXITED(*status)) end.code = WEXITSTATUS(*status);
  end.out = text_of(out);
  end.err = text_of(err);
  return end;
}

}  // namespace handover::test
