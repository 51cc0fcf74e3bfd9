// SPDX-License-Identifier: LGPL-2.1-or-later
// docs/dbus.md, the vtables and the errors say the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "core/error.h"
#include "host.h"

namespace handover::test {
namespace {

/// "name(types of the arguments in)→(types of the results)" and the like, one for each member.
using Members = std::set<std::string>;

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t`");
  const auto last = text.find_last_not_of(" \t`");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  for (auto at = text.find(separator); at != std::string::npos;
       from = at + separator.size(), at = text.find(separator, from)) {
    parts.push_back(trimmed(text.substr(from, at - from)));
  }
  parts.push_back(trimmed(text.substr(from)));
  return parts;
}

/// "s name, a{sv} options" → "s name,a{sv} options"; each argument is a type and a name.
std::string arguments_of(const std::string& text) {
  std::string result;
  for (const auto& argument : split(text, ", ")) {
    if (!argument.empty()) result += (result.empty() ? "" : ",") + argument;
  }
  return result;
}

/// The part of the document under "## <interface>".
std::string section_of(const std::string& document, const std::string& interface) {
  const auto from = document.find("## " + interface);
  if (from == std::string::npos) return {};
  return document.substr(from, document.find("\n## ", from + 1) - from);
}

/// The rows of the table whose head begins with `column`.
std::vector<std::vector<std::string>> rows_of(const std::string& section,
                                              const std::string& column) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream lines(section);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("|")) {
      inside = false;
      continue;
    }
    auto cells = split(line, "|");
    cells.erase(cells.begin());
    if (cells[0] == column) {
      inside = true;
    } else if (inside && !cells[0].starts_with("---")) {
      rows.push_back(cells);
    }
  }
  return rows;
}

Members documented_methods(const std::string& section, bool with_results) {
  Members members;
  for (const auto& row : rows_of(section, "method")) {
    members.insert(row[0] + "(" + arguments_of(row.at(1)) + ")→(" +
                   (with_results ? arguments_of(row.at(2)) : "") + ")");
  }
  return members;
}

Members documented_signals(const std::string& section) {
  Members members;
  const auto from = section.find("Signals:");
  if (from == std::string::npos) return members;
  const std::string list = section.substr(from);
  const std::regex signal("`([A-Z][A-Za-z]+)\\(([^)]*)\\)`");
  for (std::sregex_iterator it(list.begin(), list.end(), signal), end; it != end; ++it) {
    members.insert((*it)[1].str() + "(" + arguments_of((*it)[2].str()) + ")");
  }
  return members;
}

Members documented_properties(const std::string& section) {
  Members members;
  for (const auto& row : rows_of(section, "property")) {
    const bool changes = row.at(2).find("emits change") != std::string::npos;
    for (const auto& name : split(row[0], ", ")) {
      members.insert(name + " " + row[1] + (changes ? " changes" : ""));
    }
  }
  return members;
}

std::map<std::string, std::string> attributes_of(const std::string& tag) {
  std::map<std::string, std::string> attributes;
  const std::regex attribute("([a-z]+)=\"([^\"]*)\"");
  for (std::sregex_iterator it(tag.begin(), tag.end(), attribute), end; it != end; ++it) {
    attributes[(*it)[1].str()] = (*it)[2].str();
  }
  return attributes;
}

struct Interface {
  Members methods;
  Members signals;
  Members properties;
};

/// What the introspection XML says of one interface; sd-bus writes one tag a line.
Interface introspected(const std::string& xml, const std::string& name) {
  Interface found;
  auto from = xml.find("<interface name=\"" + name + "\"");
  if (from == std::string::npos) return found;
  std::istringstream lines(xml.substr(from, xml.find("</interface>", from) - from));
  std::string kind;
  std::string member;
  std::string in;
  std::string out;
  const auto end_member = [&] {
    if (kind == "method") found.methods.insert(member + "(" + in + ")→(" + out + ")");
    if (kind == "signal") found.signals.insert(member + "(" + out + ")");
    kind.clear();
  };
  for (std::string line; std::getline(lines, line);) {
    const auto tag = trimmed(line);
    auto attributes = attributes_of(tag);
    if (tag.starts_with("<method") || tag.starts_with("<signal")) {
      kind = tag.substr(1, 6);
      member = attributes["name"];
      in.clear();
      out.clear();
      if (tag.ends_with("/>")) end_member();
    } else if (tag.starts_with("</method") || tag.starts_with("</signal")) {
      end_member();
    } else if (tag.starts_with("<arg")) {
      auto& list = attributes["direction"] == "in" ? in : out;
      list += (list.empty() ? "" : ",") + attributes["type"] + " " + attributes["name"];
    } else if (tag.starts_with("<property")) {
      kind = "property";
      member = attributes["name"] + " " + attributes["type"];
      // Changes are emitted unless an annotation says otherwise (the D-Bus specification).
      found.properties.insert(member + " changes");
      if (tag.ends_with("/>")) kind.clear();
    } else if (kind == "property" && tag.find("EmitsChangedSignal") != std::string::npos) {
      found.properties.erase(member + " changes");
      found.properties.insert(member);
    }
  }
  return found;
}

