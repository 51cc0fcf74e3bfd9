// SPDX-License-Identifier: LGPL-2.1-or-later
// The monitor of a QEMU that behaves, in a thread of its own, and fails its n-th command if asked
// to.
#pragma once

#include <handover/handover.hpp>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace handover::test {

class FakeQemu {
 public:
  enum class Fault { refuses, is_silent, ends, talks_nonsense };
  struct Behaviour {
    int major = 7;
    std::string state = "the state of the devices";  ///< what `migrate` writes
    std::string run_state = "running";
    nlohmann::json blocked_reasons;   ///< null: none
    nlohmann::json blocked_normally;  ///< the same, but not in mode cpr-reboot
    nlohmann::json memory = {{{"id", "handover-ram"}, {"share", true}}};
    std::string migration_fails;  ///< the reason; "": it does not
    bool greets = true;
    int failing_command = -1;  ///< counted from 0, qmp_capabilities; -1: none
    Fault fault = Fault::refuses;
  };

  explicit FakeQemu(Behaviour behaviour);
  ~FakeQemu();
  FakeQemu(const FakeQemu&) = delete;
  FakeQemu& operator=(const FakeQemu&) = delete;

  /// Our end of the connection, once.
  client::Fd take_socket() { return std::move(ours_); }

  [[nodiscard]] std::vector<std::string> commands() const;
  [[nodiscard]] std::string run_state() const;
  /// Of the first such command, and of the last.
  [[nodiscard]] nlohmann::json arguments_of(const std::string& command) const;
  [[nodiscard]] nlohmann::json last_arguments_of(const std::string& command) const;
  /// What came over the pipe of `migrate-incoming`.
  [[nodiscard]] std::string loaded() const;

 private:
  void serve();
  bool answer(const nlohmann::json& command);
  nlohmann::json carry_out(const std::string& name, const nlohmann::json& arguments);
  nlohmann::json query_migrate();
  void go_on(const std::string& asked);
  void save();
  void load();
  bool fail(std::uint64_t id);
  void send(const std::string& text) const;
  /// Reads one line, and the descriptor that comes with it.
  std::optional<std::string> receive();

  Behaviour behaviour_;
  client::Fd ours_, theirs_, passed_;
  std::string input_;
  std::string migration_status_;
  std::string mode_ = "normal";
  bool pauses_ = false;
  bool incoming_ = false;
  bool asked_ = false;  ///< how the incoming migration goes
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, nlohmann::json>> heard_;
  std::string loaded_;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace handover::test
