// SPDX-License-Identifier: LGPL-2.1-or-later
// The journal's events: one table of MESSAGE_ID, name, fields and meaning. docs/journal.md and
// units/handoverd.catalog say the same; a test compares the three.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace handover::log {

/// Fields of an event. Each is also a field of the journal, under the name in `field_names`.
enum class Field {
  update,     ///< the update's id, a number
  client,     ///< the client's name
  session,    ///< the session's name
  token,      ///< the token, a number
  unit,       ///< the systemd unit of the owner (limit_refused: the user's id if there is none)
  phase,      ///< the call to the client ("Prepare", "Freeze")
  state,      ///< the daemon's state, as in the Manager's property State
  usec,       ///< how long it took, µs
  code,       ///< the error's name (ErrorCode), or the update's outcome
  count,      ///< how many
  operation,  ///< the function of the daemon
  hook,       ///< the hook's stage and name, "prepare/50-check"
};

constexpr std::array<std::string_view, 12> field_names = {"UPDATE", "CLIENT", "SESSION",   "TOKEN",
                                                          "UNIT",   "PHASE",  "STATE",     "USEC",
                                                          "CODE",   "COUNT",  "OPERATION", "HOOK"};

constexpr std::string_view field_name(Field field) {
  return field_names.at(static_cast<std::size_t>(field));
}

enum class Id {
  state_changed,
  update_started,
  update_finished,
  client_vetoed,
  client_timed_out,
  client_left,
  client_left_out,
  thaw_failed,
  thaw_repeated,
  session_lost,
  token_lost,
  session_degraded,
  session_whole,
  session_unreached,
  token_retrieved,
  session_finished,
  session_unclaimed,
  limit_refused,
  preflight_finding,
  sync_unfinished,
  kexec_called,
  kexec_failed,
  configuration_unusable,
  manifest_unreachable,
  daemon_restarted,
  generation_restored,
  kernel_good,
  kernel_bad,
  loop_late,
  operation_failed,
  lines_dropped,
  hook_failed,
  hook_output,
};

/// A set of fields.
class Fields {
 public:
  template <typename... Each>
  constexpr explicit Fields(Each... fields) : bits_((0U | ... | bit(fields))) {}
  [[nodiscard]] constexpr bool has(Field field) const { return (bits_ & bit(field)) != 0; }

 private:
  static constexpr unsigned bit(Field field) { return 1U << static_cast<unsigned>(field); }
  unsigned bits_;
};

struct EventInfo {
  Id id;
  std::string_view name;
  std::string_view message_id;  ///< 128 bits, as journalctl(1) writes them
  Fields fields;                ///< always there; an event has more where they are known
  std::string_view meaning;     ///< one sentence
};

