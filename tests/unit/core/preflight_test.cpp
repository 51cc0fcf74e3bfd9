// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/preflight.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace handover {
namespace {

const std::set<std::string> abi = {"kho-v4", "luo-v5", "memfd-v2"};

PreflightInput good() {
  PreflightInput input;
  input.target = KernelImage{"/boot/vmlinuz-7.3.4", "7.3.4", abi};
  input.running = {"7.2.13", abi, true, true, "root=/dev/vda1 kho=on liveupdate=on"};
  input.needs_luo = true;
  input.memfds_preserved = true;
  input.target_cmdline = "root=/dev/vda1 kho=on liveupdate=on";
  return input;
}

std::vector<Error> of(const PreflightInput& input, Severity severity) {
  std::vector<Error> found;
  for (const Finding& finding : preflight(input)) {
    EXPECT_EQ(finding.severity, usual_severity(finding.id));
    EXPECT_EQ(finding.message.find(';'), std::string::npos) << finding.message;
    if (finding.severity == severity) found.push_back(to_error(finding));
  }
  return found;
}
std::vector<Error> errors(const PreflightInput& input) { return of(input, Severity::error); }
std::vector<Error> warnings(const PreflightInput& input) { return of(input, Severity::warning); }

/// The only finding has this code and says these words.
void expect_one(const PreflightInput& input, ErrorCode code,
                const std::vector<std::string>& words) {
  const std::vector<Error> findings = errors(input);
  ASSERT_EQ(findings.size(), 1U) << (findings.empty() ? "" : findings.back().message);
  EXPECT_EQ(findings[0].code, code) << findings[0].message;
  for (const std::string& word : words) {
    EXPECT_NE(findings[0].message.find(word), std::string::npos)
        << "'" << word << "' is not in: " << findings[0].message;
  }
}

TEST(Preflight, LetsAGoodTargetPass) { EXPECT_TRUE(errors(good()).empty()); }

TEST(Preflight, AnEmulatedUpdateNeedsNoKernel) {
  PreflightInput input;
  EXPECT_TRUE(errors(input).empty());
  input.missing_required_clients = {"db"};
  expect_one(input, ErrorCode::client_gone, {"'db'", "required"});
}

TEST(Preflight, TheRunningKernelMustHandOver) {
  PreflightInput input = good();
  input.running.kho_enabled = false;
  expect_one(input, ErrorCode::not_supported, {"7.2.13", "kho=on"});
  input = good();
  input.running.luo_available = false;
  expect_one(input, ErrorCode::not_supported, {"7.2.13", "liveupdate=on"});
}

TEST(Preflight, TheTargetMustKnowKho) {
  PreflightInput input = good();
  input.target->abi = {};
  expect_one(input, ErrorCode::kernel_incompatible,
             {"/boot/vmlinuz-7.3.4", "(7.3.4)", "no kexec handover"});
}

TEST(Preflight, EachAbiMustMatch) {
  for (const auto& [name, other] : std::map<std::string, std::string>{
           {"kho-v4", "kho-v9"}, {"luo-v5", "luo-v9"}, {"memfd-v2", "memfd-v9"}}) {
    PreflightInput input = good();
    input.target->abi.erase(name);
    input.target->abi.insert(other);
    expect_one(input, ErrorCode::kernel_incompatible, {name, other, "/boot/vmlinuz-7.3.4"});
  }
}

TEST(Preflight, AnInitrdThatIsMissingIsRefused) {
  PreflightInput input = good();
  input.initrd_missing = true;
  expect_one(input, ErrorCode::kernel_not_found, {"no initrd", "--initrd"});
}

TEST(Preflight, AnInitrdOfMicrocodeAloneIsNone) {
  PreflightInput input = good();
  input.initrd = InitrdFacts{"/boot/amd-ucode.img", 1 << 16, "", true, {}};
  input.running.has_initrd = false;
  EXPECT_TRUE(errors(input).empty());
  input.running.has_initrd = true;
  expect_one(input, ErrorCode::kernel_not_found, {"/boot/amd-ucode.img", "microcode"});
}

/// What needs no target is told nevertheless.
TEST(Preflight, ATargetThatIsNotThereIsOneFindingOfAll) {
  PreflightInput input = good();
  input.target.reset();
  input.target_problem = Error{ErrorCode::kernel_not_found, "there is no kernel 'x'", 0};
  input.running.kho_enabled = false;
  input.running.luo_available = false;
  input.missing_required_clients = {"db"};
  std::vector<FindingId> ids;
  for (const auto& finding : preflight(input)) ids.push_back(finding.id);
  EXPECT_EQ(ids.front(), FindingId::kernel_not_found);
  EXPECT_NE(std::find(ids.begin(), ids.end(), FindingId::kho_off), ids.end());
  EXPECT_NE(std::find(ids.begin(), ids.end(), FindingId::client_missing), ids.end());
  input.target_problem->code = ErrorCode::not_a_kernel;
  EXPECT_EQ(preflight(input).front().id, FindingId::kernel_unusable);
  // Where no kernel is booted, nothing is known of the running one.
  input.running = {};
  for (const auto& finding : preflight(input)) EXPECT_NE(finding.id, FindingId::kho_off);
}

TEST(Preflight, AnInitrdMustBeWholeAndTheTargets) {
  PreflightInput input = good();
  input.initrd = InitrdFacts{"/boot/initrd.img-7.3.4", 1 << 20, "", false, {}};
  EXPECT_TRUE(errors(input).empty());
  input.initrd->modules = {"7.2.13", "7.3.4"};
  EXPECT_TRUE(errors(input).empty());
  input.initrd->modules = {"7.2.13"};
  expect_one(input, ErrorCode::kernel_incompatible,
             {"/boot/initrd.img-7.3.4", "modules of 7.2.13", "(7.3.4)", "--initrd"});
  input.initrd->damage = "its archive ends early";
  expect_one(input, ErrorCode::kernel_not_found,
             {"/boot/initrd.img-7.3.4", "ends early", "update-initramfs"});
  input.initrd->bytes = 0;
  expect_one(input, ErrorCode::kernel_not_found, {"/boot/initrd.img-7.3.4", "is empty"});
}

TEST(Preflight, ModulesThatAreMissingAreAWarning) {
  PreflightInput input = good();
  EXPECT_TRUE(warnings(input).empty());
  input.modules_missing = true;
  EXPECT_TRUE(errors(input).empty());
  const auto found = warnings(input);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found[0].message.find("/lib/modules/7.3.4"), std::string::npos);
  EXPECT_NE(found[0].message.find("/boot/vmlinuz-7.3.4"), std::string::npos);
  input.target.reset();
  EXPECT_TRUE(warnings(input).empty()) << "nothing is booted";
}

