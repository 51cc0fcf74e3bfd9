// SPDX-License-Identifier: LGPL-2.1-or-later
// org.handover1 on every connection: serves its objects and carries the engine's calls and news.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "bus/authority.h"
#include "bus/held_call.h"
#include "bus/kexec_withdrawal.h"
#include "bus/link.h"
#include "bus/objects.h"
#include "bus/orderly_kexec.h"
#include "bus/peer_poll.h"
#include "bus/private_socket.h"
#include "bus/quota.h"
#include "bus/sd_bus.h"
#include "bus/senders.h"
#include "bus/shutdown_inhibitor.h"
#include "bus/signals.h"
#include "bus/system_bus.h"
#include "engine/engine.h"
#include "engine/outside.h"
#include "system/loop.h"

namespace handover::bus {

class Server final : public engine::Outside {
 public:
  struct Limits {
    std::size_t needs = 64;  ///< of one client
    /// Calls held until they are answered. A bus lets one connection wait for 128; root's clients
    /// on the private socket may be a thousand, with some calls each.
    Quota::Limits calls{128, 1024, 16'384};
    Quota::Limits questions = Authority::default_limits;
    /// Connections to the sockets. Root's are as many as he has clients.
    Quota::Limits peers{64, 256, SIZE_MAX};
    Senders::Limits senders{};
    /// GetHistory calls at work: each takes the disk's queue for some milliseconds, in which an
    /// update has something to write, too.
    Quota::Limits histories{4, 32, 32};
    /// Of answers that the other side has not read; for the bus, which stands for many, and for a
    /// peer.
    std::size_t unread_bytes_on_bus = std::size_t{64} << 20U;
    std::size_t unread_bytes = PeerPoll::Limits().unread_bytes;
  };

  explicit Server(system::Loop& loop) : Server(loop, Limits()) {}
  Server(system::Loop& loop, const Limits& limits);

  /// The engine that answers; before open_doors().
  void serve(engine::Engine& engine) { engine_ = &engine; }
  [[nodiscard]] engine::Engine& engine() { return *engine_; }
  [[nodiscard]] Authority& authority() { return authority_; }
  [[nodiscard]] Signals& signals() { return signals_; }
  [[nodiscard]] const Limits& limits() const { return limits_; }

  /// Makes the private socket, mode 0600: clients can connect, and wait. io.
  Result<void> listen(const std::string& path);
  /// The same for the members of a group.
  Result<void> listen_for_group(const std::string& path, gid_t group);
  /// Connects to the system bus as soon as that is there, and again whenever it is lost.
  void connect();
  /// The engine can answer now: accepts those who wait at the private socket, and takes the bus
  /// name.
  Result<void> open_doors();
  /// After a restart of ours: asks the bus which clients left while nobody listened.
  void look_for_lost_clients();

  /// What is counted here and in the engine, by name (docs/dbus.md).
  [[nodiscard]] engine::Engine::Statistics statistics() const;

  /// Who sent a message that came on `link`. access_denied if his service cannot be found out.
  [[nodiscard]] Result<engine::Caller> caller_of(const Link& link, sd_bus_message* message) const;
  /// Takes a call to be answered later. access_denied as caller_of(); busy: its caller has too
  /// many.
  Result<HeldCallPtr> hold(const Link& link, sd_bus_message* message);

  /// busy: the caller, or all of them, ask for too much history at once.
  Result<std::shared_ptr<Quota::Share>> take_history(const engine::Caller& caller);
  /// Before an answer of about so many bytes. busy: its caller leaves too many unread.
  Result<void> make_room(const engine::Caller& caller, std::size_t bytes);

  // engine::Outside
  void call_client(const ClientRecord& client, engine::ClientCall call,
                   const engine::ClientCallArguments& arguments,
                   std::function<void(const Answer&)> answered) override;
  void stop_clock(const std::string& connection) override;
  void start_clock(const std::string& connection) override;
  void start_orderly_kexec(std::function<void(Error)> failed) override;
  void withdraw_orderly_kexec(std::function<void(Result<void>)> done) override;
  void boot_is_over(std::function<void(bool)> answer) override;
  void ask_managers(const std::vector<std::string>& units,
                    std::function<void(ManagerFacts)> answer) override;
  void inhibit_shutdown(bool wanted) override;
  void manager_changed(const char* property) override;
  void session_changed(const std::string& session, const char* property) override;
  void session_added(const std::string& session) override;
  void session_removed(const std::string& session) override;
  void token_added(const std::string& session, std::uint64_t token) override;
  void token_removed(const std::string& session, std::uint64_t token) override;
  void client_added(const std::string& client) override;
  void client_removed(const std::string& client) override;
  void client_changed(const ClientRecord& client) override;
  void job_added(std::uint64_t id) override;
  void job_changed(std::uint64_t id) override;
  void job_removed(std::uint64_t id, Outcome result, const std::string& reason) override;
  void update_finished(Outcome outcome, const std::string& reason,
                       std::uint64_t generation) override;
  void kernel_judged(const std::string& release, KernelState state, const std::string& reason,
                     std::uint64_t generation) override;
  void state_lost(const std::string& session, const std::string& client,
                  const std::string& reason) override;

 private:
  static int on_name_lost(sd_bus_message* message, void* userdata, sd_bus_error*);
  static int on_name_reply(sd_bus_message* message, void* userdata, sd_bus_error*);

  Result<void> serve_bus(sd_bus* bus);
  Result<void> try_to_serve_bus(sd_bus* bus);
  void bus_lost();
  void ask_by(sd_bus* asking);
  Result<void> request_name();
  void serve_peer(Peer peer);
  Result<void> try_to_serve(Peer peer);
  void peer_gone(const std::string& id);
  void left_bus(const std::string& name);
  static Result<void> add_objects(Link& link);

  system::Loop& loop_;
  Limits limits_;
  engine::Engine* engine_ = nullptr;
  Quota calls_;
  Quota peers_;
  Quota histories_;
  std::uint64_t refused_calls_ = 0;
  Authority authority_;
  Senders senders_;
  PrivateSocket private_socket_;
  PrivateSocket group_socket_;
  PeerPoll peer_poll_;
  /// By which callers call, and clients are called: it has our name.
  SystemBus bus_;
  /// By which the daemon asks others (polkit, the bus itself, PID 1): whatever its callers make it
  /// ask takes nothing from the calls to clients. A bus lets each connection wait for 128 answers.
  SystemBus asking_;
  Links links_;
  Signals signals_{links_};
  ShutdownInhibitor shutdown_inhibitor_;
  std::unique_ptr<OrderlyKexec> orderly_kexec_;  ///< of the latest update that went this way
  BusPtr pid_one_;                               ///< PID 1 itself, asked while the bus is away
  std::unique_ptr<KexecWithdrawal> withdrawal_;  ///< the latest one
  std::uint64_t buses_lost_ = 0;                 ///< a unique name means somebody else on each
  std::uint64_t next_peer_ = 1;
  bool doors_open_ = false;
};

inline engine::Engine& engine_of(void* userdata) { return link_of(userdata).server.engine(); }

}  // namespace handover::bus
