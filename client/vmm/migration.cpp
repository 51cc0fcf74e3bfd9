// SPDX-License-Identifier: LGPL-2.1-or-later
#include "migration.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "arguments.h"
#include "common/file.h"
#include "common/loop.h"

namespace handover::vmm {
namespace {

using nlohmann::json;

constexpr const char* descriptor_name = "handover-state";
constexpr int poll_ms = 2;

enum class Purpose { rehearsal, transfer };

// The mode made for a kernel update lifts what only hinders a migration to another host. And from
// then on QEMU knows how a guest that slept was before.
constexpr int first_with_mode = 9;

struct Pipe {
  client::Fd reader;
  client::Fd writer;
};

client::Result<Pipe> make_pipe() {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) < 0) return common::errno_error("Cannot make a pipe");
  Pipe pipe{client::Fd(ends[0]), client::Fd(ends[1])};
  // Fewer turns between QEMU and us; the usual 64 KiB will do where this is not granted.
  constexpr int wished_bytes = 1 << 20;
  fcntl(pipe.writer.get(), F_SETPIPE_SZ, wished_bytes);
  return pipe;
}

client::Result<void> make_nonblocking(const client::Fd& fd) {
  if (fcntl(fd.get(), F_SETFL, O_NONBLOCK) < 0) return common::errno_error("Cannot set up a pipe");
  return {};
}

client::Error cannot(const std::string& what, const client::Error& why) {
  return {why.name, what + ": " + why.message, why.code};
}

client::Result<void> nothing_of(const client::Result<json>& answer) {
  if (!answer) return answer.error();
  return {};
}