TEST(Preflight, TheTargetMustHaveLuoAndMemfdIfSessionsNeedThem) {
  PreflightInput input = good();
  input.target->abi = {"kho-v4", "memfd-v2"};
  expect_one(input, ErrorCode::kernel_incompatible, {"no live update orchestrator"});
  input.target->abi = {"kho-v4", "luo-v5"};
  expect_one(input, ErrorCode::kernel_incompatible, {"no memfd preservation"});
  // The manifest itself travels as a memfd.
  input.memfds_preserved = false;
  expect_one(input, ErrorCode::kernel_incompatible, {"no memfd preservation"});
  input.needs_luo = false;
  EXPECT_TRUE(errors(input).empty());
}

TEST(Preflight, AnotherLuoAbiIsRefusedEvenWithoutASession) {
  PreflightInput input = good();
  input.needs_luo = false;
  input.memfds_preserved = false;
  input.target->abi = {"kho-v4", "luo-v6"};
  expect_one(input, ErrorCode::kernel_incompatible, {"luo-v5", "luo-v6"});
  input.target->abi = {"kho-v4"};
  EXPECT_TRUE(errors(input).empty());
}

TEST(Preflight, ATargetThatKnowsMoreIsFine) {
  PreflightInput input = good();
  input.target->abi.insert({"kho-v5", "luo-v6", "memfd-v3", "hugetlb-v1"});
  EXPECT_TRUE(errors(input).empty());
  // The other way round nobody knows which one is spoken.
  std::swap(input.target->abi, input.running.abi);
  EXPECT_EQ(errors(input).size(), 3U);
}

TEST(Preflight, WhyItCannotBeFoundOutIsTold) {
  PreflightInput input = good();
  input.running.abi.erase("memfd-v2");
  input.running.abi_problem = "/boot/vmlinuz-7.2.13: Too many open files";
  expect_one(input, ErrorCode::kernel_incompatible,
             {"cannot find out", "(/boot/vmlinuz-7.2.13: Too many open files); put"});
  input = good();
  input.running.kho_enabled = false;
  input.running.abi_problem = "/boot/vmlinuz-7.2.13: Too many open files";
  expect_one(input, ErrorCode::not_supported, {"as far as is known (/boot/vmlinuz-7.2.13"});
}

TEST(Preflight, WhatCannotBeFoundOutIsRefused) {
  PreflightInput input = good();
  input.running.abi = {};
  const auto findings = errors(input);
  ASSERT_EQ(findings.size(), 3U);
  for (const Error& finding : findings) {
    EXPECT_EQ(finding.code, ErrorCode::kernel_incompatible);
    EXPECT_NE(finding.message.find("cannot find out"), std::string::npos) << finding.message;
    EXPECT_NE(finding.message.find("7.2.13"), std::string::npos) << finding.message;
  }
  input = good();
  input.running.abi.erase("memfd-v2");
  expect_one(input, ErrorCode::kernel_incompatible, {"cannot find out", "memfd"});
}

