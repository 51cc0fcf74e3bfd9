// SPDX-License-Identifier: LGPL-2.1-or-later
// Rules about the host and its room: each one speaks, and each one is silent.
#include "core/host_findings.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "core/manager_findings.h"
#include "core/preflight.h"
#include "core/room_findings.h"
#include "core/target_findings.h"

namespace handover {
namespace {

PreflightInput host_that_may() {
  PreflightInput input;
  input.target = KernelImage{"/boot/vmlinuz-7.3.4", "7.3.4", {"kho-v4", "luo-v5", "memfd-v2"}};
  input.target->bytes = 10U << 20U;
  input.target->memory_bytes = 40U << 20U;
  input.target->is_signed = true;
  input.running = {"7.2.13", {"kho-v4", "luo-v5", "memfd-v2"}, true, true, "kho=on"};
  input.target_cmdline = "kho=on liveupdate=on";
  input.initrd = InitrdFacts{"/boot/initrd.img-7.3.4", 20U << 20U, "", false, {}};
  input.initrd->has_microcode = true;
  input.host = HostFacts();
  input.host->clocksource = "tsc";
  input.host->uptime_usec = 60'000'000;
  input.room = RoomFacts();
  return input;
}

using Change = std::function<void(PreflightInput&)>;

std::vector<Finding> found(const Change& change) {
  auto input = host_that_may();
  change(input);
  return preflight(input);
}

/// With the change there is one finding more, and its sentence has these words.
void expect(FindingId id, const Change& change, const std::vector<std::string>& words) {
  const auto findings = found(change);
  ASSERT_EQ(findings.size(), 1U) << to_string(id);
  EXPECT_EQ(findings[0].id, id) << findings[0].message;
  EXPECT_EQ(findings[0].severity, usual_severity(id));
  const auto text = text_of(findings[0]);
  EXPECT_EQ(findings[0].message.find(';'), std::string::npos) << text;
  for (const auto& word : words) {
    EXPECT_NE(text.find(word), std::string::npos) << "'" << word << "' is not in: " << text;
  }
}

void expect_nothing(const Change& change) {
  for (const auto& finding : found(change)) ADD_FAILURE() << text_of(finding);
}

/// Whoever mends the target is not to meet the rest at the next try.
TEST(HostFindings, AreToldAlsoOfATargetThatIsNotThere) {
  auto input = host_that_may();
  input.target.reset();
  input.initrd.reset();
  input.target_problem = Error{ErrorCode::kernel_not_found, "there is no kernel 'x'", 0};
  const auto ids = [&input] {
    std::set<FindingId> all;
    for (const auto& finding : preflight(input)) all.insert(finding.id);
    return all;
  };
  EXPECT_EQ(ids(), std::set{FindingId::kernel_not_found});
  input.managers.inhibitors = {{"backup", "it runs", 12, true}};
  input.host->package_locks = {{"/var/lib/dpkg/lock", "apt (process 9)"}};
  input.host->denied = DeniedHost{"/etc/handover/kexec-deny.d/x.conf:1", "no"};
  input.room->state_directory = 0;
  input.watchdog = WatchdogFacts{};
  EXPECT_EQ(ids(), (std::set{FindingId::kernel_not_found, FindingId::shutdown_inhibited,
                             FindingId::packages_changing, FindingId::kexec_denied,
                             FindingId::state_full, FindingId::watchdog_unavailable}));
}

TEST(HostFindings, SayNothingOfAGoodHost) {
  expect_nothing([](PreflightInput&) {});
}

TEST(HostFindings, SayNothingWhereNoKernelIsBooted) {
  expect_nothing([](PreflightInput& input) {
    input.host->package_locks = {{"/var/lib/dpkg/lock", "apt (process 1)"}};
    input.host->locked_volumes = {{"root", true}};
    input.room->available_memory = 0;
    input.carried.bytes = 1;
    input.target.reset();
  });
}

TEST(HostFindings, AHostThatCannotKexecIsRefused) {
  expect(FindingId::kexec_denied,
         [](PreflightInput& input) {
           input.host->denied =
               DeniedHost{"/etc/handover/kexec-deny.d/a.conf:3", "its disks stay off"};
         },
         {"a.conf:3", "its disks stay off"});
  expect(FindingId::deny_list_unread,
         [](PreflightInput& input) { input.host->deny_problems = {"a.conf:7: no pattern"}; },
         {"a.conf:7: no pattern"});
}

TEST(HostFindings, PackageManagersAreWaitedFor) {
  expect(FindingId::packages_changing,
         [](PreflightInput& input) {
           input.host->package_locks = {{"/var/lib/dpkg/lock-frontend", "apt-get (process 12)"}};
         },
         {"apt-get (process 12)", "/var/lib/dpkg/lock-frontend"});
  expect(FindingId::packages_changing,
         [](PreflightInput& input) {
           input.host->package_locks = {{"/var/lib/dpkg/lock", ""}};
         },
         {"a package manager is at work", "/var/lib/dpkg/lock"});
  expect(FindingId::packages_changing,
         [](PreflightInput& input) {
           input.host->package_locks = {{"/var/lib/pacman/db.lck", "", true}};
         },
         {"or it died", "/var/lib/pacman/db.lck", "remove that file"});
}

TEST(HostFindings, AnInitrdThatMayAskAPersonIsAWarning) {
  EXPECT_EQ(usual_severity(FindingId::root_locked), Severity::warning);
  expect(FindingId::root_locked,
         [](PreflightInput& input) {
           input.host->locked_volumes = {{"luks-root", true}};
         },
         {"'luks-root'", "TPM"});
  expect(FindingId::volume_locked,
         [](PreflightInput& input) {
           input.host->locked_volumes = {{"data", false}};
         },
         {"'data'", "/etc/crypttab"});
}

TEST(HostFindings, AVolumeSaysWhatAPersonHasToDo) {
  const auto by = [](Unlocking how, bool holds_root, bool in_initrd = false) {
    return [=](PreflightInput& input) {
      input.host->locked_volumes = {{"cr", holds_root, in_initrd, how}};
    };
  };
  expect(FindingId::root_locked, by(Unlocking::security_key, true), {"'cr'", "touch", "FIDO2"});
  expect(FindingId::root_locked, by(Unlocking::pin, true), {"'cr'", "PIN"});
  expect(FindingId::volume_locked, by(Unlocking::passphrase, false, true),
         {"'cr'", "initrd may ask a person for its key", "stand still"});
  // A question that nobody is asked is none.
  EXPECT_EQ(usual_severity(FindingId::clevis_unlocks), Severity::fact);
  expect(FindingId::clevis_unlocks, by(Unlocking::none, true), {"clevis", "'cr'"});
  expect(FindingId::clevis_unlocks, by(Unlocking::none, false), {"clevis", "the boot asks"});
}

TEST(HostFindings, AnImageOfAHibernationIsAnError) {
  EXPECT_EQ(usual_severity(FindingId::resume_image), Severity::error);
  const auto image = [](PreflightInput& input) {
    input.host->resume_device = "/dev/sda3";
    input.host->resume_image = true;
  };
  expect(FindingId::resume_image, image, {"/dev/sda3", "noresume", "swapon"});
  expect(FindingId::resume_device,
         [](PreflightInput& input) { input.host->hibernate_location = true; },
         {"HibernateLocation", "noresume"});
  expect(FindingId::resume_image,
         [&](PreflightInput& input) {
           image(input);
           input.host->hibernate_location = true;
         },
         {"/dev/sda3"});
}

TEST(HostFindings, NetworkFileSystemsAreCutByAnImmediateKexec) {
  const auto mounts = [](PreflightInput& input) {
    input.host->network_mounts = {{"/", "nfs4"}, {"/home", "cifs"}};
  };
  expect(FindingId::network_mounts, mounts, {"/ (nfs4)", "/home (cifs)", "orderly"});
  expect_nothing([&](PreflightInput& input) {
    mounts(input);
    input.mode = Mode::orderly;
  });
}

TEST(HostFindings, SwapAndHibernationAreTold) {
  expect(FindingId::swap_used, [](PreflightInput& input) { input.host->swaps = {"/dev/zram0"}; },
         {"/dev/zram0"});
  expect(FindingId::resume_device,
         [](PreflightInput& input) { input.host->resume_device = "/dev/sda3"; },
         {"/dev/sda3", "noresume"});
}

TEST(HostFindings, HotAddedMemoryIsTold) {
  expect(FindingId::memory_hot_added,
         [](PreflightInput& input) { input.host->hot_added_bytes = UINT64_C(512) << 20U; },
         {"512 MiB"});
}

TEST(HostFindings, AnOrderlyUpdateIsAdvisedByItsOption) {
  expect(FindingId::network_mounts,
         [](PreflightInput& input) {
           input.host->network_mounts = {{"/home", "nfs4"}};
         },
         {"update with --orderly"});
}

TEST(HostFindings, AnOrderlyKexecWaitsForTheUptime) {
  const auto early = [](PreflightInput& input) {
    input.host->uptime_usec = 7'000'000;
    input.mode = Mode::orderly;
  };
  expect(FindingId::uptime_short, early, {"7 s", "15 s"});
  const auto wanted = [&](std::uint64_t usec) {
    return [early, usec](PreflightInput& input) {
      early(input);
      input.host->minimum_uptime_usec = usec;
    };
  };
  expect(FindingId::uptime_short, wanted(120'000'000), {"7 s", "120 s"});
  expect_nothing(wanted(5'000'000));
  expect_nothing(wanted(0));
  expect_nothing([&](PreflightInput& input) {
    early(input);
    input.mode = Mode::immediate;
  });
  expect_nothing([&](PreflightInput& input) {
    early(input);
    input.host->uptime_usec = 15'000'000;
  });
  expect_nothing([&](PreflightInput& input) {
    early(input);
    input.host->uptime_usec = 0;  // not known
  });
}

TEST(HostFindings, AnotherClockIsAFact) {
  expect(FindingId::clock_unstable, [](PreflightInput& input) { input.host->clocksource = "hpet"; },
         {"hpet"});
  expect_nothing([](PreflightInput& input) { input.host->clocksource = ""; });
}

TEST(HostFindings, OthersAtLiveUpdateAreNamed) {
  expect(FindingId::liveupdate_held,
         [](PreflightInput& input) { input.host->liveupdate_holders = {"luo-tool (process 9)"}; },
         {"luo-tool (process 9)"});
}

// ---- the target

TEST(TargetFindings, AnOlderTargetIsAWarning) {
  expect(FindingId::target_older, [](PreflightInput& input) { input.running.release = "7.10.1"; },
         {"7.3.4", "7.10.1"});
  expect(FindingId::target_same, [](PreflightInput& input) { input.running.release = "7.3.4"; },
         {"7.3.4"});
  expect_nothing([](PreflightInput& input) { input.running.release = "7.3.4-rc2"; });
  expect_nothing([](PreflightInput& input) { input.target->release = ""; });
}

TEST(TargetFindings, ALockedDownKernelMayWantASignature) {
  // Without CONFIG_KEXEC_SIG, or with IMA, it does not.
  EXPECT_EQ(usual_severity(FindingId::target_unsigned), Severity::warning);
  for (const auto lockdown : {Lockdown::integrity, Lockdown::confidentiality}) {
    const auto locked = [&](PreflightInput& input) {
      input.host->lockdown = lockdown;
      input.host->secure_boot = true;
    };
    expect_nothing(locked);
    expect(FindingId::target_unsigned,
           [&](PreflightInput& input) {
             locked(input);
             input.target->is_signed = false;
           },
           {"/boot/vmlinuz-7.3.4", "locked down"});
  }
  expect(FindingId::secure_boot,
         [](PreflightInput& input) {
           input.host->secure_boot = true;
           input.target->is_signed = false;
         },
         {"Secure Boot"});
  expect_nothing([](PreflightInput& input) { input.target->is_signed = false; });
}

void need_module(PreflightInput& input) {
  input.module.needed = true;
  input.module.format = 1;
  input.module.kho = true;
  KernelModule module{"/lib/modules/7.3.4/updates/handover.ko", "1"};
  module.vermagic = "7.3.4 SMP preempt mod_unload";
  module.indexed = true;
  input.module.target = module;
}

TEST(TargetFindings, TheModuleMustBeLoadedThere) {
  expect_nothing(need_module);
  const auto broken = [](const std::function<void(KernelModule&)>& change) {
    return [change](PreflightInput& input) {
      need_module(input);
      change(*input.module.target);
    };
  };
  expect(FindingId::module_vermagic,
         broken([](KernelModule& module) { module.vermagic = "7.3.40 SMP"; }), {"7.3.40", "7.3.4"});
  expect(FindingId::module_not_indexed,
         broken([](KernelModule& module) { module.indexed = false; }),
         {"modules.dep", "depmod 7.3.4"});
  expect(FindingId::module_blocked,
         broken([](KernelModule& module) { module.blocked_by = "/etc/modprobe.d/no.conf"; }),
         {"/etc/modprobe.d/no.conf"});
  // weak-updates: the checksums of its symbols decide, not the release.
  expect_nothing(broken(
      [](KernelModule& module) { module.vermagic = "7.3.3 SMP preempt mod_unload modversions "; }));
  // What is not known is not said, and what is not needed does not matter.
  expect_nothing(broken([](KernelModule& module) {
    module.indexed.reset();
    module.vermagic = "";
  }));
  expect_nothing([&](PreflightInput& input) {
    broken([](KernelModule& module) { module.indexed = false; })(input);
    input.module.needed = false;
  });
}

TEST(TargetFindings, AddOnsOfAUnifiedImageAreLeftOut) {
  expect(FindingId::uki_addons,
         [](PreflightInput& input) { input.uki_addons = {"/efi/EFI/Linux/a.efi.extra.d/x.cred"}; },
         {"a.efi.extra.d/x.cred", "--cmdline"});
}

TEST(TargetFindings, WhatMayBeBuiltInIsToldWhereItIsNotKnown) {
  expect(FindingId::config_unread, [](PreflightInput& input) { input.target->no_config = true; },
         {"7.3.4", "CONFIG_CMDLINE"});
}

TEST(TargetFindings, TheModuleMustBeSignedWhereOthersAre) {
  const auto enforced = [](PreflightInput& input) {
    need_module(input);
    input.host->modules_must_be_signed = true;
  };
  expect(FindingId::module_unsigned, enforced, {"handover.ko", "signed"});
  expect(FindingId::module_unsigned,
         [](PreflightInput& input) {
           need_module(input);
           input.host->lockdown = Lockdown::integrity;
         },
         {"handover.ko"});
  expect_nothing([&](PreflightInput& input) {
    enforced(input);
    input.module.target->is_signed = true;
  });
}

TEST(TargetFindings, ACrashKernelIsNotForgotten) {
  const auto running = [](PreflightInput& input) {
    input.running.cmdline = "crashkernel=256M kho=on";
  };
  expect(FindingId::crashkernel_missing, running, {"crashkernel="});
  expect_nothing([&](PreflightInput& input) {
    running(input);
    input.target_cmdline = "kho=on liveupdate=on crashkernel=1G-:192M";
  });
}

std::vector<FindingId> ids(const Change& change) {
  std::vector<FindingId> all;
  for (const auto& finding : found(change)) all.push_back(finding.id);
  return all;
}

TEST(TargetFindings, ALoadedCrashKernelIsToldAndNotForgotten) {
  using Ids = std::vector<FindingId>;
  const auto loaded = [](std::string cmdline, std::string loader) {
    return [cmdline = std::move(cmdline), loader = std::move(loader)](PreflightInput& input) {
      input.host->crash_loaded = true;
      input.host->crash_loader = loader;
      input.target_cmdline = "kho=on liveupdate=on " + cmdline;
    };
  };
  // Not by the command line: the boot loader's entry, or a kernel's default, may have kept its
  // memory.
  EXPECT_EQ(ids(loaded("", "kdump.service")),
            (Ids{FindingId::crashkernel_missing, FindingId::crash_kernel_loaded}));
  EXPECT_EQ(ids(loaded("crashkernel=256M", "")),
            (Ids{FindingId::crash_loader_missing, FindingId::crash_kernel_loaded}));
  expect(FindingId::crash_kernel_loaded, loaded("crashkernel=256M", "kdump-tools.service"),
         {"crash kernel", "panic", "lost"});
  EXPECT_EQ(usual_severity(FindingId::crash_kernel_loaded), Severity::fact);
  EXPECT_EQ(usual_severity(FindingId::crash_loader_missing), Severity::warning);
}

TEST(TargetFindings, MicrocodeThatIsNotThereIsAFact) {
  const auto without = [](PreflightInput& input) {
    input.host->has_microcode = true;
    input.initrd->has_microcode = false;
  };
  expect(FindingId::microcode_missing, without, {"microcode"});
  expect_nothing([&](PreflightInput& input) {
    without(input);
    input.host->has_microcode = false;  // a guest
  });
  expect_nothing([&](PreflightInput& input) {
    without(input);
    input.initrd->has_microcode.reset();
  });
}

// ---- managers

TEST(ManagerFindings, InhibitorsOfShutdownAreRespected) {
  expect(FindingId::shutdown_inhibited,
         [](PreflightInput& input) {
           input.managers.inhibitors = {{"Backup", "It writes", 7, true}};
         },
         {"Backup (process 7)", "It writes", "systemd-inhibit"});
  expect(FindingId::shutdown_delayed,
         [](PreflightInput& input) {
           input.managers.inhibitors = {{"Upgrades", "Later", 8, false}};
         },
         {"Upgrades (process 8)", "Later"});
}

TEST(ManagerFindings, AHostThatStopsIsNotUpdated) {
  expect(FindingId::system_stopping,
         [](PreflightInput& input) {
           input.managers.shutdown_jobs = {"reboot.target"};
           input.managers.system_state = "stopping";
         },
         {"reboot.target"});
  expect(FindingId::system_stopping,
         [](PreflightInput& input) { input.managers.system_state = "stopping"; }, {"shuts down"});
  for (const auto* state : {"initializing", "starting"}) {
    expect(FindingId::system_starting,
           [&](PreflightInput& input) { input.managers.system_state = state; }, {state});
  }
  for (const auto* state : {"", "running", "degraded", "maintenance"}) {
    expect_nothing([&](PreflightInput& input) { input.managers.system_state = state; });
  }
  expect(FindingId::shutdown_scheduled,
         [](PreflightInput& input) { input.managers.scheduled_shutdown = "poweroff"; },
         {"poweroff"});
  EXPECT_TRUE(is_shutdown_unit("kexec.target"));
  EXPECT_FALSE(is_shutdown_unit("multi-user.target"));
}

TEST(ManagerFindings, UnitsMustBeThereAfterTheUpdate) {
  const auto with = [](const char* state, bool wanted) {
    return [=](PreflightInput& input) { input.managers.units = {{"vm.service", state, wanted}}; };
  };
  for (const auto* state :
       {"disabled", "enabled-runtime", "static", "indirect", "linked", "linked-runtime"}) {
    expect(FindingId::unit_not_started, with(state, false), {"vm.service", "enable"});
    expect_nothing(with(state, true));
  }
  for (const auto* state : {"masked", "transient"}) {
    expect(FindingId::unit_not_started, with(state, true), {"vm.service", state});
  }
  for (const auto* state : {"", "enabled", "generated", "alias"}) {
    expect_nothing(with(state, false));
  }
}

// ---- room

TEST(RoomFindings, TheTargetMustFitInScratch) {
  const auto areas = [](std::vector<std::uint64_t> mebibytes) {
    for (auto& area : mebibytes) area <<= 20U;
    return [mebibytes](PreflightInput& input) { input.room->scratch_bytes = mebibytes; };
  };
  expect_nothing(areas({20, 40, 8}));
  expect_nothing(areas({60}));
  expect(FindingId::scratch_small, areas({39, 39}), {"40 MiB", "20 MiB", "78 MiB", "39 MiB"});
  expect(FindingId::scratch_small, areas({59}), {"59 MiB", "kho_scratch="});
  expect_nothing(areas({}));
}

TEST(RoomFindings, MemoryForTheTargetIsAWarning) {
  // 10 read, 40 to run, 20 of initrd read, copied, and unpacked.
  expect_nothing([](PreflightInput& input) { input.room->available_memory = 150U << 20U; });
  expect(FindingId::memory_low,
         [](PreflightInput& input) { input.room->available_memory = 149U << 20U; },
         {"150 MiB", "149 MiB"});
}

TEST(RoomFindings, TheNextBootsKeysAreEstimated) {
  EXPECT_EQ(boot_usec_of_keys(0), 0U);
  EXPECT_EQ(boot_usec_of_keys(160'000), 20'000'000U);
  EXPECT_EQ(boot_usec_of_keys(320'000), 80'000'000U);
  // 64 GiB in pieces of 2 MiB.
  const auto carried = [](PreflightInput& input) { input.carried.bytes = UINT64_C(64) << 30U; };
  expect(FindingId::boot_keys, carried, {"65536 MiB", "32769 pieces", "0.8 s"});
  expect(FindingId::boot_keys_many,
         [&](PreflightInput& input) {
           carried(input);
           input.carried.small_bytes = UINT64_C(1) << 30U;
         },
         {"pieces", "scattered", "collapse"});
}

TEST(RoomFindings, TheNextFdStoreMustTakeWhatThisOneHas) {
  const auto full = [](PreflightInput& input) {
    input.carried.stored_descriptors = 100;
    input.carried.store_limit = 99;
  };
  expect(FindingId::fd_store_small, full, {"100", "99", "FileDescriptorStoreMax="});
  expect_nothing([&](PreflightInput& input) {
    full(input);
    input.carried.store_limit = 100;
  });
  expect_nothing([&](PreflightInput& input) {
    full(input);
    input.carried.store_limit.reset();
  });
}

TEST(RoomFindings, WhatIsWrittenDownNeedsRoom) {
  const auto run = [](std::uint64_t bytes) {
    return [bytes](PreflightInput& input) {
      input.carried.manifest_bytes = 1U << 20U;
      input.room->runtime_directory = bytes;
    };
  };
  expect(FindingId::runtime_full, run((3U << 20U) - 1), {"/run/handover", "3 MiB"});
  expect_nothing(run(3U << 20U));
  const auto var = [](std::uint64_t bytes) {
    return [bytes](PreflightInput& input) { input.room->state_directory = bytes; };
  };
  expect(FindingId::state_full, var((4U << 20U) - 1), {"/var/lib/handover"});
  expect_nothing(var(4U << 20U));
}

}  // namespace
}  // namespace handover
