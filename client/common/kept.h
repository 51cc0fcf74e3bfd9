// SPDX-License-Identifier: LGPL-2.1-or-later
// What a keeper keeps for COMMAND through an update: memory, a device. One for each of our clients.
#pragma once

#include <systemd/sd-event.h>

#include <handover/handover.hpp>
#include <string>
#include <vector>

#include "command.h"
#include "preservation.h"

namespace handover::common {

class Kept {
 public:
  virtual ~Kept() = default;

  /// For messages: "the memory".
  [[nodiscard]] virtual std::string what() const = 0;

  /// Before all else: the loop on which COMMAND will be served, if it is. It outlives this object.
  virtual client::Result<void> open(sd_event*) { return {}; }
  /// Is there what make() or retrieve() needs? While it is not, this is asked again and again; an
  /// error ends the wait.
  virtual client::Result<bool> ready() { return true; }
  /// The first start: makes it new. Nothing is preserved yet.
  virtual client::Result<void> make() = 0;
  /// What its session is to hold.
  virtual std::vector<Preservation::Item> items() = 0;
  /// An update is about to come; the items are in the session.
  virtual void prepare(client::Session&) {}
  /// The next kernel, or this one after an earlier run has failed: takes all of it out of the
  /// session, ready for COMMAND to go on with. After an error the next start finds all of it there
  /// again.
  virtual client::Result<void> retrieve(client::Session& session) = 0;
  /// No kernel was booted, and COMMAND is still there: is what comes out of the session what it
  /// has?
  virtual client::Result<void> compare(client::Session& session) = 0;

  /// COMMAND has ended, and another one is to go on with what is kept, as after an update.
  virtual client::Result<void> renew() { return {}; }

  /// Adds what COMMAND gets: descriptors and environment.
  virtual void hand_over(Start& start) = 0;

  /// COMMAND stands still now; and is about to go on, whether it was quiesced or not.
  virtual client::Result<void> quiesce() { return {}; }
  virtual client::Result<void> resume() { return {}; }

  /// COMMAND runs: a line for the unit's status.
  [[nodiscard]] virtual std::string status() const { return ""; }
};

}  // namespace handover::common