/// The companion module holds something, and is installed for the target.
PreflightInput with_module() {
  PreflightInput input = good();
  input.module.needed = true;
  input.module.format = 1;
  input.module.kho = true;
  input.module.target = KernelModule{"/lib/modules/7.3.4/extra/handover.ko.xz", "1"};
  return input;
}

TEST(Preflight, TheTargetMustHaveTheCompanionModule) {
  EXPECT_TRUE(errors(with_module()).empty());
  PreflightInput input = with_module();
  input.module.target.reset();
  expect_one(input, ErrorCode::module_missing,
             {"handover.ko", "/lib/modules/7.3.4", "(7.3.4)", "dkms"});
  input.module.problem = "/lib/modules/7.3.4/handover.ko: it is damaged";
  expect_one(input, ErrorCode::module_missing, {"it is damaged", "install it again"});
  input = with_module();
  input.target->release = "";
  expect_one(input, ErrorCode::module_missing, {"/boot/vmlinuz-7.3.4", "release"});
}

TEST(Preflight, TheTargetsModuleMustReadWhatThisOneWrites) {
  PreflightInput input = with_module();
  input.module.target->format = "2";
  expect_one(input, ErrorCode::kernel_incompatible,
             {"format 1", "format 2", "/lib/modules/7.3.4/extra/handover.ko.xz"});
  input.module.target->format = "";
  expect_one(input, ErrorCode::kernel_incompatible, {"no known format"});
}

TEST(Preflight, AModuleThatHoldsNothingMayBeMissing) {
  PreflightInput input = with_module();
  input.module.needed = false;
  input.module.target.reset();
  EXPECT_TRUE(errors(input).empty());
  input.module.target = KernelModule{"/lib/modules/7.3.4/handover.ko", "2"};
  EXPECT_TRUE(errors(input).empty());
}

TEST(Preflight, TheModuleCanTellThatKhoIsOn) {
  PreflightInput input = with_module();
  input.running.kho_enabled = false;  // no LUO and no debugfs to say so
  EXPECT_TRUE(errors(input).empty());
  input.module.kho = false;
  expect_one(input, ErrorCode::not_supported, {"7.2.13", "kho=on"});
}

TEST(Preflight, AKernelWithoutLuoDoesForTheModuleAlone) {
  PreflightInput input = with_module();
  input.needs_luo = false;
  input.memfds_preserved = false;
  input.running.abi = {"kho-v4"};
  input.running.luo_available = false;
  input.target->abi = {"kho-v4"};
  input.target_cmdline = "kho=on";
  EXPECT_TRUE(errors(input).empty());
}

TEST(Preflight, TheTargetsCommandLineMustSwitchItOn) {
  for (const std::string cmdline :
       {"liveupdate=on", "kho=off liveupdate=on", "kho=on liveupdate=on kho=0",
        "liveupdate=on -- kho=on", "kho liveupdate=on", "xkho=on liveupdate=on"}) {
    PreflightInput input = good();
    input.target_cmdline = cmdline;
    expect_one(input, ErrorCode::kernel_incompatible, {"kho=on", "command line"});
  }
  PreflightInput input = good();
  input.target_cmdline = "kho=on";
  expect_one(input, ErrorCode::kernel_incompatible, {"liveupdate=on"});
  for (const std::string cmdline :
       {"kho=1 liveupdate=Y", "kho=off kho=on liveupdate=true", R"("kho=on" liveupdate="on")"}) {
    input.target_cmdline = cmdline;
    EXPECT_TRUE(errors(input).empty()) << cmdline;
  }
}

TEST(Preflight, SaysWhichKernelWasChosenAndWhatElseIsLoaded) {
  PreflightInput input = good();
  input.target_why = "the newest of 2 kernels";
  input.kernel_loaded = true;
  EXPECT_TRUE(errors(input).empty());
  ASSERT_EQ(warnings(input).size(), 1U);
  EXPECT_NE(warnings(input)[0].message.find("loaded for kexec"), std::string::npos);
  const auto facts = of(input, Severity::fact);
  ASSERT_EQ(facts.size(), 1U);
  EXPECT_EQ(facts[0].message,
            "the target kernel /boot/vmlinuz-7.3.4 (7.3.4) is the newest of 2 kernels");
}

