// SPDX-License-Identifier: LGPL-2.1-or-later
// The table of events, the journal's catalog and docs/journal.md say the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "system/log_events.h"

namespace handover::log::test {
namespace {

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(std::string(HANDOVER_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(file) << path;
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

struct Entry {
  std::map<std::string, std::string> headers;
  std::string body;
};

/// journald's catalog: "-- ID", headers, an empty line, text.
std::map<std::string, Entry> catalog() {
  std::map<std::string, Entry> entries;
  Entry* entry = nullptr;
  bool in_body = false;
  for (const std::string& line : lines_of("units/handoverd.catalog")) {
    EXPECT_LE(line.size(), 80U) << line;
    if (line.starts_with("-- ")) {
      EXPECT_FALSE(entries.contains(line.substr(3))) << "twice: " << line;
      entry = &entries[line.substr(3)];
      in_body = false;
    } else if (entry == nullptr) {
      EXPECT_TRUE(line.empty() || line.starts_with("#")) << line;
    } else if (in_body) {
      entry->body += line + "\n";
    } else if (line.empty()) {
      in_body = true;
    } else {
      const std::size_t colon = line.find(": ");
      EXPECT_NE(colon, std::string::npos) << line;
      entry->headers[line.substr(0, colon)] = line.substr(colon + 2);
    }
  }
  return entries;
}

/// The names between two @.
std::set<std::string> substitutions(const std::string& text) {
  std::set<std::string> names;
  for (std::size_t at = text.find('@'); at != std::string::npos; at = text.find('@', at + 1)) {
    const std::size_t end = text.find('@', at + 1);
    EXPECT_NE(end, std::string::npos) << text;
    if (end == std::string::npos) break;
    names.insert(text.substr(at + 1, end - at - 1));
    at = end;
  }
  return names;
}

std::string fields_of(const EventInfo& event) {
  std::string text;
  for (std::size_t i = 0; i < field_names.size(); ++i) {
    if (!event.fields.has(static_cast<Field>(i))) continue;
    if (!text.empty()) text += ", ";
    text += field_names.at(i);
  }
  return text;
}

TEST(LogEvents, HaveIdsAndNamesOfTheirOwn) {
  std::set<std::string_view> ids;
  std::set<std::string_view> names;
  for (const EventInfo& event : events) {
    EXPECT_TRUE(ids.insert(event.message_id).second) << event.name;
    EXPECT_TRUE(names.insert(event.name).second) << event.name;
    EXPECT_EQ(event.message_id.size(), 32U) << event.name;
    EXPECT_EQ(event.message_id.find_first_not_of("0123456789abcdef"), std::string_view::npos);
    EXPECT_TRUE(event.meaning.ends_with(".")) << event.name;
  }
}

TEST(LogEvents, FieldsHaveNamesThatTheJournalTakes) {
  for (const std::string_view name : field_names) {
    EXPECT_EQ(name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), std::string_view::npos) << name;
  }
  EXPECT_EQ(field_name(Field::update), "UPDATE");
  EXPECT_EQ(field_name(Field::operation), "OPERATION");
}

TEST(LogEvents, AreInTheCatalog) {
  auto entries = catalog();
  for (const EventInfo& event : events) {
    const auto found = entries.find(std::string(event.message_id));
    ASSERT_NE(found, entries.end()) << event.name << " is not in the catalog";
    Entry& entry = found->second;
    EXPECT_EQ(entry.headers["Defined-By"], "handoverd");
    for (const char* header : {"Subject", "Support", "Documentation"}) {
      EXPECT_FALSE(entry.headers[header].empty()) << event.name << " has no " << header;
    }
    EXPECT_GT(entry.body.size(), 60U) << event.name;
    for (const std::string& name : substitutions(entry.headers["Subject"] + entry.body)) {
      bool promised = false;
      for (std::size_t i = 0; i < field_names.size(); ++i) {
        promised =
            promised || (field_names.at(i) == name && event.fields.has(static_cast<Field>(i)));
      }
      EXPECT_TRUE(promised) << event.name << ": @" << name << "@ may be missing";
    }
    entries.erase(found);
  }
  for (const auto& [id, entry] : entries) ADD_FAILURE() << "no event has the id " << id;
}

TEST(LogEvents, AreInTheDocumentation) {
  std::multiset<std::string> rows;
  std::set<std::string> fields;
  for (const std::string& line : lines_of("docs/journal.md")) {
    if (std::count(line.begin(), line.end(), '|') == 5) rows.insert(line);
    std::istringstream names(line.substr(0, line.find('|', 2)));
    for (std::string name; line.starts_with("| ") && names >> name;) {
      while (!name.empty() && (name.back() == ',' || name.back() == '|')) name.pop_back();
      if (!name.empty()) fields.insert(name);
    }
  }
  for (const EventInfo& event : events) {
    const std::string row = "| " + std::string(event.name) + " | " + std::string(event.message_id) +
                            " | " + fields_of(event) + " | " + std::string(event.meaning) + " |";
    EXPECT_EQ(rows.count(row), 1U) << "docs/journal.md has no row\n" << row;
  }
  EXPECT_EQ(rows.size(), events.size() + 2) << "beside the heading and its line";
  for (const std::string_view name : field_names) {
    EXPECT_TRUE(fields.contains(std::string(name))) << name << " is not explained";
  }
}

TEST(LogEvents, AreFoundByJournalctl) {
  if (std::system("journalctl --version >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "there is no journalctl here";
  }
  const handover::test::TemporaryDirectory root;
  std::string text;
  for (const std::string& line : lines_of("units/handoverd.catalog")) text += line + "\n";
  root.write("usr/lib/systemd/catalog/handoverd.catalog", text);
  root.write("var/lib/systemd/catalog/.keep", "");
  const std::string journalctl = "journalctl --root=" + root.path();
  ASSERT_EQ(std::system((journalctl + " --update-catalog").c_str()), 0);
  const std::string list = root.path("list");
  ASSERT_EQ(std::system((journalctl + " --list-catalog >" + list).c_str()), 0);
  const std::string found = handover::test::text_of(list);
  for (const EventInfo& event : events) {
    EXPECT_NE(found.find(event.message_id), std::string::npos) << event.name;
  }
}

}  // namespace
}  // namespace handover::log::test
