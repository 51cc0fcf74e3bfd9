// SPDX-License-Identifier: LGPL-2.1-or-later
// In which order scripted clients were called and answered.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace handover::test {

enum class Call { prepare, cancel, freeze, thaw, restore };
const char* to_string(Call call);
/// For GoogleTest.
void PrintTo(Call call, std::ostream* out);

class Journal {
 public:
  struct Entry {
    std::string client;
    Call call = Call::prepare;
    bool answered = false;  ///< false: the call came in
  };

  void came(const std::string& client, Call call) { entries_.push_back({client, call, false}); }
  void answered(const std::string& client, Call call) { entries_.push_back({client, call, true}); }
  void clear() { entries_.clear(); }

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] std::size_t count(const std::string& client, Call call) const;
  /// How many clients were called so.
  [[nodiscard]] std::size_t count(Call call) const;

  using Needs = std::map<std::string, std::vector<std::string>>;
  /// "" if every `call` came after the answers of those who go before: the dependencies, or with
  /// `dependants_first` the dependants. Otherwise a sentence that names the two.
  [[nodiscard]] std::string out_of_order(Call call, const Needs& needs,
                                         bool dependants_first) const;

 private:
  [[nodiscard]] std::optional<std::size_t> find(const std::string& client, Call call,
                                                bool answered) const;

  std::vector<Entry> entries_;
};

}  // namespace handover::test
