// SPDX-License-Identifier: LGPL-2.1-or-later
// org.handover1 as documented, and wrong input: its own error each, and nothing changed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "host.h"

namespace handover::test {
namespace {

std::string document() {
  const std::ifstream file(std::string(HANDOVER_SOURCE_DIR) + "/docs/dbus.md");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// "t token, h fd" → "th".
std::string signature_of(const std::string& cell) {
  std::string signature;
  std::istringstream parts(cell);
  for (std::string part; std::getline(parts, part, ',');) {
    std::string type;
    std::istringstream(part) >> type;
    signature += type;
  }
  return signature;
}

struct Documented {
  std::map<std::string, std::pair<std::string, std::string>> methods;  ///< name → in, out
  std::map<std::string, std::string> properties;
};

/// The tables of one "## interface" section.
Documented documented(const std::string& interface) {
  Documented result;
  std::istringstream lines(document());
  bool inside = false;
  bool methods = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("## ")) inside = line.starts_with("## " + interface + ",");
    if (!inside || !line.starts_with("| ")) continue;
    std::vector<std::string> cells;
    std::istringstream row(line.substr(1));
    for (std::string cell; std::getline(row, cell, '|');) {
      const auto begin = cell.find_first_not_of(' ');
      const auto end = cell.find_last_not_of(' ');
      cells.push_back(begin == std::string::npos ? "" : cell.substr(begin, end - begin + 1));
    }
    if (cells[0] == "method" || cells[0] == "property") {
      methods = cells[0] == "method";
    } else if (cells[0].starts_with("---") || cells.size() < 3) {
      continue;
    } else if (methods) {
      result.methods[cells[0]] = {signature_of(cells[1]), signature_of(cells[2])};
    } else {
      std::istringstream names(cells[0]);
      for (std::string name; std::getline(names, name, ',');) {
        name.erase(0, name.find_first_not_of(' '));
        result.properties[name] = cells[1];
      }
    }
  }
  return result;
}

/// The same out of the introspection XML that sd-bus writes.
Documented introspected(const std::string& xml, const std::string& interface) {
  Documented result;
  std::istringstream lines(xml);
  bool inside = false;
  std::string method;
  std::smatch match;
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_search(line, match, std::regex("<interface name=\"([^\"]*)\""))) {
      inside = match[1] == interface;
    } else if (!inside) {
      continue;
    } else if (std::regex_search(line, match, std::regex("<method name=\"([^\"]*)\""))) {
      method = match[1];
      result.methods[method] = {};
    } else if (line.find("<signal") != std::string::npos) {
      method.clear();
    } else if (!method.empty() && std::regex_search(line, match, std::regex("type=\"([^\"]*)\"")) &&
               line.find("<arg") != std::string::npos) {
      auto& [in, out] = result.methods[method];
      (line.find("direction=\"out\"") != std::string::npos ? out : in) += match[1];
    } else if (std::regex_search(line, match,
                                 std::regex("<property name=\"([^\"]*)\" type=\"([^\"]*)\""))) {
      result.properties[match[1]] = match[2];
    }
  }
  return result;
}

class Interface : public testing::Test {
 protected:
  void SetUp() override { host.boot(); }

  std::string introspect(const std::string& path) {
    const auto answer =
        host.admin().call(path, "org.freedesktop.DBus.Introspectable", "Introspect");
    EXPECT_TRUE(answer.ok()) << answer.message;
    return answer.text();
  }

  void expect_documented(const std::string& path, const std::string& interface) {
    const auto written = documented(interface);
    const auto served = introspected(introspect(path), interface);
    ASSERT_FALSE(written.methods.empty());
    EXPECT_EQ(written.methods, served.methods);
    EXPECT_EQ(written.properties, served.properties);
  }

  Answer preserve(const std::string& session, std::uint64_t token, int fd) {
    return host.admin().call(session_path(session), session_interface, "Preserve",
                             with("tha{sv}", token, fd, 0));
  }
  Answer on_session(const std::string& session, const char* member) {
    return host.admin().call(session_path(session), session_interface, member);
  }
  Answer with_token(const std::string& session, const char* member, std::uint64_t token) {
    return host.admin().call(session_path(session), session_interface, member, with("t", token));
  }
  static std::string session_path(const std::string& name) {
    return "/org/handover1/session/" + name;
  }

  Host host;
};

TEST_F(Interface, OfTheManagerIsAsDocumented) {
  expect_documented(manager_path, manager_interface);
}

TEST_F(Interface, OfASessionIsAsDocumented) {
  ASSERT_TRUE(host.create_session("one").ok());
  expect_documented(session_path("one"), session_interface);
}

