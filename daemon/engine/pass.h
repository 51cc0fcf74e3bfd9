// SPDX-License-Identifier: LGPL-2.1-or-later
// One pass over the clients: whose turn it is, who has been called, and what an answer means. No
// I/O, and no decision about the update: the engine acts on what this says.
//
// Threads: the loop only.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/graph.h"
#include "core/manifest.h"
#include "core/state_machine.h"
#include "engine/client_call.h"

namespace handover::engine {

/// What to do with a client whose turn it is.
enum class Turn {
  call,
  wait,        ///< it is not here, and may come back
  pass_over,   ///< it is not here, and nobody waits for it
  leave_out,   ///< it is not here and is optional: the update goes on without it
  end_update,  ///< it is not here and is required
};

/// `absent_time_over`: who is not here now is not waited for any longer.
Turn turn_of(const ClientRecord& client, bool connected, ClientCall call, bool absent_time_over);

/// What an answer means.
enum class Meaning {
  done,
  leave_out,   ///< an optional client failed: it is thawed, and the update goes on without it
  end_update,  ///< a required client failed
  again,       ///< Thaw or Cancel failed: it is called again
  wait,        ///< Restore failed: its state is kept until it registers again, or answers late
  give_up,     ///< Restore of an optional client failed
};

Meaning meaning_of(const ClientRecord& client, ClientCall call, const Result<void>& answer);

/// Which way a call goes through the graph.
Direction direction_of(ClientCall call);

/// Those of them that are gates, and where their turn is: they say yes before anybody prepares, and
/// hear of the end when everybody runs.
Gates gates_of(const std::map<std::string, ClientRecord>& clients, ClientCall call);

class Pass {
 public:
  Pass(const Graph& graph, const Gates& gates, ClientCall call, Event then, std::uint64_t number)
      : wave_(graph, gates, direction_of(call)), call_(call), then_(then), number_(number) {}
  /// Over those of `only`.
  Pass(const Graph& graph, const Gates& gates, ClientCall call, Event then, std::uint64_t number,
       const std::set<std::string>& only)
      : wave_(graph, gates, direction_of(call), only), call_(call), then_(then), number_(number) {}

  [[nodiscard]] ClientCall call() const { return call_; }
  /// What is posted when every client is done.
  [[nodiscard]] Event then() const { return then_; }
  /// Answers to an earlier pass are late.
  [[nodiscard]] std::uint64_t number() const { return number_; }

  /// Those whose turn has come since; each is named once.
  [[nodiscard]] std::vector<std::string> take_ready() { return wave_.take_ready(); }
  /// Its turn has come, and it is not done.
  [[nodiscard]] bool waits_for(const std::string& name) const {
    return wave_.waiting().contains(name);
  }
  [[nodiscard]] const std::set<std::string>& waiting() const { return wave_.waiting(); }
  [[nodiscard]] bool is_called(const std::string& name) const { return called_.contains(name); }
  [[nodiscard]] const std::set<std::string>& called() const { return called_; }

  void called(const std::string& name) { called_.insert(name); }
  void answered(const std::string& name) { called_.erase(name); }
  void done(const std::string& name) {
    called_.erase(name);
    wave_.done(name);
  }
  [[nodiscard]] bool finished() const { return wave_.finished(); }

  void end_absent_time() { absent_time_over_ = true; }
  [[nodiscard]] bool absent_time_over() const { return absent_time_over_; }

 private:
  Wave wave_;
  ClientCall call_;
  Event then_;
  std::uint64_t number_;
  std::set<std::string> called_;
  bool absent_time_over_ = false;
};

}  // namespace handover::engine
