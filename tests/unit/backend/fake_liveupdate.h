// SPDX-License-Identifier: LGPL-2.1-or-later
// A LUO in this process that behaves as the kernel's: sessions, tokens, incoming and outgoing.
//
// A session is a real descriptor, one end of a pipe: when its last duplicate is closed, wherever it
// is, the session drops what it preserved, as in luo_session_release(). Errnos and the order of the
// checks are those of kernel/liveupdate/luo_session.c and luo_file.c, Linux 7.3. Any thread may
// call it.
#pragma once

#include <cerrno>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "backend/luo_device.h"
#include "faults.h"

namespace handover::backend::test {

class FakeLiveupdate final : public LuoDevice {
 public:
  std::shared_ptr<void> hold() override;
  KernelResult<void> open() override;
  KernelResult<UniqueFd> create_session(const std::string& name) override;
  KernelResult<UniqueFd> retrieve_session(const std::string& name) override;
  int preserve_fd(int session, std::uint64_t token, int fd) noexcept override;
  int retrieve_fd(int session, std::uint64_t token) noexcept override;
  KernelResult<void> finish(int session) override;
  KernelResult<std::string> session_name(int session) override;

  /// Calls that may fail: all but hold(), and open() while it is open.
  Faults& faults() { return faults_; }
  /// Another process opens the device, and closes it.
  void set_busy(bool busy);
  /// How often this process has opened the device.
  [[nodiscard]] int opened() const;
  /// Every create_session() of `name` fails with `sys_errno`, until called with 0.
  void refuse_create(const std::string& name, int sys_errno);
  /// Every preserve_fd() of `token` in the outgoing session `name` fails so, until called with 0.
  void refuse_preserve(const std::string& name, std::uint64_t token, int sys_errno);
  /// Every finish() of the incoming session `name` fails so, until called with 0.
  void refuse_finish(const std::string& name, int sys_errno);
  /// Restoring `token` of the incoming session `name` fails, for ever.
  void break_token(const std::string& name, std::uint64_t token, int sys_errno = EIO);
  /// Tokens that were restored, in this order, since the last reboot().
  [[nodiscard]] std::vector<std::uint64_t> restored() const;

  /// kexec: outgoing sessions become incoming ones; what was incoming before is lost.
  void reboot();

  /// Tokens that the outgoing session preserves; nullopt if there is no such session.
  std::optional<std::set<std::uint64_t>> outgoing(const std::string& name);
  /// The same tokens, in the order in which they were preserved.
  std::vector<std::uint64_t> order(const std::string& name);
  /// Tokens that the incoming session still holds; nullopt if there is no such session.
  std::optional<std::set<std::uint64_t>> incoming(const std::string& name);

 private:
  struct File {
    UniqueFd fd;
    bool retrieved = false;
    int broken = 0;  ///< the errno that restoring it fails with
  };
  struct FakeSession {
    std::string name;
    bool incoming = false;
    bool retrieved = false;
    ino_t pipe = 0;    ///< identity of the pipe whose other end the caller holds
    UniqueFd watched;  ///< hangs up when the caller's end is closed everywhere
    std::map<std::uint64_t, File> files;
    std::vector<std::uint64_t> order;  ///< of preservation
  };

  using Lock = std::lock_guard<std::recursive_mutex>;

  /// What the kernel does in the release of a session's last descriptor.
  void drop_closed();
  FakeSession* by_name(const std::string& name, bool incoming);
  FakeSession* by_fd(int fd);
  KernelResult<UniqueFd> hand_out(FakeSession& session);
  bool is_preserved(int fd);
  /// EBUSY, or the device is open until close_unheld().
  std::optional<int> open_device();
  void close_unheld();

  Faults faults_;
  mutable std::recursive_mutex mutex_;
  std::list<FakeSession> sessions_;
  std::map<std::string, int> refused_;
  std::map<std::string, int> refused_finish_;
  std::map<std::pair<std::string, std::uint64_t>, int> refused_tokens_;
  std::vector<std::uint64_t> restored_;
  bool busy_ = false;
  bool open_ = false;
  int opened_ = 0;
  int holders_ = 0;
};

}  // namespace handover::backend::test
