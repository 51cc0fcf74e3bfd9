// SPDX-License-Identifier: LGPL-2.1-or-later
// A connection to the daemon that is made again when the daemon or the bus goes away.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "connector.h"
#include "follower.h"
#include "handover/handover.h"
#include "operation.h"
#include "sd.h"

struct handover_connection {
 public:
  static int open(unsigned flags, uint64_t timeout_usec, sd_event* event, handover_connection** ret,
                  handover_error** error);
  static int open_later(unsigned flags, uint64_t timeout_usec, sd_event* event,
                        handover_done_callback callback, void* userdata, handover_connection** ret,
                        handover_error** error);
  handover_connection(const handover_connection&) = delete;
  handover_connection& operator=(const handover_connection&) = delete;

  void ref() { ++references_; }
  void unref();

  [[nodiscard]] bool connected() const;
  [[nodiscard]] sd_bus* bus() const { return connected() ? link_.bus.get() : nullptr; }
  /// Also without a daemon on it; NULL if there is none yet.
  [[nodiscard]] sd_bus* link() const { return link_.bus.get(); }
  [[nodiscard]] bool is_peer() const { return link_.peer; }
  [[nodiscard]] const char* destination() const;
  [[nodiscard]] sd_event* event() const { return event_.get(); }
  /// Did the daemon, and nobody else, send this message?
  [[nodiscard]] bool is_from_daemon(sd_bus_message* message) const;
  /// Is this process a child of the one that made the connection?
  [[nodiscard]] bool is_of_parent() const { return getpid() != process_; }

  int fd() const;
  int process();
  int wait(uint64_t timeout_usec);
  int set_call_timeout(uint64_t usec);
  /// Makes the descriptor readable: something changed outside the loop that process() must see.
  void wake();

  void add(handover::client::Follower* follower) { followers_.push_back(follower); }
  void remove(handover::client::Follower* follower);
  void remove(handover_operation* operation);
  /// A session of the client of that name is in use, or ended, over this connection.
  void session_held(const std::string& session, const std::string& client);
  void session_ended(const std::string& session);
  /// A session that somebody else made is in use: asks the daemon whose it is.
  /// False if nobody is asked now: ask again at the next call.
  [[nodiscard]] bool find_client_of(const std::string& session, const std::string& path);
  /// The client at that path has restored.
  void restore_answered(const std::string& path);
  /// The sessions of that client, which are forgotten here: the daemon may not hold them any more.
  std::set<std::string> take_sessions_of(const std::string& client);
  /// Tells the daemon that the client of that name is no more, unless there is another one.
  /// While an update stands still, the daemon lets nobody go: it is told again.
  void unregister_abandoned(const std::string& client);
  /// How many watches are on this connection: what only they want is subscribed for them.
  int watches = 0;

  /// A method call to the daemon, made and sent by the caller. -ENOTCONN while there is none.
  int new_call(const char* path, const char* interface, const char* method,
               handover::client::sd::Message* ret, handover_error** error);
  /// Sends it and waits for the answer. `ret` may be NULL.
  int call(sd_bus_message* message, handover::client::sd::Message* ret, handover_error** error);
  /// Sends it; `done` is called later. `ret` may be NULL.
  int send(sd_bus_message* message, handover_operation::Done done, handover_operation** ret,
           handover_error** error);

 private:
  struct Unreferencer {
    void operator()(handover_connection* connection) const {
      // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDelete): the analyzer does not count
      connection->unref();
    }
  };
  using Reference = std::unique_ptr<handover_connection, Unreferencer>;

  handover_connection() = default;
  ~handover_connection() = default;

  static int make(unsigned flags, sd_event* event, Reference* ret, handover_error** error);
  int make_loop(handover_error** error);
  int connect_first(uint64_t timeout_usec, handover_error** error);
  int adopt(handover::client::Link link);
  void close();
  int look(uint64_t timeout_usec);
  void found(std::optional<handover::client::Link> link,
             const handover::client::Connector::Failure& failure);
  void tell_opened(int result, const handover_error* error);
  void begin_reconnect();
  int reconnect_in(uint64_t usec);
  void reconnect_failed(int code, const char* message);
  template <typename Tell>
  void for_each_follower(const Tell& tell);
  void lost(int code, const char* message);
  void tell_registered();
  void unregister_later(const std::string& client);

  static int on_disconnected(sd_bus_message* message, void* userdata, sd_bus_error* error);
  static int on_owner_changed(sd_bus_message* message, void* userdata, sd_bus_error* error);

  /// What is told of a call that ends or comes with the last reference.
  static constexpr const char* given_back = "The connection to handoverd was given back.";

  unsigned references_ = 1;
  bool closed_ = false;  ///< the last reference was given back; callbacks may have taken new ones
  unsigned flags_ = 0;
  pid_t process_ = getpid();
  uint64_t call_timeout_usec_ = UINT64_C(300'000'000);
  bool own_loop_ = false;
  handover::client::sd::Event event_;
  handover::client::sd::Fd wake_fd_;
  handover::client::sd::Source wake_, reconnect_, unregister_;
  handover::client::Link link_;
  handover::client::sd::Slot disconnected_slot_, changed_slot_;
  std::unique_ptr<handover::client::Connector> connector_;
  std::vector<handover::client::Follower*> followers_;
  std::vector<handover_operation*> operations_;
  std::set<std::string> abandoned_;              ///< registered, and no more of this program's
  std::map<std::string, std::string> sessions_;  ///< held by the daemon; whose they are
  std::set<std::string> clientless_;             ///< sessions whose client is being asked for
  handover_done_callback opened_ = nullptr;      ///< who asked for it without waiting
  void* opened_userdata_ = nullptr;
};
