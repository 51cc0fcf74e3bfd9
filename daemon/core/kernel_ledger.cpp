// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/kernel_ledger.h"

#include <algorithm>
#include <utility>

#include "core/checksum.h"
#include "core/fields.h"
#include "core/text.h"
#include "core/version_order.h"

namespace handover {

template <typename Io, Of<KernelRecord> Record>
void fields(Io& io, Record& record) {
  io.required("release", record.kernel.release);
  io.required("image", record.kernel.image);
  io.word("state", record.state, KernelState::untried, record.extra);
  io.optional("reason", record.reason);
  io.optional("when", record.when);
  io.optional("update", record.update);
  io.rest(record.extra);
}

/// Without the version, which is read first.
template <typename Io, Of<KernelLedger> Record>
void fields(Io& io, Record& ledger) {
  io.list("kernels", ledger.kernels, [](const KernelRecord& record) {
    return std::pair(record.kernel.release, record.kernel.image);
  });
  io.rest(ledger.extra);
}

namespace {

tl::unexpected<Error> invalid_ledger(const std::string& why) {
  return fail(ErrorCode::manifest_invalid, "the ledger of kernels " + why);
}

}  // namespace

std::string image_identity(std::string_view bytes) {
  return std::to_string(bytes.size()) + "-" + checksum(bytes);
}

std::string serialize(const KernelLedger& ledger) {
  std::string text;
  FieldWriter writer(text);
  writer.required("version", KernelLedger::version);
  fields(writer, ledger);
  writer.end();
  return text + "\n";
}

Result<KernelLedger> parse_kernel_ledger(std::string_view text) {
  auto json = parse_json(text, ErrorCode::manifest_invalid);
  if (!json) return invalid_ledger("is no JSON: " + json.error().message);
  FieldReader reader(std::move(*json), "");
  std::uint64_t version = 0;
  reader.required("version", version);
  if (!reader.error() && version != KernelLedger::version) {
    return invalid_ledger("is of version " + std::to_string(version) +
                          "; this daemon reads version " + std::to_string(KernelLedger::version));
  }
  KernelLedger ledger;
  fields(reader, ledger);
  if (reader.error()) return invalid_ledger("has a bad field: " + describe(*reader.error()));
  if (ledger.kernels.size() > KernelLedger::most_kernels) {
    ledger.kernels.resize(KernelLedger::most_kernels);
  }
  return ledger;
}

void note(KernelLedger& ledger, KernelRecord record) {
  auto& kernels = ledger.kernels;
  record.reason = printable(record.reason, KernelLedger::most_reason_bytes);
  std::erase_if(kernels,
                [&record](const KernelRecord& known) { return known.kernel == record.kernel; });
  kernels.insert(kernels.begin(), std::move(record));
  if (kernels.size() > KernelLedger::most_kernels) kernels.resize(KernelLedger::most_kernels);
}

const KernelRecord* find(const KernelLedger& ledger, const KernelIdentity& kernel) {
  const auto found =
      std::find_if(ledger.kernels.begin(), ledger.kernels.end(),
                   [&kernel](const KernelRecord& known) { return known.kernel == kernel; });
  return found == ledger.kernels.end() ? nullptr : &*found;
}

std::size_t forgive(KernelLedger& ledger, std::string_view release) {
  return std::erase_if(ledger.kernels, [release](const KernelRecord& known) {
    return known.state == KernelState::bad && known.kernel.release == release;
  });
}

namespace {

/// Good and bad kernels whose image is none of `files`: it is gone, was built again, or has a name
/// that no kernel is looked for by.
void add_without_image(const KernelLedger& ledger, std::vector<KernelFile>& files) {
  for (const auto& record : ledger.kernels) {
    if (record.state == KernelState::untried) continue;
    const bool here = std::any_of(files.begin(), files.end(), [&record](const KernelFile& file) {
      return file.kernel == record.kernel;
    });
    if (!here) files.push_back({{}, record.kernel});
  }
}

}  // namespace

std::vector<KernelListed> list_kernels(const KernelLedger& ledger, std::vector<KernelFile> files,
                                       std::string_view running) {
  add_without_image(ledger, files);
  // Behind those of the same release that have one.
  std::stable_sort(files.begin(), files.end(), [](const KernelFile& a, const KernelFile& b) {
    return version_less(b.kernel.release, a.kernel.release);
  });
  std::vector<KernelListed> listed;
  for (auto& file : files) {
    KernelListed one{std::move(file.path), file.kernel.release, {}, {}, {}, false};
    if (const auto* known = find(ledger, file.kernel)) {
      one.state = known->state;
      one.reason = known->reason;
      one.when = known->when;
    }
    // What has no image runs only if no other of its release has one.
    const bool hidden = one.path.empty() && !listed.empty() && listed.back().release == one.release;
    one.running = !one.release.empty() && one.release == running && !hidden;
    listed.push_back(std::move(one));
  }
  return listed;
}

}  // namespace handover
