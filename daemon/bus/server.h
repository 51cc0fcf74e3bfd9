// SPDX-License-Identifier: LGPL-2.1-or-later
// org.handover1 on every connection: serves its objects and carries the engine's calls and news.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "bus/authority.h"
#include "bus/link.h"
#include "bus/orderly_kexec.h"
#include "bus/sd_bus.h"
#include "core/unique_fd.h"
#include "engine/engine.h"
#include "engine/outside.h"
#include "system/loop.h"

namespace handover::bus {

inline constexpr const char* bus_name = "org.handover1";
inline constexpr const char* manager_path = "/org/handover1";
inline constexpr const char* manager_interface = "org.handover1.Manager";
inline constexpr const char* session_root = "/org/handover1/session";
inline constexpr const char* session_interface = "org.handover1.Session";
inline constexpr const char* job_root = "/org/handover1/job";
inline constexpr const char* job_interface = "org.handover1.Job";
inline constexpr const char* client_interface = "org.handover1.Client";

class Server final : public engine::Outside {
 public:
  explicit Server(system::Loop& loop) : loop_(loop) {}

  /// The engine that answers; before listen() and connect().
  void serve(engine::Engine& engine) { engine_ = &engine; }
  [[nodiscard]] engine::Engine& engine() { return *engine_; }
  [[nodiscard]] Authority& authority() { return authority_; }

  /// The private socket, mode 0600, replaced if it is left over. io.
  Result<void> listen(const std::string& path);
  /// The system bus: connects as soon as its socket is there (sd_bus_set_watch_bind), and again
  /// when it was lost. io only for what no waiting mends.
  Result<void> connect();
  /// After a restart of ours: asks the bus which clients left while nobody listened.
  void look_for_lost_clients();

  /// The connection that a message came on.
  [[nodiscard]] const Link& link_of(sd_bus_message* message) const;

  // engine::Outside
  void call_client(const ClientRecord& client, engine::ClientCall call,
                   const engine::ClientCallArguments& arguments,
                   std::function<void(Result<void>)> done) override;
  void start_orderly_kexec(std::function<void(Error)> failed) override;
  void flush() override;
  void manager_changed(const char* property) override;
  void session_changed(const std::string& session, const char* property) override;
  void session_added(const std::string& session) override;
  void session_removed(const std::string& session) override;
  void client_added(const std::string& client) override;
  void client_removed(const std::string& client) override;
  void client_changed(const ClientRecord& client) override;
  void job_added(std::uint64_t id) override;
  void job_changed(std::uint64_t id) override;
  void job_removed(std::uint64_t id, const std::string& result, const std::string& reason) override;
  void update_finished(const std::string& outcome, const std::string& reason,
                       std::uint64_t generation) override;
  void state_lost(const std::string& session, const std::string& client,
                  const std::string& reason) override;

 private:
  static int on_peer(sd_event_source*, int fd, std::uint32_t, void* userdata);
  static int on_disconnected(sd_bus_message* message, void* userdata, sd_bus_error*);
  static int on_name_lost(sd_bus_message* message, void* userdata, sd_bus_error*);
  static int on_name_reply(sd_bus_message* message, void* userdata, sd_bus_error*);

  Result<void> add_objects(Link& link);
  [[nodiscard]] Link* link_for(const std::string& connection) const;
  template <typename... Arguments>
  void signal(const char* member, const char* types, Arguments... arguments);
  void changed(const std::string& path, const char* interface, const char* property);

  system::Loop& loop_;
  engine::Engine* engine_ = nullptr;
  Authority authority_;
  std::map<std::string, std::unique_ptr<Link>> links_;
  std::unique_ptr<OrderlyKexec> orderly_kexec_;  ///< of the latest update that went this way
  std::uint64_t next_peer_ = 1;
  UniqueFd listener_;
  system::Timer reconnect_;
};

/// "/org/handover1/session/NAME", escaped (sd_bus_path_encode).
std::string session_path(const std::string& name);
std::string job_path(std::uint64_t id);

/// What the vtables below have as user data.
inline Server& server_of(void* userdata) { return *static_cast<Server*>(userdata); }

// Each adds its vtable to a link; one file each.
Result<void> add_manager_object(Server& server, Link& link);
Result<void> add_session_objects(Server& server, Link& link);
Result<void> add_job_objects(Server& server, Link& link);
Result<void> add_log_control(Link& link);

}  // namespace handover::bus