/// Never change or reuse a message_id: people filter by it.
constexpr std::array<EventInfo, 33> events = {{
    {Id::state_changed, "state-changed", "6cacb4887d6e4f22ab5167e6a92b67a9", Fields(Field::state),
     "The daemon entered another state."},
    {Id::update_started, "update-started", "1d079acfbfe54bf994544530ce620002",
     Fields(Field::update), "A live update began."},
    {Id::update_finished, "update-finished", "a9f4829fb51e4dd280450b4e40526dd4",
     Fields(Field::update, Field::code),
     "A live update is over; CODE is its outcome, and USEC its blackout, if there was one."},
    {Id::client_vetoed, "client-vetoed", "3fea9254e64f414cae6d0f5f36ade0f0",
     Fields(Field::update, Field::client, Field::phase),
     "A client refused to prepare or to freeze."},
    {Id::client_timed_out, "client-timed-out", "5ba15de5eadc4095b9cf90b74f9515c1",
     Fields(Field::update, Field::client, Field::phase),
     "A client did not answer a call within its time limit."},
    {Id::client_left, "client-left", "d73e9b47594843768badfaa436415c8e", Fields(Field::client),
     "A client closed its connection."},
    {Id::client_left_out, "client-left-out", "3d155772d0f343b8a2ed159a437414d1",
     Fields(Field::update, Field::client),
     "The update goes on without an optional client; PHASE is the call in which it failed, if it "
     "was called."},
    {Id::thaw_failed, "thaw-failed", "d88dbc4bd3c544c2812a6ff7b11c19a4", Fields(Field::client),
     "A client left before it was thawed."},
    {Id::thaw_repeated, "thaw-repeated", "80839b5eaf3042829a768a848617603d",
     Fields(Field::client, Field::count),
     "A client is called again, since it has not answered Thaw or Cancel. COUNT is the number of "
     "this call."},
    {Id::session_lost, "session-lost", "24c824514c6e4242a45730496f4acd77", Fields(),
     "Everything that a session, or a client, preserved is lost; the line names it."},
    {Id::token_lost, "token-lost", "4e9ecc82eb314d2fb2e4703e59082e22",
     Fields(Field::session, Field::token), "One preserved descriptor of a session is lost."},
    {Id::session_degraded, "session-degraded", "e731c765725a4845b004739fb1886592",
     Fields(Field::session),
     "The kernel does not hold all of a session at the moment; the daemon tries to preserve it "
     "again."},
    {Id::session_whole, "session-whole", "12f768c0b07e47feb2e6c2d1e8c0de61", Fields(Field::session),
     "The kernel holds all of a degraded session again."},
    {Id::session_unreached, "session-unreached", "c294f5a6c6f04accbc52205ee375cf9b",
     Fields(Field::session, Field::code),
     "A session of the previous kernel cannot be opened yet; the daemon tries again."},
    {Id::token_retrieved, "token-retrieved", "36a2054a81f647d4bd404c3215784c53",
     Fields(Field::session, Field::token, Field::usec),
     "A client got a preserved descriptor back."},
    {Id::session_finished, "session-finished", "f8a5ce7bd7b54d11b59b136d38572097",
     Fields(Field::session), "A session of the previous kernel is finished."},
    {Id::session_unclaimed, "session-unclaimed", "65d608d63dc248b38cfbc00695578c39",
     Fields(Field::session), "Nobody claimed a session of the previous kernel in time."},
    {Id::limit_refused, "limit-refused", "ac9fbfb0108f41fcaffce3b278b8bfed",
     Fields(Field::unit, Field::code, Field::count),
     "A request was refused because its owner is at a limit. COUNT is how many more were refused "
     "since the last such line."},
    {Id::preflight_finding, "preflight-finding", "77a472d5ba284ead833eb81880bc4d40",
     Fields(Field::code),
     "Preflight found a reason against the update, or a warning. CODE is its id (preflight.md)."},
    {Id::sync_unfinished, "sync-unfinished", "eb136617762f4cbb8c2441bd8f77d0ce",
     Fields(Field::count, Field::usec),
     "File systems were not written to disk within the time limit. COUNT is their number."},
    {Id::kexec_called, "kexec-called", "cedf51ad0ccb4f359e92c647bce500da", Fields(Field::update),
     "The daemon calls kexec."},
    {Id::kexec_failed, "kexec-failed", "5fce26f60b2f4ee8a17e61c460f20009",
     Fields(Field::update, Field::code), "The kernel did not kexec; everybody is thawed."},
    {Id::configuration_unusable, "configuration-unusable", "e588a62ad85c476db71c1b32584e7666",
     Fields(Field::code),
     "The configuration file cannot be used; the daemon uses the one that the update was prepared "
     "with."},
    {Id::manifest_unreachable, "manifest-unreachable", "4743fda595444fec98dc4000277ba566",
     Fields(Field::code),
     "The manifest of the previous kernel cannot be read yet; the daemon tries again."},
    {Id::daemon_restarted, "daemon-restarted", "7c5190039d8342e8b11c7993790bfa2c",
     Fields(Field::state), "The daemon was restarted in the middle of an update."},
    {Id::generation_restored, "generation-restored", "c263fa8ae2414e32af5f334e44fd1943",
     Fields(Field::count),
     "The daemon started in a new kernel and has what the previous one preserved. COUNT is the "
     "number of sessions."},
    {Id::kernel_good, "kernel-good", "8c4b7ddc5dee4ffcbf0c28f83aedf72e", Fields(Field::update),
     "The clients are restored in the kernel that an update went into, and the health command has "
     "passed, if there is one."},
    {Id::kernel_bad, "kernel-bad", "bd9d058b94b44df58844d065ab21881e", Fields(Field::update),
     "The kernel that an update went into lost the state, or its health command failed; preflight "
     "refuses it from now on."},
    {Id::loop_late, "loop-late", "c405da63ac37463bab4bb41ce85489a1",
     Fields(Field::usec, Field::count),
     "The event loop was busy for longer than 20 ms. COUNT says how often so far."},
    {Id::operation_failed, "operation-failed", "19b41b3da30a4089a5088312be449eac",
     Fields(Field::operation), "A bug ended one operation of the daemon; the daemon goes on."},
    {Id::lines_dropped, "lines-dropped", "0463161c01c84508846c822086183ea3", Fields(Field::count),
     "Log lines were dropped because the journal did not take them."},
    {Id::hook_failed, "hook-failed", "5b250f9e719145b598226284784821eb",
     Fields(Field::hook, Field::code), "A hook did not pass; CODE says how it ended (hooks.md)."},
    {Id::hook_output, "hook-output", "f2e6128763c248628ffcd54909c151d4", Fields(Field::hook),
     "A line that a hook printed."},
}};

constexpr const EventInfo& info_of(Id id) { return events.at(static_cast<std::size_t>(id)); }

namespace detail {
constexpr bool is_in_order() {
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (static_cast<std::size_t>(events.at(i).id) != i) return false;
  }
  return true;
}
static_assert(is_in_order(), "the table stands in the order of Id");
}  // namespace detail

}  // namespace handover::log
