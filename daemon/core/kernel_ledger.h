// SPDX-License-Identifier: LGPL-2.1-or-later
// Which kernels updates have gone into, and what became of it: kernels.json keeps it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/enum_words.h"
#include "core/error.h"
#include "core/extra.h"

namespace handover {

enum class KernelState {
  untried,  ///< no update has gone into it, or nobody knows how that ended
  good,     ///< the clients were restored in it, and the health command has passed
  bad,      ///< it lost the state, or the health command has failed
};
constexpr auto words(KernelState) {
  return std::to_array<Word<KernelState>>(
      {{KernelState::untried, "untried"}, {KernelState::good, "good"}, {KernelState::bad, "bad"}});
}

/// What tells one kernel from another: the same release may be built again.
struct KernelIdentity {
  std::string release;
  std::string image;  ///< image_identity(); "": unknown
  bool operator==(const KernelIdentity&) const = default;
};

/// "13120512-9a3b2c1d" of the bytes of an image: size and checksum.
std::string image_identity(std::string_view bytes);

struct KernelRecord {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  KernelIdentity kernel;
  KernelState state = KernelState::untried;
  std::string reason;        ///< why it is bad; "" otherwise
  std::string when;          ///< RFC 3339, UTC
  std::uint64_t update = 0;  ///< id of the update that went into it
  nlohmann::json extra = no_extra;
  bool operator==(const KernelRecord&) const = default;
};

struct KernelLedger {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  static constexpr std::uint64_t version = 1;
  static constexpr std::size_t most_kernels = 64;
  static constexpr std::size_t most_reason_bytes = 1024;

  std::vector<KernelRecord> kernels;  ///< the newest word first
  nlohmann::json extra = no_extra;
  bool operator==(const KernelLedger&) const = default;
};

std::string serialize(const KernelLedger& ledger);
/// manifest_invalid with what is wrong (cut, garbled, version, a field, two records of one kernel).
/// An unknown state, of a newer version, is read as untried, and written again as it was. What is
/// more than `most_kernels` is left out. Never throws.
Result<KernelLedger> parse_kernel_ledger(std::string_view text);

/// Takes the place of what was known of the same kernel. The oldest word goes where there are too
/// many.
void note(KernelLedger& ledger, KernelRecord record);
/// nullptr: nothing is known of it.
const KernelRecord* find(const KernelLedger& ledger, const KernelIdentity& kernel);
/// Bad kernels of that release are untried again. How many there were.
std::size_t forgive(KernelLedger& ledger, std::string_view release);

/// One kernel image of this host.
struct KernelFile {
  std::string path;
  KernelIdentity kernel;
  bool operator==(const KernelFile&) const = default;
};

/// What `handoverctl kernels` shows.
struct KernelListed {
  std::string path;  ///< "": no image of it is found
  std::string release;
  KernelState state = KernelState::untried;
  std::string reason, when;
  bool running = false;  ///< its release is that of the running kernel
  bool operator==(const KernelListed&) const = default;
};
/// The images, and the good and bad kernels that have none, in the order of their releases, the
/// newest first.
std::vector<KernelListed> list_kernels(const KernelLedger& ledger, std::vector<KernelFile> files,
                                       std::string_view running);

}  // namespace handover
