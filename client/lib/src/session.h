// SPDX-License-Identifier: LGPL-2.1-or-later
// A session of the daemon's, by its path: it outlives a reconnect.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "connection.h"
#include "handover/handover.h"
#include "operation.h"
#include "sd.h"

struct handover_session {
 public:
  using Message = handover::client::sd::Message;
  using Done = handover_operation::Done;

  /// `made`: by this process, so that it is known whose it is.
  handover_session(handover_connection* connection, std::string name, std::string path, bool made)
      : connection_(handover_ref(connection)),
        name_(std::move(name)),
        path_(std::move(path)),
        is_known_(std::make_shared<bool>(made)) {}
  handover_session(const handover_session&) = delete;
  handover_session& operator=(const handover_session&) = delete;
  ~handover_session() { handover_unref(connection_); }

  [[nodiscard]] const std::string& name() const { return name_; }

  // ---- the calls, made and not sent
  static int make_create(handover_connection* connection, const char* name, const char* backend,
                         const char* client, Message* ret, handover_error** error);
  int make_preserve(const char* backend, uint64_t token, int fd, Message* ret,
                    handover_error** error) const;
  int make_preserve_blob(uint64_t token, const void* data, size_t size, Message* ret,
                         handover_error** error) const;
  /// Unpreserve, Retrieve.
  int make_of_token(const char* method, uint64_t token, Message* ret, handover_error** error) const;
  /// A method that takes nothing.
  int make_plain(const char* method, Message* ret, handover_error** error) const;
  int make_list_tokens(Message* ret, handover_error** error) const;

  // ---- what their answers mean; a negative errno if they are none
  static int take_session(handover_connection* connection, const std::string& name,
                          const std::string& client, sd_bus_message* reply, handover_session** ret,
                          handover_error** error);
  static int take_fd(sd_bus_message* reply, int* ret_fd, handover_error** error);
  static int take_tokens(sd_bus_message* reply, handover_token_list** ret, handover_error** error);

  /// Sends and waits. `ret` may be NULL.
  int call(const Message& message, Message* ret, handover_error** error) const;
  /// Sends; `done` is called later.
  int send(const Message& message, Done done, handover_operation** ret,
           handover_error** error) const;
  /// The same for Finish and Discard.
  int send_end(const Message& message, handover_done_callback callback, void* userdata,
               handover_operation** ret, handover_error** error) const;
  /// Finish and Discard are called: whose it is does not matter.
  void ends() const { *is_known_ = true; }
  /// They are answered: this process has it no more.
  void ended() const { connection_->session_ended(name_); }

 private:
  handover_connection* connection_;
  std::string name_;
  std::string path_;
  /// Whose it is, or it is being asked. Of the calls on their way, too.
  std::shared_ptr<bool> is_known_;
};