/// A text of `object`, or "".
std::string text_of(const json& object, const char* name) {
  if (!object.is_object()) return "";
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

client::Result<void> set_migration(const Peer& peer, bool ignores_shared, bool pauses,
                                   const char* mode, Deadline deadline) {
  const auto capability = [](const char* name, bool on) {
    return json{{"capability", name}, {"state", on}};
  };
  const json capabilities = {{"capabilities",
                              {capability("x-ignore-shared", ignores_shared),
                               capability("pause-before-switchover", pauses)}}};
  auto set = peer.call("migrate-set-capabilities", capabilities, deadline);
  if (!set) return set.error();
  if (peer.version.major < first_with_mode) return {};
  return nothing_of(peer.call("migrate-set-parameters", {{"mode", mode}}, deadline));
}

client::Result<void> set_up(const Peer& peer, Purpose purpose, Deadline deadline) {
  return set_migration(peer, true, purpose == Purpose::rehearsal, "cpr-reboot", deadline);
}

client::Result<void> pass(const Peer& peer, const client::Fd& fd, Deadline deadline) {
  return nothing_of(peer.call("getfd", {{"fdname", descriptor_name}}, deadline, fd.get()));
}

client::Result<void> migrate(const Peer& peer, const char* command, Deadline deadline) {
  auto begun = peer.call(command, {{"uri", std::string("fd:") + descriptor_name}}, deadline);
  if (begun) return {};
  // What QEMU did not take it still holds.
  [[maybe_unused]] auto closed = peer.call("closefd", {{"fdname", descriptor_name}}, deadline);
  return begun.error();
}

client::Error still(const std::string& status) {
  return {"", "QEMU's migration is still " + status + " after the time limit.", ETIMEDOUT};
}

/// What it means that QEMU knows of no migration. An incoming one shows only when QEMU has begun to
/// read, some time after "migrate-incoming" is answered (QEMU 7.2).
enum class None { over, to_come };

/// How the migration that runs ended: "completed", "failed", "cancelled"; "none" if there was none.
client::Result<std::string> wait_for_end(const Peer& peer, None none, Deadline deadline,
                                         std::string* reason) {
  for (;;) {
    auto answer = peer.call("query-migrate", nullptr, deadline);
    if (!answer) return answer.error();
    const std::string status = text_of(*answer, "status");
    if (status.empty() && none == None::over) return std::string("none");
    if (status == "completed" || status == "failed" || status == "cancelled") {
      *reason = text_of(*answer, "error-desc");
      return status;
    }
    if (common::now_usec() >= deadline) return still(status.empty() ? "to begin" : status);
    poll(nullptr, 0, poll_ms);
  }
}

client::Result<void> wait_for_completion(const Peer& peer, None none, Deadline deadline) {
  std::string reason;
  auto status = wait_for_end(peer, none, deadline, &reason);
  if (!status) return status.error();
  if (*status == "completed") return {};
  return client::Error{
      "", "QEMU's migration is " + *status + (reason.empty() ? "." : ": " + reason), EREMOTEIO};
}

/// Reasons that QEMU knows without trying.
client::Result<void> check_blockers(const Peer& peer, Deadline deadline) {
  auto answer = peer.call("query-migrate", nullptr, deadline);
  if (!answer) return answer.error();
  const auto reasons = answer->find("blocked-reasons");
  if (reasons == answer->end() || !reasons->is_array() || reasons->empty()) return {};
  std::string all;
  for (const auto& reason : *reasons) {
    if (reason.is_string()) all += (all.empty() ? "" : " ") + reason.get<std::string>();
  }
  return client::Error{"", all, EBUSY};
}

/// Only our memory is preserved; what else there is would be lost, since it counts as shared, or go
/// into the state.
client::Result<void> check_memory(const Peer& peer, Deadline deadline) {
  auto answer = peer.call("query-memdev", nullptr, deadline);
  if (!answer) return answer.error();
  bool ours = false;
  for (const auto& memory : *answer) {
    const std::string id = text_of(memory, "id");
    if (id != ram_id) {
      return client::Error{"", "Memory '" + id + "' is not preserved.", EBUSY};
    }
    ours = memory.value("share", false);
  }
  if (!ours) return client::Error{"", "The guest's memory is not shared with us.", EBUSY};
  return {};
}

/// What QEMU has written so far is taken and forgotten.
void drain(const client::Fd& reader) {
  std::array<char, 65536> buffer = {};
  while (read(reader.get(), buffer.data(), buffer.size()) > 0) {
  }
}

/// Until it pauses before the devices' states. It is not to be cancelled earlier: cancelled in the
/// moment in which it is about to pause, QEMU 7.2 waits for ever, with the guest stopped
/// (migration_maybe_pause() looks at the state, and lets go of the lock before it changes it).
client::Result<void> wait_for_pause(const Peer& peer, const client::Fd& reader, Deadline deadline) {
  for (;;) {
    auto answer = peer.call("query-migrate", nullptr, deadline);
    if (!answer) return answer.error();
    const std::string status = text_of(*answer, "status");
    if (status == "pre-switchover") return {};
    if (status == "failed") {
      return client::Error{"", "QEMU's migration fails: " + text_of(*answer, "error-desc"),
                           EREMOTEIO};
    }
    if (common::now_usec() >= deadline) return still(status);
    drain(reader);
    poll(nullptr, 0, poll_ms);
  }
}

client::Result<void> end_rehearsal(const Peer& peer, const std::string& before, client::Fd reader,
                                   Deadline deadline) {
  auto cancelled = peer.call("migrate_cancel", nullptr, deadline);
  if (!cancelled) return cancelled.error();
  reader.reset();  // a QEMU that waits for us to read is told that nobody will
  std::string reason;
  auto status = wait_for_end(peer, None::over, deadline, &reason);
  if (!status) return status.error();
  auto now = run_state(peer, deadline);
  if (!now) return now.error();
  // Cancelled in the moment in which it had stopped, QEMU lets the guest run again by itself.
  if (*now == before) return {};
  return continue_guest(peer, deadline);
}

/// Only with a guest that runs: QEMU before 8.1 does not find its way back from the end of a
/// rehearsal to any other state ("postmigrate" for good), and nobody who paused a guest has asked
/// for it.
client::Result<void> rehearse(const Peer& peer, Deadline deadline) {
  auto before = run_state(peer, deadline);
  if (!before) return before.error();
  if (*before != "running") return {};
  // QEMU 9.1 and later take nothing but pipes and sockets: no /dev/null. What QEMU writes while it
  // holds the lock that its monitor needs, the list of its memory, fits into it.
  auto pipe = make_pipe();
  if (!pipe) return pipe.error();
  if (auto made = make_nonblocking(pipe->reader); !made) return made;
  if (auto passed = pass(peer, pipe->writer, deadline); !passed) return passed;
  pipe->writer.reset();
  if (auto begun = migrate(peer, "migrate", deadline); !begun) return begun;
  auto done = wait_for_pause(peer, pipe->reader, deadline);
  // With time of its own: the guest may stand still by now.
  const Deadline end = std::max(deadline, common::now_usec() + peer.command_usec);
  auto ended = end_rehearsal(peer, *before, std::move(pipe->reader), end);
  return done ? ended : done;
}

}  // namespace

