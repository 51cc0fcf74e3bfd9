// SPDX-License-Identifier: LGPL-2.1-or-later
// One guest through its life: registers with handoverd, preserves its RAM and room for its state,
// starts QEMU, freezes, thaws and restores it.
//
// What is asked of QEMU is waited for, always with a time limit; meanwhile no other call of the
// daemon's is heard. Any of them is therefore answered, at the latest, after the limits in Config.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <handover/handover.hpp>
#include <optional>
#include <string>

#include "common/loop.h"
#include "common/preservation.h"
#include "common/registration.h"
#include "common/restart_socket.h"
#include "config.h"
#include "guest_clock.h"
#include "helper.h"
#include "inventory.h"
#include "options.h"
#include "qemu.h"
#include "state_memory.h"
#include "status.h"

namespace handover::vmm {

inline constexpr int own_failure = 125;  ///< as handover-memfd has it

class Guest {
 public:
  /// The loop is the caller's and outlives the guest; signals must be blocked before start().
  Guest(RunOptions options, Config config, sd_event* event, client::Connection connection);
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest();

  /// Registers, and starts the guest unless it has to wait for Restore. Then run the loop: its exit
  /// code is the program's.
  client::Result<void> start();

 private:
  template <typename Owner>
  friend client::Result<client::Client> common::register_owner(Owner*, client::Connection&,
                                                               const std::string&,
                                                               const client::Client::Options&);

  static constexpr std::uint64_t ram_token = 1;
  static constexpr std::uint64_t state_token = 2;
  /// Until a QEMU that did not start, or go on, is asked again.
  static constexpr std::uint64_t again_usec = 1'000'000;

  client::Result<void> register_client();
  client::Result<void> make_memory();
  client::Result<void> begin();
  client::Result<void> start_qemu(Qemu::Begin begin);
  client::Result<void> look_around(Deadline deadline);
  client::Result<void> check_user();
  [[nodiscard]] bool is_to_begin() const;
  void wait_for(const std::string& missing);
  void try_again();
  client::Result<void> watch_qemu();
  void drop_qemu();
  [[nodiscard]] std::vector<common::Preservation::Item> items() const;

  static Deadline deadline_of(const client::Call& call, std::uint64_t limit_usec);
  void on_prepare(client::Call call);
  void on_freeze(client::Call call);
  void on_thaw(client::Call call);
  void on_restore(client::Call call);
  void on_registered(client::Client::State state);
  void on_disconnected(const client::Error& error);

  client::Result<void> check(Deadline deadline);
  client::Result<void> check_unchanged(Deadline deadline);
  client::Result<void> check_surroundings();
  client::Result<void> freeze(Deadline deadline);
  client::Result<void> thaw();
  client::Result<void> thaw_or_leave();
  client::Result<void> thaw_if_left_standing();
  client::Result<void> not_thawed(const client::Error& why);
  void stand();
  [[nodiscard]] client::Error what_became(const client::Error& why) const;
  client::Result<void> stand_as_before();
  client::Result<void> take_over();
  void try_to_restore();
  void restored(const client::Result<void>& outcome);
  client::Result<void> retrieve();
  enum class Place { same_kernel, next_kernel };
  client::Result<StateHeader> read_description();
  client::Result<void> check_cpu(Deadline deadline);
  client::Result<void> load(const StateHeader& header, Place place, Deadline deadline);
  client::Result<void> read_in(const StateHeader& header, Deadline deadline);
  client::Result<void> go_on(const StateHeader& header, Place place, Deadline deadline);
  client::Result<void> set_going(const StateHeader& header, Deadline deadline);
  client::Result<void> note_going(const StateHeader& header, Place place, Deadline deadline);
  client::Result<void> renew_state_room();
  void runs_again(const Carried& carried);
  void put_back();

  void open_restart_socket();
  void on_restart_requested(common::RestartRequest request);
  client::Result<void> restart();
  client::Result<void> change_beside(const StateHeader& header, const std::string& program,
                                     Deadline deadline);
  client::Result<void> change_in_turn(const StateHeader& header, const std::string& program,
                                      Deadline deadline);
  client::Result<void> start_with(const StateHeader& header, Deadline deadline);
  client::Result<void> go_back(const client::Error& why);
  [[nodiscard]] client::Error keeps_its_qemu(const client::Error& why) const;

  void on_event(const Event& event);
  void on_monitor_readable();
  void on_signal();
  void shut_down_harder();
  void on_qemu_ended(const siginfo_t& info);
  void leave(int exit_code);
  void tell(const char* state);

  RunOptions options_;
  Config config_;
  Description description_;  ///< of the guest that runs: after a Restore that of the earlier kernel
  sd_event* event_;
  client::Connection connection_;
  common::Preservation preservation_;
  client::Fd ram_;
  std::optional<StateMemory> state_;
  std::vector<Helper> helpers_;
  std::optional<Qemu> qemu_;
  std::optional<Inventory> inventory_;  ///< of this QEMU when it was started
  std::optional<Carried> carried_;

  enum class Motion {
    running,
    stopped,  ///< QEMU was told to stop the guest; its state may not be complete
    frozen,   ///< and its state is complete
  };
  Motion motion_ = Motion::running;
  std::string stood_as_ = "running";          ///< the run state before it was stopped
  std::uint64_t stopped_at_ = 0;              ///< read_counter()
  bool resumed_ = false;                      ///< QEMU has said since that the guest runs
  bool stands_ = false;                       ///< QEMU refuses to go on, and is asked again
  int shutdown_step_ = 0;                     ///< how hard the guest was asked to end
  bool awaits_restore_ = false;               ///< nothing is started unless Restore comes
  std::optional<client::Call> restore_call_;  ///< waits for what QEMU needs
  Deadline start_deadline_ = 0;               ///< of that, and of the first start
  std::string missing_;                       ///< what was said to be missing

  common::RestartSocket restart_socket_;
  common::Signals signals_;
  common::Child process_;
  common::Source monitor_source_;
  common::Timer orphan_timer_, shutdown_timer_, again_timer_;
  GuestClock clock_;
  std::optional<client::Client> client_;  // last: its callbacks use the rest
};

}  // namespace handover::vmm
