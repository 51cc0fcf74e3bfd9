// SPDX-License-Identifier: LGPL-2.1-or-later
// A handoverd that behaves as docs/dbus.md says, on a private socket, in a thread of its own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace handover::client::test {

class FakeDaemon {
 public:
  struct Answer {
    std::string error;  ///< D-Bus error name, "" for success
    std::string message;
  };

  /// Listens at `path` once started; `state` is what RegisterClient answers.
  explicit FakeDaemon(std::string path);
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;
  ~FakeDaemon() { stop(); }

  void start(const std::string& state);
  /// Closes the socket and every connection, as a daemon that dies.
  void stop();

  /// Registrations since it was made, over all starts; each is counted before it is answered.
  [[nodiscard]] int registrations() const { return registrations_; }

  /// Between starts: every registration is refused by this error from now on.
  void refuse_registrations(const std::string& error) { refusal_ = error; }
  [[nodiscard]] int unregistrations() const { return unregistrations_; }
  /// So many of the next ones are refused, since an update stands still.
  void stand_still_for(int unregistrations) { stands_still_ = unregistrations; }

  /// Between starts: registrations wait for polkit, and what comes meanwhile is answered before
  /// them.
  void hold_registrations() { holds_ = true; }
  /// polkit allows them.
  void let_registrations_go();
  /// How many clients it knows.
  [[nodiscard]] int clients() const { return clients_; }

  /// Between starts: it has a session that another process made for that client.
  void hold_session(const std::string& name, const std::string& client, bool incoming);
  void release_sessions() { held_.clear(); }

  /// Calls a method of the registered client. The answer is waited for by wait_for_answer().
  void call_client(const std::string& method);
  std::optional<Answer> wait_for_answer();

 private:
  struct Connection;
  struct Held {
    std::string client;
    bool incoming;
  };
  void run(int listener, std::string state);

  std::string path_;
  std::thread thread_;
  int wake_ = -1;
  std::atomic<int> registrations_ = 0;
  std::atomic<int> unregistrations_ = 0;
  std::atomic<int> stands_still_ = 0;
  std::atomic<int> clients_ = 0;
  std::atomic<bool> holds_ = false;
  std::string refusal_;
  std::map<std::string, Held> held_;  ///< sessions

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::string wanted_method_;
  std::optional<Answer> answer_;
};

}  // namespace handover::client::test
