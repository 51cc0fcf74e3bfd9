// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake_outside.h"

#include <algorithm>
#include <utility>

namespace handover::engine::test {

// ---- what was announced

std::optional<std::size_t> Announced::at(const std::vector<std::string>& list,
                                         const std::string& what) {
  const auto it = std::find(list.begin(), list.end(), what);
  if (it == list.end()) return std::nullopt;
  return static_cast<std::size_t>(it - list.begin());
}

std::size_t Announced::count(const std::string& call) const {
  return static_cast<std::size_t>(std::count(calls.begin(), calls.end(), call));
}

bool Announced::told_loss(const std::string& session, const std::string& client) const {
  return std::any_of(losses.begin(), losses.end(), [&](const Loss& loss) {
    // Without a name it is everything.
    return loss.session == session || (loss.session.empty() && loss.client == client) ||
           (loss.session.empty() && loss.client.empty());
  });
}

// ---- calls to clients

void FakeOutside::soon(std::function<void()> what) {
  machine_.clock.later(0, [this, alive = alive_, what = std::move(what)] {
    if (*alive) host_.turn(what);
  });
}

void FakeOutside::call_client(const ClientRecord& client, ClientCall call,
                              const ClientCallArguments& arguments,
                              std::function<void(const Answer&)> answered) {
  machine_.effect("call_client");
  announced_.calls.push_back(std::string(to_string(call)) + " " + client.name);
  const auto number = ++numbers_;
  auto& made = calls_[number];
  made.connection = client.bus_name;
  made.answered = std::move(answered);
  made.left_usec = arguments.timeout_usec;
  run_clock(number);
  // Once it is sent, it comes: whether or not its sender lives on.
  machine_.clock.later(0, [this, alive = alive_, &clients = clients_, number, name = client.name,
                           call, arguments, connection = client.bus_name] {
    const auto it = clients.find(name);
    const bool there = it != clients.end() && !connection.empty() &&
                       it->second->connection() == connection &&
                       it->second->life() != FakeClient::Life::away;
    if (!there) {
      if (!*alive) return;
      return answer(number, fail(ErrorCode::client_gone, "It has left the bus."));
    }
    it->second->call(call, arguments, [this, alive, number](const Result<void>& result) {
      if (*alive) answer(number, result);
    });
  });
}

void FakeOutside::answer(std::uint64_t number, const Result<void>& result) {
  soon([this, number, result] {
    const auto it = calls_.find(number);
    if (it == calls_.end()) return;
    const auto call = std::move(it->second);
    calls_.erase(it);
    call.answered(Answer{result, call.timed_out});
  });
}

void FakeOutside::limit_over(std::uint64_t number) {
  const auto it = calls_.find(number);
  if (it == calls_.end()) return;
  auto& call = it->second;
  call.timed_out = true;
  const auto answered = call.answered;
  answered(Answer{fail(ErrorCode::timed_out, "It did not answer in its time limit."), false});
}

void FakeOutside::connection_gone(const std::string& connection) {
  std::vector<std::uint64_t> gone;
  for (const auto& [number, call] : calls_) {
    if (call.connection == connection) gone.push_back(number);
  }
  for (const auto number : gone) {
    const auto call = std::move(calls_.at(number));
    calls_.erase(number);
    if (call.timed_out) continue;
    call.answered(Answer{fail(ErrorCode::client_gone, "It has left the bus."), false});
  }
}

/// As CallQueue does it.
void FakeOutside::run_clock(std::uint64_t number) {
  auto& call = calls_.at(number);
  call.since_usec = machine_.clock.now_usec();
  if (stopped_.contains(call.connection)) return;
  call.limit = host_.after(call.left_usec, [this, number] { limit_over(number); });
}

void FakeOutside::stop_clock(const std::string& connection) {
  if (++stopped_[connection] > 1) return;
  for (auto& [number, call] : calls_) {
    if (call.connection != connection || call.timed_out) continue;
    const auto ran = machine_.clock.now_usec() - call.since_usec;
    call.left_usec -= std::min(call.left_usec, ran);
    call.limit.reset();
  }
}

void FakeOutside::start_clock(const std::string& connection) {
  const auto stopped = stopped_.find(connection);
  if (stopped == stopped_.end()) {
    started_too_often_ = true;
    return;
  }
  if (--stopped->second > 0) return;
  stopped_.erase(stopped);
  for (auto& [number, call] : calls_) {
    if (call.connection == connection && !call.timed_out) run_clock(number);
  }
}

// ---- PID 1

void FakeOutside::start_orderly_kexec(std::function<void(Error)> failed) {
  machine_.effect("start_orderly_kexec");
  pid_one_.kexec_job = true;
  pid_one_.kexec_failed = [this, alive = alive_, &pid_one = pid_one_,
                           failed = std::move(failed)](Error error) {
    pid_one.kexec_job = false;
    if (!*alive) return;
    soon([failed, error = std::move(error)] { failed(error); });
  };
}

void FakeOutside::withdraw_orderly_kexec(std::function<void(Result<void>)> done) {
  machine_.effect("withdraw_orderly_kexec");
  Result<void> result;
  if (pid_one_.withdraw_error) {
    result = fail(*pid_one_.withdraw_error);
  } else {
    ++pid_one_.withdrawals;
    pid_one_.kexec_job = false;
  }
  machine_.clock.later(pid_one_.withdraw_takes_usec,
                       [this, alive = alive_, done = std::move(done), result] {
                         if (*alive) host_.turn([&] { done(result); });
                       });
}

void FakeOutside::boot_is_over(std::function<void(bool)> answer) {
  soon([this, answer = std::move(answer)] { answer(pid_one_.boot_is_over); });
}

void FakeOutside::ask_managers(const std::vector<std::string>& units,
                               std::function<void(ManagerFacts)> answer) {
  pid_one_.units_asked_for = units;
  soon([this, answer = std::move(answer)] { answer(pid_one_.managers); });
}

// ---- announcements

void FakeOutside::manager_changed(const char* property) {
  told(std::string("manager ") + property);
}
void FakeOutside::session_changed(const std::string& session, const char* property) {
  told("session " + session + " " + property);
}
void FakeOutside::session_added(const std::string& session) {
  told("session " + session + " added");
}
void FakeOutside::session_removed(const std::string& session) {
  told("session " + session + " removed");
}
void FakeOutside::token_added(const std::string& session, std::uint64_t token) {
  told("token " + session + "/" + std::to_string(token) + " added");
}
void FakeOutside::token_removed(const std::string& session, std::uint64_t token) {
  told("token " + session + "/" + std::to_string(token) + " removed");
}
void FakeOutside::client_added(const std::string& client) { told("client " + client + " added"); }
void FakeOutside::client_removed(const std::string& client) {
  told("client " + client + " removed");
}
void FakeOutside::client_changed(const ClientRecord& client) {
  told("client " + client.name + " " + std::string(to_string(client.phase)));
}
void FakeOutside::job_added(std::uint64_t id) { told("job " + std::to_string(id) + " added"); }
void FakeOutside::job_changed(std::uint64_t /*id*/) {}
void FakeOutside::job_removed(std::uint64_t id, Outcome result, const std::string& /*reason*/) {
  told("job " + std::to_string(id) + " removed: " + std::string(to_string(result)));
}

void FakeOutside::update_finished(Outcome outcome, const std::string& reason,
                                  std::uint64_t generation) {
  announced_.finished.push_back(
      {std::string(to_string(outcome)), reason, generation, announced_.losses.size()});
}

void FakeOutside::kernel_judged(const std::string& release, KernelState state,
                                const std::string& reason, std::uint64_t generation) {
  told("kernel " + release + " " + std::string(to_string(state)) + " in generation " +
       std::to_string(generation) + (reason.empty() ? "" : ": " + reason));
}

void FakeOutside::state_lost(const std::string& session, const std::string& client,
                             const std::string& reason) {
  announced_.losses.push_back({session, client, reason});
  machine_.clock.later(0, [&clients = clients_, session, client] {
    for (const auto& [name, one] : clients) {
      if (client.empty() || client == name) one->state_lost(session);
    }
  });
}

}  // namespace handover::engine::test
