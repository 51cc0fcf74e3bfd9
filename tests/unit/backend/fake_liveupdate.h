// SPDX-License-Identifier: LGPL-2.1-or-later
// A LUO in this process that behaves as the kernel's: sessions, tokens, incoming and outgoing.
//
// A session is a real descriptor, one end of a pipe: when its last duplicate is closed, wherever it
// is, the session drops what it preserved, as in luo_session_release(). Errnos and the order of the
// checks are those of kernel/liveupdate/luo_session.c and luo_file.c, Linux 7.3.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "backend/luo_device.h"

namespace handover::backend::test {

class FakeLiveupdate final : public LuoDevice {
 public:
  KernelResult<UniqueFd> create_session(const std::string& name) override;
  KernelResult<UniqueFd> retrieve_session(const std::string& name) override;
  KernelResult<void> preserve_fd(int session, std::uint64_t token, int fd) override;
  KernelResult<UniqueFd> retrieve_fd(int session, std::uint64_t token) override;
  KernelResult<void> finish(int session) override;
  KernelResult<std::string> session_name(int session) override;

  /// The `nth` call from now (1 is the next) fails with `sys_errno` and does nothing else.
  void fail_call(int nth, int sys_errno);
  /// Every create_session() of `name` fails with `sys_errno`, until called with 0.
  void refuse_create(const std::string& name, int sys_errno);
  /// Restoring `token` of the incoming session `name` fails, for ever.
  void break_token(const std::string& name, std::uint64_t token);
  /// Calls since the last fail_call() or the beginning.
  [[nodiscard]] int calls() const { return calls_; }

  /// kexec: outgoing sessions become incoming ones; what was incoming before is lost.
  void reboot();

  /// Tokens that the outgoing session preserves; nullopt if there is no such session.
  std::optional<std::set<std::uint64_t>> outgoing(const std::string& name);
  /// Tokens that the incoming session still holds; nullopt if there is no such session.
  std::optional<std::set<std::uint64_t>> incoming(const std::string& name);

 private:
  struct File {
    UniqueFd fd;
    bool retrieved = false;
    bool broken = false;
  };
  struct FakeSession {
    std::string name;
    bool incoming = false;
    bool retrieved = false;
    ino_t pipe = 0;    ///< identity of the pipe whose other end the caller holds
    UniqueFd watched;  ///< hangs up when the caller's end is closed everywhere
    std::map<std::uint64_t, File> files;
  };

  /// What the kernel does in the release of a session's last descriptor.
  void drop_closed();
  FakeSession* by_name(const std::string& name, bool incoming);
  FakeSession* by_fd(int fd);
  KernelResult<UniqueFd> hand_out(FakeSession& session);
  std::optional<int> injected();
  bool is_preserved(int fd);

  std::list<FakeSession> sessions_;
  std::map<std::string, int> refused_;
  int calls_ = 0;
  int failing_call_ = 0;
  int failing_errno_ = 0;
};

}  // namespace handover::backend::test
