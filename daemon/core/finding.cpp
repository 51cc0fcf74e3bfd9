// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/finding.h"

#include <algorithm>
#include <utility>

#include "core/text.h"

namespace handover {
namespace {

void rule(Finding& finding, Severity severity, Overruled by) {
  if (finding.severity < severity) finding.overruled = by;
  finding.severity = severity;
}

}  // namespace

Severity usual_severity(FindingId id) {
  switch (id) {
    case FindingId::modules_missing:
    case FindingId::kernel_loaded:
    case FindingId::hook_warns:
    case FindingId::hook_unsafe:
    case FindingId::deny_list_unread:
    case FindingId::shutdown_delayed:
    case FindingId::shutdown_scheduled:
    case FindingId::system_starting:
    case FindingId::root_locked:
    case FindingId::volume_locked:
    case FindingId::network_mounts:
    case FindingId::resume_device:
    case FindingId::uptime_short:
    case FindingId::memory_hot_added:
    case FindingId::liveupdate_held:
    case FindingId::unit_not_started:
    case FindingId::target_older:
    case FindingId::target_unsigned:
    case FindingId::secure_boot:
    case FindingId::crashkernel_missing:
    case FindingId::crash_loader_missing:
    case FindingId::memory_low:
    case FindingId::boot_keys_many:
    case FindingId::fd_store_small:
    case FindingId::runtime_full:
    case FindingId::state_full:
    case FindingId::watchdog_unavailable:
    case FindingId::watchdog_stops:
    case FindingId::bless_impossible:
    case FindingId::uki_addons:
      return Severity::warning;
    case FindingId::kernel_untried:
    case FindingId::kernel_chosen:
    case FindingId::swap_used:
    case FindingId::clevis_unlocks:
    case FindingId::crash_kernel_loaded:
    case FindingId::clock_unstable:
    case FindingId::target_same:
    case FindingId::microcode_missing:
    case FindingId::boot_keys:
    case FindingId::config_unread:
      return Severity::fact;
    default:
      return Severity::error;
  }
}

bool may_be_overruled(FindingId id) {
  return id != FindingId::kernel_not_found && id != FindingId::kernel_unusable;
}

ErrorCode code_of(FindingId id) {
  switch (id) {
    case FindingId::needs_unknown:
      return ErrorCode::unknown_dependency;
    case FindingId::kernel_unusable:
      return ErrorCode::not_a_kernel;
    case FindingId::kho_off:
    case FindingId::luo_off:
    case FindingId::kexec_denied:
    case FindingId::deny_list_unread:
    case FindingId::root_locked:
    case FindingId::volume_locked:
    case FindingId::memory_hot_added:
    case FindingId::network_mounts:
    case FindingId::resume_image:
    case FindingId::resume_device:
    case FindingId::clevis_unlocks:
      return ErrorCode::not_supported;
    case FindingId::target_without_kho:
    case FindingId::abi_unknown:
    case FindingId::abi_differs:
    case FindingId::module_format:
    case FindingId::cmdline_too_long:
    case FindingId::cmdline_off:
    case FindingId::initrd_other_kernel:
    case FindingId::modules_missing:
    case FindingId::target_older:
    case FindingId::target_same:
    case FindingId::module_unsigned:
    case FindingId::module_vermagic:
    case FindingId::crashkernel_missing:
    case FindingId::crash_loader_missing:
    case FindingId::crash_kernel_loaded:
    case FindingId::microcode_missing:
    case FindingId::kernel_bad:
    case FindingId::config_unread:
      return ErrorCode::kernel_incompatible;
    case FindingId::module_missing:
    case FindingId::module_not_indexed:
    case FindingId::module_blocked:
      return ErrorCode::module_missing;
    case FindingId::kernel_not_found:
    case FindingId::initrd_empty:
    case FindingId::initrd_damaged:
    case FindingId::initrd_missing:
      return ErrorCode::kernel_not_found;
    case FindingId::target_unsigned:
    case FindingId::secure_boot:
    case FindingId::scratch_small:
    case FindingId::memory_low:
      return ErrorCode::kexec_load_failed;
    case FindingId::client_missing:
      return ErrorCode::client_gone;
    case FindingId::session_incoming:
      return ErrorCode::incoming;
    case FindingId::session_lost:
      return ErrorCode::state_lost;
    case FindingId::hook_refused:
    case FindingId::hook_warns:
      return ErrorCode::vetoed;
    case FindingId::hook_unsafe:
      return ErrorCode::access_denied;
    case FindingId::session_degraded:
    case FindingId::client_frozen:
    case FindingId::kernel_loaded:
    case FindingId::kernel_untried:
    case FindingId::kernel_chosen:
    case FindingId::packages_changing:
    case FindingId::shutdown_inhibited:
    case FindingId::shutdown_delayed:
    case FindingId::system_stopping:
    case FindingId::shutdown_scheduled:
    case FindingId::system_starting:
    case FindingId::swap_used:
    case FindingId::uptime_short:
    case FindingId::liveupdate_held:
    case FindingId::clock_unstable:
    case FindingId::unit_not_started:
    case FindingId::boot_keys:
    case FindingId::boot_keys_many:
      return ErrorCode::busy;
    case FindingId::fd_store_small:
      return ErrorCode::limit_exceeded;
    case FindingId::runtime_full:
    case FindingId::state_full:
      return ErrorCode::io;
    case FindingId::watchdog_unavailable:
    case FindingId::watchdog_stops:
    case FindingId::bless_impossible:
    case FindingId::uki_addons:
      return ErrorCode::not_supported;
  }
  return ErrorCode::internal;
}

std::string text_of(const Finding& finding) {
  return finding.advice.empty() ? finding.message : finding.message + "; " + finding.advice;
}

Error to_error(const Finding& finding) { return Error{code_of(finding.id), text_of(finding)}; }

std::vector<Finding> judge(std::vector<Finding> findings, const Rulings& config,
                           const std::set<FindingId>& allowed) {
  for (Finding& finding : findings) {
    if (!may_be_overruled(finding.id)) continue;
    if (const auto ruling = config.find(finding.id); ruling != config.end()) {
      constexpr Severity becomes[] = {Severity::error, Severity::warning, Severity::fact};
      rule(finding, becomes[static_cast<std::size_t>(ruling->second)], Overruled::by_config);
    }
    if (finding.severity == Severity::error && allowed.contains(finding.id)) {
      rule(finding, Severity::warning, Overruled::by_request);
    }
  }
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& a, const Finding& b) { return a.severity < b.severity; });
  return findings;
}

const Finding* first_error(const std::vector<Finding>& findings) {
  const auto first = std::find_if(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.severity == Severity::error;
  });
  return first == findings.end() ? nullptr : &*first;
}

std::string overruled_text(const std::vector<Finding>& findings, const std::string& requested_by) {
  std::vector<std::string> texts;
  for (const Finding& finding : findings) {
    if (finding.overruled == Overruled::no) continue;
    const auto by = finding.overruled == Overruled::by_config ? std::string("by the configuration")
                                                              : "allowed by " + requested_by;
    auto text = std::string(to_string(finding.id)) + " (" + by + ")";
    // Several sessions may have the same.
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(text);
  }
  return with_commas(texts);
}

Result<std::set<FindingId>> parse_finding_ids(std::string_view text) {
  std::set<FindingId> ids;
  while (!text.empty()) {
    const auto word = text.substr(0, text.find_first_of(", "));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (word.empty()) continue;
    const auto id = from_string<FindingId>(word);
    if (!id) {
      return fail(ErrorCode::invalid_argument, "there is no finding " + in_quotes(word) +
                                                   "; it is " + alternatives<FindingId>());
    }
    ids.insert(*id);
  }
  return ids;
}

}  // namespace handover