TEST_F(Interface, IsTheSameOnThePrivateSocket) {
  Connection direct(host.loop(), host.private_address());
  const auto answer =
      direct.call(manager_path, "org.freedesktop.DBus.Introspectable", "Introspect");
  ASSERT_TRUE(answer.ok()) << answer.message;
  const auto here = introspected(answer.text(), manager_interface);
  const auto there = introspected(introspect(manager_path), manager_interface);
  EXPECT_EQ(here.methods, there.methods);
  EXPECT_EQ(here.properties, there.properties);
}

TEST_F(Interface, RefusesWhatIsWrongAndChangesNothing) {
  ASSERT_TRUE(host.create_session("one").ok());
  const UniqueFd memory(memfd_create("memory", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(memory.get(), 4096), 0);
  ASSERT_TRUE(preserve("one", 1, memory.get()).ok());
  const auto sessions = host.list_sessions();

  const auto refused = [&](const Answer& answer, const std::string& name) {
    EXPECT_EQ(answer.error, error_name(name)) << answer.message;
    EXPECT_FALSE(answer.message.empty());
    EXPECT_EQ(answer.message.find('\n'), std::string::npos) << answer.message;
    EXPECT_EQ(host.list_sessions(), sessions);
    EXPECT_EQ(host.state(), "normal");
    EXPECT_TRUE(host.history().empty());
  };

  refused(host.create_session(""), "InvalidName");
  refused(host.create_session(std::string(64, 'n')), "InvalidName");
  refused(host.create_session("a/b"), "InvalidName");
  refused(host.create_session("a\nb"), "InvalidName");
  refused(host.create_session("systemd"), "InvalidName");
  refused(host.create_session("handoverd"), "InvalidName");
  refused(host.create_session("one"), "NameTaken");
  refused(host.admin().call(manager_path, manager_interface, "CreateSession",
                            with("sa{sv}", "two", 1, "backend", "s", "nonsense")),
          "NoSuchBackend");
  refused(host.admin().call(manager_path, manager_interface, "CreateSession",
                            with("sa{sv}", "two", 1, "client", "s", "nobody")),
          "NoSuchClient");
  refused(host.admin().call(manager_path, manager_interface, "CreateSession",
                            with("sa{sv}", "two", 1, "colour", "s", "red")),
          "InvalidArgument");
  refused(host.admin().call(manager_path, manager_interface, "GetSession", with("s", "two")),
          "NoSuchSession");
  refused(host.request("Update", {{"mode", "sideways"}}), "InvalidArgument");
  refused(host.cancel(), "NothingToCancel");

  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd out(ends[0]);
  const UniqueFd in(ends[1]);
  refused(preserve("one", 2, in.get()), "Unsupported");
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  refused(preserve("one", 2, socket.get()), "Unsupported");
  const UniqueFd regular(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  refused(preserve("one", 2, regular.get()), "Unsupported");
  refused(preserve("one", 1, memory.get()), "TokenTaken");
  refused(preserve("one", 2, memory.get()), "AlreadyPreserved");
  refused(with_token("one", "Retrieve", 1), "NotIncoming");
  refused(with_token("one", "Unpreserve", 9), "NoSuchToken");
  refused(on_session("one", "Finish"), "NotIncoming");
}

TEST_F(Interface, OfASessionWithoutAClientGoesThroughAnUpdate) {
  ASSERT_TRUE(host.create_session("script").ok());
  const UniqueFd memory(memfd_create("memory", MFD_CLOEXEC));
  ASSERT_EQ(write(memory.get(), "contents", 8), 8);
  ASSERT_TRUE(preserve("script", 7, memory.get()).ok());
  ASSERT_TRUE(host.update().ok());
  EXPECT_EQ(host.finished().outcome, "done");

  EXPECT_EQ(preserve("script", 8, memory.get()).error, error_name("Incoming"));
  EXPECT_EQ(with_token("script", "Retrieve", 8).error, error_name("NoSuchToken"));
  const auto answer = with_token("script", "Retrieve", 7);
  ASSERT_TRUE(answer.ok()) << answer.message;
  int fd = -1;
  ASSERT_GE(sd_bus_message_read(answer.reply.get(), "h", &fd), 0);
  char bytes[9] = {};
  EXPECT_EQ(pread(fd, bytes, 8, 0), 8);
  EXPECT_STREQ(bytes, "contents");
  EXPECT_EQ(with_token("script", "Retrieve", 7).error, error_name("AlreadyRetrieved"));
  // What is not finished is in the next update's way.
  EXPECT_EQ(host.update().error, error_name("Incoming"));
  EXPECT_TRUE(on_session("script", "Finish").ok());
  EXPECT_TRUE(host.list_sessions().empty());
  EXPECT_TRUE(host.update().ok());
  EXPECT_EQ(host.finished().outcome, "done");
}

}  // namespace
}  // namespace handover::test