client::Result<json> Peer::call(const std::string& name, const json& arguments, Deadline deadline,
                                int passed) const {
  return monitor.call(name, arguments, std::min(deadline, common::now_usec() + command_usec),
                      passed);
}

client::Result<std::string> run_state(const Peer& peer, Deadline deadline) {
  auto answer = peer.call("query-status", nullptr, deadline);
  if (!answer) return answer.error();
  return text_of(*answer, "status");
}

client::Result<void> stop_guest(const Peer& peer, Deadline deadline) {
  return nothing_of(peer.call("stop", nullptr, deadline));
}

client::Result<void> continue_guest(const Peer& peer, Deadline deadline) {
  return nothing_of(peer.call("cont", nullptr, deadline));
}

client::Result<std::string> state_to_carry(const Peer& peer, Deadline deadline) {
  auto state = run_state(peer, deadline);
  if (!state) return state.error();
  for (const char* good : {"running", "paused", "shutdown"}) {
    if (*state == good) return state;
  }
  if (*state == "suspended" && peer.version.major >= first_with_mode) return state;
  const char* why = *state == "suspended" ? ", which QEMU before 9.0 cannot carry." : ".";
  return client::Error{"", "The guest is in the state '" + *state + "'" + why, EBUSY};
}

client::Result<void> check_portable(const Peer& peer, Deadline deadline) {
  if (auto state = state_to_carry(peer, deadline); !state) return state.error();
  // Before QEMU is asked what is in the way: that depends on its mode.
  if (auto set = set_up(peer, Purpose::rehearsal, deadline); !set) return set;
  client::Result<void> outcome;
  for (const auto check : {check_blockers, check_memory, rehearse}) {
    if (outcome) outcome = check(peer, deadline);
  }
  auto put_back =
      put_settings_back(peer, std::max(deadline, common::now_usec() + peer.command_usec));
  return outcome ? put_back : outcome;
}

client::Result<void> put_settings_back(const Peer& peer, Deadline deadline) {
  return set_migration(peer, false, false, "normal", deadline);
}

client::Result<void> save_state(const Peer& peer, StateMemory& memory, Deadline deadline) {
  auto pipe = make_pipe();
  if (!pipe) return pipe.error();
  if (auto made = make_nonblocking(pipe->reader); !made) return made;
  if (auto set = set_up(peer, Purpose::transfer, deadline); !set) return set;
  if (auto passed = pass(peer, pipe->writer, deadline); !passed) return passed;
  pipe->writer.reset();  // QEMU's is the only one now: its end is the end
  if (auto begun = migrate(peer, "migrate", deadline); !begun) return begun;
  auto filled = memory.fill_from(pipe->reader.get(), deadline);
  // A QEMU that still writes is told that nobody reads.
  pipe->reader.reset();
  if (!filled) return filled;
  if (auto completed = wait_for_completion(peer, None::over, deadline); !completed) {
    return cannot("QEMU did not write the device state", completed.error());
  }
  return {};
}

void cancel_saving(const Peer& peer, Deadline deadline) {
  std::string reason;
  if (peer.call("migrate_cancel", nullptr, deadline)) {
    [[maybe_unused]] auto ended = wait_for_end(peer, None::over, deadline, &reason);
  }
}

client::Result<void> load_state(const Peer& peer, const StateMemory& memory,
                                const StateHeader& header, Deadline deadline) {
  auto pipe = make_pipe();
  if (!pipe) return pipe.error();
  if (auto made = make_nonblocking(pipe->writer); !made) return made;
  if (auto set = set_up(peer, Purpose::transfer, deadline); !set) return set;
  if (auto passed = pass(peer, pipe->reader, deadline); !passed) return passed;
  pipe->reader.reset();  // a QEMU that ends is then seen at once
  if (auto begun = migrate(peer, "migrate-incoming", deadline); !begun) return begun;
  auto poured = memory.pour_into(pipe->writer.get(), header, deadline);
  pipe->writer.reset();
  // QEMU's own word, if it can still say one, is better than "broken pipe".
  auto completed = wait_for_completion(peer, None::to_come, deadline);
  if (!completed) return cannot("QEMU did not take the device state", completed.error());
  return poured;
}

}  // namespace handover::vmm
