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
      return Severity::warning;
    case FindingId::kernel_chosen:
      return Severity::fact;
    default:
      return Severity::error;
  }
}

ErrorCode code_of(FindingId id) {
  switch (id) {
    case FindingId::needs_unknown:
      return ErrorCode::unknown_dependency;
    case FindingId::kho_off:
    case FindingId::luo_off:
      return ErrorCode::not_supported;
    case FindingId::target_without_kho:
    case FindingId::abi_unknown:
    case FindingId::abi_differs:
    case FindingId::module_format:
    case FindingId::cmdline_too_long:
    case FindingId::cmdline_off:
    case FindingId::initrd_other_kernel:
    case FindingId::modules_missing:
      return ErrorCode::kernel_incompatible;
    case FindingId::module_missing:
      return ErrorCode::module_missing;
    case FindingId::initrd_empty:
    case FindingId::initrd_damaged:
    case FindingId::initrd_missing:
      return ErrorCode::kernel_not_found;
    case FindingId::client_missing:
      return ErrorCode::client_gone;
    case FindingId::session_incoming:
      return ErrorCode::incoming;
    case FindingId::hook_refused:
    case FindingId::hook_warns:
      return ErrorCode::vetoed;
    case FindingId::hook_unsafe:
      return ErrorCode::access_denied;
    case FindingId::session_degraded:
    case FindingId::client_frozen:
    case FindingId::kernel_loaded:
    case FindingId::kernel_chosen:
      return ErrorCode::busy;
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