class Introspection : public testing::Test {
 protected:
  void SetUp() override { host.boot(); }

  std::string introspect(const std::string& path) {
    return host.admin().call(path, "org.freedesktop.DBus.Introspectable", "Introspect").text();
  }

  const std::string document = text_of(HANDOVER_SOURCE_DIR "/docs/dbus.md");
  Host host;
};

TEST_F(Introspection, OfTheManager) {
  const auto section = section_of(document, manager_interface);
  const auto found = introspected(introspect(manager_path), manager_interface);
  EXPECT_GE(found.methods.size(), 10U);
  EXPECT_EQ(found.methods, documented_methods(section, true));
  EXPECT_EQ(found.signals, documented_signals(section));
  EXPECT_EQ(found.properties, documented_properties(section));
}

TEST_F(Introspection, OfASession) {
  ASSERT_TRUE(host.create_session("a session").ok());
  const auto section = section_of(document, session_interface);
  const auto found = introspected(introspect(session_path("a session")), session_interface);
  EXPECT_EQ(found.methods.size(), 8U);
  EXPECT_EQ(found.methods, documented_methods(section, true));
  EXPECT_EQ(found.signals, documented_signals(section));
  EXPECT_EQ(found.properties, documented_properties(section));
  // busctl tree finds it.
  EXPECT_NE(introspect("/org/handover1/session").find("a_20session"), std::string::npos);
}

TEST_F(Introspection, OfAJob) {
  auto& client = host.add({.name = "client"});
  ASSERT_TRUE(host.start_clients());
  const auto job = host.update_held_by(client, Call::prepare);
  ASSERT_TRUE(job);
  const auto& path = *job;
  const auto section = section_of(document, job_interface);
  const auto found = introspected(introspect(path), job_interface);
  // There it is prose: "`Id` u, `Type` s (…)", "method `Cancel()`".
  EXPECT_EQ(found.methods, Members{"Cancel()→()"});
  EXPECT_NE(section.find("`Cancel()`"), std::string::npos);
  EXPECT_EQ(found.properties.size(), 5U);
  for (const auto& property : found.properties) {
    const auto words = split(property, " ");
    EXPECT_NE(section.find("`" + words[0] + "` " + words[1]), std::string::npos) << property;
  }
  client.let_go();
  EXPECT_EQ(host.finished().outcome, "done");
}

/// The client's side is checked with what the daemon really sends.
TEST_F(Introspection, OfAClient) {
  const auto section = section_of(document, client_interface);
  Members documented;
  for (const auto& row : rows_of(section, "method")) documented.insert(row[0] + "(" + row[1] + ")");
  EXPECT_EQ(documented, (Members{"Prepare(a{sv})", "Cancel(a{sv})", "Freeze(a{sv})", "Thaw(a{sv})",
                                 "Restore(a{sv})"}));
}

TEST_F(Introspection, EveryStatisticIsListed) {
  Members documented;
  for (const auto& row : rows_of(section_of(document, manager_interface), "name")) {
    auto names = row[0];
    names.erase(std::remove(names.begin(), names.end(), '+'), names.end());
    for (const auto& name : split(names, ",")) documented.insert(name);
  }
  Members served;
  for (const auto& [name, number] : host.statistics()) served.insert(name);
  // Only where there is a store.
  served.insert("fd-store-limit");
  EXPECT_EQ(documented, served);
}

TEST_F(Introspection, EveryErrorIsListed) {
  auto section = section_of(document, "Errors");
  std::replace(section.begin(), section.end(), '\n', ' ');
  Members documented;
  const auto colon = section.rfind(':');
  for (const auto& name : split(section.substr(colon + 1, section.rfind('.') - colon - 1), ",")) {
    documented.insert(name);
  }
  Members known;
  for (int code = 0; code <= static_cast<int>(ErrorCode::internal); ++code) {
    known.insert(std::string(handover::to_string(static_cast<ErrorCode>(code))));
  }
  EXPECT_EQ(documented, known);
}

}  // namespace
}  // namespace handover::test
