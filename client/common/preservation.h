// SPDX-License-Identifier: LGPL-2.1-or-later
// A client's own session: what it is to hold, and that the daemon holds it, however often it or the
// daemon was away.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <handover/handover.hpp>
#include <string>
#include <vector>

#include "loop.h"

namespace handover::common {

/// May the same call succeed later?
bool is_passing(const client::Error& error);

class Preservation {
 public:
  /// A descriptor stays the caller's, and open as long as it is to be preserved.
  struct Item {
    std::uint64_t token = 0;
    int fd = -1;
  };

  /// The session has the name of the client it belongs to. "" as backend: the daemon's choice.
  Preservation(client::Connection& connection, std::string name, std::string backend);

  /// Before all others. The loop outlives this.
  client::Result<void> attach(sd_event* event);

  /// Preserves the items, which are new. If the daemon cannot yet, as during an update of others,
  /// that is no error: it is tried again.
  client::Result<void> begin(std::vector<Item> items);
  /// The session became an incoming one: nothing is preserved, and `items` are to be, soon.
  void begin_again(std::vector<Item> items);
  /// The session holds the items already: an earlier run preserved them.
  void go_on_with(std::vector<Item> items);
  /// Nothing is, and nothing shall be, until begin() or begin_again().
  void lost();
  /// Looks whether all is preserved, and tries if not.
  void attempt();
  void attempt_soon();
  /// The daemon was away: another one may not hold what the earlier one did.
  void doubt() { unsure_ = true; }
  [[nodiscard]] bool in_doubt() const { return unsure_; }

  [[nodiscard]] bool complete() const { return preserved_; }
  /// It will not become complete by itself.
  [[nodiscard]] bool refused_for_good() const { return refused_for_good_; }
  /// Why it is not complete.
  [[nodiscard]] const std::string& reason() const { return reason_; }
  /// Discards the session.
  void give_up();

 private:
  client::Result<client::Session> make_session();
  client::Result<void> preserve();
  void check_session();

  client::Connection& connection_;
  std::string name_;
  std::string backend_;
  std::vector<Item> items_;
  bool preserved_ = false;
  bool unsure_ = false;            ///< whether the daemon still holds the session
  bool refused_for_good_ = false;  ///< the daemon will not preserve it, however often asked
  std::string reason_;
  std::uint64_t retry_usec_ = 0;
  Timer retry_;
};

}  // namespace handover::common