TEST(Preflight, ABadKernelIsRefusedAndAnUntriedOneTold) {
  auto input = good();
  input.target_record = KernelRecord{};
  input.target_record->kernel = {"7.3.5", "100-0000beef"};
  const auto ids = [](const std::vector<Finding>& findings) {
    std::vector<FindingId> all;
    for (const auto& finding : findings) all.push_back(finding.id);
    return all;
  };
  EXPECT_EQ(ids(preflight(input)), std::vector{FindingId::kernel_untried});
  input.target_record->state = KernelState::good;
  EXPECT_TRUE(preflight(input).empty());
  input.target_record->state = KernelState::bad;
  input.target_record->reason = "the health command failed: it ended with status 1";
  input.target_record->when = "2026-11-30T12:00:00Z";
  input.target_record->update = 7;
  const auto found = preflight(input);
  ASSERT_EQ(ids(found), std::vector{FindingId::kernel_bad});
  EXPECT_EQ(found[0].severity, Severity::error);
  EXPECT_NE(found[0].message.find("since update 7 (2026-11-30T12:00:00Z): the health command"),
            std::string::npos)
      << found[0].message;
  EXPECT_NE(found[0].advice.find("handoverctl kernels allow 7.3.5"), std::string::npos);
}

TEST(Preflight, TheWatchdogIsAWarning) {
  auto input = good();
  input.watchdog = WatchdogFacts{};
  input.watchdog->device = "/dev/watchdog0";
  auto found = preflight(input);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].id, FindingId::watchdog_unavailable);
  EXPECT_EQ(found[0].severity, Severity::warning);
  input.watchdog->there = true;
  found = preflight(input);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].id, FindingId::watchdog_stops);
  EXPECT_NE(found[0].advice.find("watchdog.stop_on_reboot=0"), std::string::npos);
  input.watchdog->stop_on_reboot = 0;
  EXPECT_TRUE(preflight(input).empty());
}

TEST(Preflight, ANeedThatNobodyMeetsIsTheFirstError) {
  PreflightInput input = good();
  input.needs_unknown = "Client 'vm' needs 'disk', which is not registered";
  input.running.kho_enabled = false;
  const auto found = errors(input);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].code, ErrorCode::unknown_dependency);
}

TEST(Preflight, NamesWhatWasLostAndNotMadeAnew) {
  PreflightInput input = good();
  input.lost_sessions = {{"ram", "db"}};
  expect_one(input, ErrorCode::state_lost, {"session 'ram' was lost, and client 'db'", "restart"});
  input.lost_sessions = {{"ram", "db", 7}};
  expect_one(input, ErrorCode::state_lost, {"token 7 of session 'ram'"});
}

TEST(Preflight, NamesEveryCulpritTheGravestFirst) {
  PreflightInput input = good();
  input.unfinished_sessions = {"old-1", "old-2"};
  input.missing_required_clients = {"db"};
  input.target->abi = {};
  input.running.kho_enabled = false;
  const std::vector<Error> findings = errors(input);
  ASSERT_EQ(findings.size(), 5U);
  EXPECT_EQ(findings[0].code, ErrorCode::not_supported);
  EXPECT_EQ(findings[1].code, ErrorCode::kernel_incompatible);
  EXPECT_EQ(findings[2].code, ErrorCode::client_gone);
  EXPECT_NE(findings[2].message.find("'db'"), std::string::npos);
  EXPECT_EQ(findings[3].code, ErrorCode::incoming);
  EXPECT_NE(findings[3].message.find("'old-1'"), std::string::npos);
  EXPECT_NE(findings[4].message.find("'old-2'"), std::string::npos);
}

TEST(Preflight, ACommandLineThatIsTooLongIsRefused) {
  PreflightInput input = good();
  input.target->cmdline_bytes = 2017;
  input.target_cmdline += std::string(2016 - input.target_cmdline.size(), ' ');
  EXPECT_TRUE(errors(input).empty());
  input.target_cmdline += ' ';
  expect_one(input, ErrorCode::kernel_incompatible,
             {"2017 bytes", "no more than 2016", "--cmdline"});
}

TEST(Preflight, WhatIsBuiltIntoTheTargetCounts) {
  PreflightInput input = good();
  input.target->built_in = BuiltInCmdline{"kho=off liveupdate=off"};
  EXPECT_TRUE(errors(input).empty()) << "the later mention counts";
  input.target->built_in = BuiltInCmdline{std::string(2000, 'a')};
  input.target_cmdline += std::string(100, ' ');
  expect_one(input, ErrorCode::kernel_incompatible, {"CONFIG_CMDLINE", "2047"});
  input = good();
  input.target->built_in = BuiltInCmdline{"kho=on", true};
  expect_one(input, ErrorCode::kernel_incompatible, {"CONFIG_CMDLINE_OVERRIDE", "liveupdate=on"});
}

}  // namespace
}  // namespace handover
