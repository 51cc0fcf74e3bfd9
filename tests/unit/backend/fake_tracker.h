// SPDX-License-Identifier: LGPL-2.1-or-later
// A companion module in this process that behaves as kmod/ does: sessions that outlive their
// descriptors, tables that are sealed, files that are given out once. Any thread may make its
// calls.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "backend/tracker_device.h"
#include "faults.h"

namespace handover::backend::test {

class FakeTracker final : public TrackerDevice {
 public:
  KernelResult<TrackerInfo> info() override;
  KernelResult<UniqueFd> create_session(const std::string& name,
                                        const TrackerLimits& limits) override;
  KernelResult<UniqueFd> retrieve_session(const std::string& name) override;
  KernelResult<void> seal() override;
  KernelResult<void> unseal() override;
  KernelResult<bool> is_incoming(int session) override;
  KernelResult<void> preserve_fd(int session, std::uint64_t token, int fd) override;
  KernelResult<void> unpreserve(int session, std::uint64_t token) override;
  KernelResult<UniqueFd> retrieve(int session, std::uint64_t token) override;
  KernelResult<TrackerEntry> describe(int session, std::uint64_t token) override;
  KernelResult<std::vector<std::uint64_t>> list_tokens(int session) override;
  KernelResult<void> restore(int session, std::uint32_t threads) override;
  KernelResult<void> finish(int session) override;
  KernelResult<void> discard(int session) override;

  /// Every call may fail, as long as the module is loaded.
  Faults& faults() { return faults_; }

  void unload() { loaded_ = false; }
  void load() { loaded_ = true; }
  [[nodiscard]] bool loaded() const { return loaded_; }
  void switch_kho_off() { kho_ = false; }
  [[nodiscard]] bool sealed() const { return sealed_; }
  /// kexec: outgoing sessions become incoming ones; what was incoming before is lost.
  void reboot();
  /// What the earlier kernel wrote of the token is damaged.
  void damage(const std::string& name, std::uint64_t token);
  /// An allocation or a range, which need no descriptor.
  void add_entry(const std::string& name, std::uint64_t token, Kind kind, std::uint64_t length);

  /// Tokens of the session that goes this way; nullopt if there is none.
  std::optional<std::set<std::uint64_t>> outgoing(const std::string& name);
  std::optional<std::set<std::uint64_t>> incoming(const std::string& name);
  [[nodiscard]] TrackerLimits limits(const std::string& name) { return find(name)->limits; }
  /// Sessions that background threads were started for, with how many.
  [[nodiscard]] const std::map<std::string, unsigned>& restored() const { return restored_; }

 private:
  struct Entry {
    UniqueFd fd;
    Kind kind = Kind::memfd;
    std::uint64_t length = 0;
    bool retrieved = false;
    bool damaged = false;
  };
  struct FakeSession {
    std::string name;
    bool incoming = false;
    TrackerLimits limits;
    UniqueFd identity;  ///< the descriptors given out are duplicates of it
    std::map<std::uint64_t, Entry> entries;
  };

  FakeSession* find(const std::string& name);
  FakeSession* by_fd(int fd);
  bool is_preserved(int fd);
  std::optional<std::set<std::uint64_t>> tokens(const std::string& name, bool incoming);

  Faults faults_;
  mutable std::recursive_mutex mutex_;
  std::list<FakeSession> sessions_;
  std::map<std::string, unsigned> restored_;
  std::atomic<bool> loaded_ = true;
  bool kho_ = true;
  bool sealed_ = false;
};

}  // namespace handover::backend::test
