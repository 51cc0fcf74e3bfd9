// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/finding.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace handover {
namespace {

Finding finding(FindingId id) { return {id, usual_severity(id), "it is so", "do this"}; }

std::vector<FindingId> ids(const std::vector<Finding>& findings) {
  std::vector<FindingId> all;
  for (const auto& one : findings) all.push_back(one.id);
  return all;
}

TEST(Finding, EachHasAnIdForScripts) {
  for (const FindingId id : all_values<FindingId>()) {
    for (const char c : to_string(id)) {
      EXPECT_TRUE((c >= 'a' && c <= 'z') || c == '-') << to_string(id);
    }
  }
}

/// docs/preflight.md has a line "| `ID` | severity | …" for each, in the same order.
TEST(Finding, EachIsDocumented) {
  std::ifstream file(HANDOVER_SOURCE_DIR "/docs/preflight.md");
  ASSERT_TRUE(file);
  std::vector<std::string> documented;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| `")) continue;
    documented.push_back(line.substr(3, line.find('|', 1) - 3));
    std::stringstream words(line);
    std::string bar, id, severity;
    words >> bar >> id >> bar >> severity;
    const auto known = from_string<FindingId>(id.substr(1, id.size() - 2));
    ASSERT_TRUE(known) << line;
    EXPECT_EQ(severity, to_string(usual_severity(*known))) << line;
    EXPECT_NE(line.find(to_string(code_of(*known))) != std::string::npos,
              usual_severity(*known) != Severity::error)
        << line;
  }
  EXPECT_EQ(documented.size(), all_values<FindingId>().size());
  for (std::size_t i = 0; i < documented.size(); ++i) {
    EXPECT_TRUE(documented[i].starts_with(to_string(all_values<FindingId>()[i]))) << documented[i];
  }
}

TEST(Finding, BecomesAnError) {
  EXPECT_EQ(to_error(finding(FindingId::initrd_missing)),
            (Error{ErrorCode::kernel_not_found, "it is so; do this"}));
  auto fact = finding(FindingId::kernel_chosen);
  fact.advice.clear();
  EXPECT_EQ(text_of(fact), "it is so");
}

TEST(Judge, WithoutATargetNothingIsOverruled) {
  const auto judged =
      judge({finding(FindingId::kernel_not_found)}, {{FindingId::kernel_not_found, Ruling::ignore}},
            {FindingId::kernel_not_found});
  EXPECT_EQ(judged[0].severity, Severity::error);
  EXPECT_EQ(judged[0].overruled, Overruled::no);
}

TEST(Judge, PutsTheGravestFirst) {
  const auto judged = judge({finding(FindingId::kernel_chosen), finding(FindingId::modules_missing),
                             finding(FindingId::client_missing), finding(FindingId::kho_off)},
                            {}, {});
  EXPECT_EQ(ids(judged), (std::vector{FindingId::client_missing, FindingId::kho_off,
                                      FindingId::modules_missing, FindingId::kernel_chosen}));
  ASSERT_NE(first_error(judged), nullptr);
  EXPECT_EQ(first_error(judged)->id, FindingId::client_missing);
  EXPECT_EQ(overruled_text(judged, "uid 0"), "");
  EXPECT_EQ(first_error({}), nullptr);
}

TEST(Judge, LetsARequestOverruleErrors) {
  const auto judged =
      judge({finding(FindingId::initrd_missing), finding(FindingId::kho_off),
             finding(FindingId::kernel_chosen), finding(FindingId::initrd_missing)},
            {}, {FindingId::initrd_missing, FindingId::kernel_chosen, FindingId::abi_differs});
  EXPECT_EQ(ids(judged), (std::vector{FindingId::kho_off, FindingId::initrd_missing,
                                      FindingId::initrd_missing, FindingId::kernel_chosen}));
  EXPECT_EQ(judged[1].severity, Severity::warning);
  EXPECT_EQ(judged[1].overruled, Overruled::by_request);
  EXPECT_EQ(judged[3].overruled, Overruled::no);
  EXPECT_EQ(overruled_text(judged, "uid 0 (a.service)"),
            "initrd-missing (allowed by uid 0 (a.service))");
}

TEST(Judge, LetsTheConfigurationSayHowGraveAFindingIs) {
  const Rulings rulings = {{FindingId::initrd_missing, Ruling::ignore},
                           {FindingId::kho_off, Ruling::warning},
                           {FindingId::modules_missing, Ruling::error},
                           {FindingId::kernel_loaded, Ruling::warning}};
  const auto judged =
      judge({finding(FindingId::initrd_missing), finding(FindingId::kho_off),
             finding(FindingId::modules_missing), finding(FindingId::kernel_loaded)},
            rulings, {});
  EXPECT_EQ(ids(judged), (std::vector{FindingId::modules_missing, FindingId::kho_off,
                                      FindingId::kernel_loaded, FindingId::initrd_missing}));
  EXPECT_EQ(judged[0].overruled, Overruled::no) << "it became graver";
  EXPECT_EQ(judged[3].severity, Severity::fact);
  EXPECT_EQ(overruled_text(judged, "uid 0"),
            "kho-off (by the configuration), initrd-missing (by the configuration)");
  // What the configuration makes an error can be allowed, too.
  const auto allowed =
      judge({finding(FindingId::modules_missing)}, rulings, {FindingId::modules_missing});
  EXPECT_EQ(first_error(allowed), nullptr);
}

TEST(ParseFindingIds, TakesCommasAndSpaces) {
  EXPECT_EQ(parse_finding_ids(""), std::set<FindingId>{});
  EXPECT_EQ(parse_finding_ids(" initrd-missing,kho-off, abi-differs"),
            (std::set{FindingId::initrd_missing, FindingId::kho_off, FindingId::abi_differs}));
  const auto unknown = parse_finding_ids("initrd-mising");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(unknown.error().message.find("'initrd-missing'"), std::string::npos);
}

}  // namespace
}  // namespace handover
