// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake_client.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace handover::engine::test {

namespace {

constexpr std::uint64_t retry_usec = 100'000;
constexpr unsigned most_tries = 50;
constexpr std::size_t text_bytes = 64;

std::string read_text(int fd) {
  std::array<char, text_bytes> bytes{};
  const auto got = pread(fd, bytes.data(), bytes.size(), 0);
  return {bytes.data(), got < 0 ? 0 : static_cast<std::size_t>(got)};
}

void write_text(int fd, const std::string& text) {
  if (pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) abort();
}

}  // namespace

FakeClient::FakeClient(Daemon& daemon, std::string name, bool daemon_is_here)
    : daemon_(daemon), name_(std::move(name)), daemon_is_here_(daemon_is_here) {
  owner_ = Owner{1000, name_ + ".service"};
}

FakeClient::~FakeClient() {
  *process_ = false;
  *dealings_ = false;
}

// ---- what it is

FakeClient& FakeClient::needs(std::vector<std::string> others) {
  needs_ = std::move(others);
  return *this;
}

FakeClient& FakeClient::optional() {
  required_ = false;
  return *this;
}

FakeClient& FakeClient::direct() {
  direct_ = true;
  return *this;
}

FakeClient& FakeClient::preserves(const std::string& session, const std::set<std::uint64_t>& tokens,
                                  std::optional<Keeper> keeper) {
  for (const auto token : tokens) memory_[{session, token}].keeper = keeper;
  return *this;
}

FakeClient& FakeClient::lives_with(FakeClient& other) {
  connection_ = other.connection_;
  direct_ = other.direct_;
  owner_ = other.owner_;
  return *this;
}

FakeClient& FakeClient::never_retrieves(const std::string& session, std::uint64_t token) {
  memory_.at({session, token}).forgotten = true;
  return *this;
}

// ---- its script

FakeClient& FakeClient::does(ClientCall call, Does what, unsigned times) {
  for (; times > 0; --times) script_[call].push_back(what);
  return *this;
}

FakeClient& FakeClient::always(ClientCall call, Does what) {
  always_[call] = what;
  return *this;
}

FakeClient& FakeClient::takes(ClientCall call, std::uint64_t usec) {
  takes_usec_[call] = usec;
  return *this;
}

FakeClient& FakeClient::starts_after(std::uint64_t usec) {
  starts_after_usec_ = usec;
  return *this;
}

FakeClient& FakeClient::registers_again(bool again) {
  registers_again_ = again;
  return *this;
}

FakeClient& FakeClient::stays_away() {
  stays_away_ = true;
  return *this;
}

Does FakeClient::next(ClientCall call) {
  auto& script = script_[call];
  if (!script.empty()) {
    const auto what = script.front();
    script.pop_front();
    return what;
  }
  const auto it = always_.find(call);
  return it == always_.end() ? Does::answer : it->second;
}

// ---- its process

std::set<std::string> FakeClient::sessions() const {
  std::set<std::string> names;
  for (const auto& [place, memory] : memory_) names.insert(place.first);
  return names;
}

Caller FakeClient::caller() const { return Caller{owner_, *connection_, name_ + ".slice"}; }

void FakeClient::later(std::uint64_t usec, std::function<void()> what) {
  daemon_.clock().later(usec, [process = process_, what = std::move(what)] {
    if (*process) what();
  });
}

void FakeClient::send(std::function<void(Engine&)> what) {
  daemon_.send([process = process_, what = std::move(what)](Engine& engine) {
    if (*process) what(engine);
  });
}

template <typename T>
Reply<T> FakeClient::reply(std::function<void(Result<T>)> then) {
  return
      [this, process = process_, dealings = dealings_, then = std::move(then)](Result<T> result) {
        auto shared = std::make_shared<Result<T>>(std::move(result));
        daemon_.clock().later(0, [process, dealings, then, shared] {
          if (*process && *dealings) then(std::move(*shared));
        });
      };
}

void FakeClient::start() {
  if (life_ != Life::away) return;
  life_ = Life::starting;
  afresh_ = true;
  if (daemon_is_here_) register_here();
}

void FakeClient::leave() {
  // All that live in this process.
  daemon_.disconnect(std::string(*connection_));
}

void FakeClient::process_ended() {
  *process_ = false;
  process_ = std::make_shared<bool>(true);
  connection_->clear();
  life_ = Life::away;
  registered_ = false;
  step_sent_ = false;
  todo_.clear();
  call_.reset();
  for (auto& [place, memory] : memory_) memory.fd.reset();
}

void FakeClient::kernel_gone() {
  executed_again();
  process_ended();
  executed_ = false;
}

/// What was preserved waits to be retrieved, from here on.
void FakeClient::executed_again() {
  carried_ = std::exchange(preserved_, {});
  todo_.clear();
  executed_ = true;
}

void FakeClient::daemon_came() {
  daemon_is_here_ = true;
  if (life_ != Life::away) {
    if (registers_again_) register_here();
    return;
  }
  if (stays_away_) return;
  later(starts_after_usec_, [this] { start(); });
}

void FakeClient::daemon_gone() {
  *dealings_ = false;
  dealings_ = std::make_shared<bool>(true);
  daemon_is_here_ = false;
  registered_ = false;
  step_sent_ = false;
  call_.reset();
  if (direct_) connection_->clear();
}

void FakeClient::register_here() {
  if (connection_->empty()) *connection_ = daemon_.connect(direct_);
  ClientRecord record;
  record.name = name_;
  record.path = "/client";
  record.needs = needs_;
  record.required = required_;
  send([this, record](Engine& engine) {
    engine.register_client(
        record, caller(), reply<std::string>([this](Result<std::string> state) {
          if (state) return registered(*state);
          registrations_.push_back(state.error().message);
          const auto code = state.error().code;
          if (code != ErrorCode::busy && code != ErrorCode::name_taken) {
            daemon_.complain(name_ + " cannot register: " + state.error().message);
          }
          later(retry_usec, [this] {
            if (!registered_ && daemon_is_here_) register_here();
          });
        }));
  });
}

void FakeClient::registered(const std::string& state) {
  registrations_.push_back(state);
  registered_ = true;
  // It was restored before, and goes on with what it had in hand.
  if (life_ == Life::running) return preserve_what_is_missing();
  if (state != "new") return;  // Restore or Thaw is called
  run();
}

void FakeClient::run() {
  life_ = Life::running;
  preserve_what_is_missing();
}

void FakeClient::work() {
  if (life_ != Life::running) return;
  ++writes_;
  for (auto& [place, memory] : memory_) {
    if (!memory.fd) continue;
    memory.text = name_ + "/" + place.first + "/" + std::to_string(place.second) + " #" +
                  std::to_string(writes_);
    memory.text.resize(text_bytes, '.');
    write_text(memory.fd.get(), memory.text);
  }
}

// ---- what it preserves

void FakeClient::make_memory(const Place& place) {
  auto& memory = memory_.at(place);
  memory.fd.reset(memfd_create((name_ + "-" + place.first).c_str(), MFD_CLOEXEC));
  memory.text.assign(text_bytes, ' ');
  if (!memory.fd || ftruncate(memory.fd.get(), 4096) != 0) abort();
  write_text(memory.fd.get(), memory.text);
}

void FakeClient::preserve_what_is_missing() {
  if (!todo_.empty() || life_ != Life::running) return next_step();
  if (afresh_) preserved_.clear();
  std::set<std::string> sessions;
  for (const auto& [place, memory] : memory_) {
    if (preserved_.contains(place)) continue;
    if (sessions.insert(place.first).second) {
      // What an earlier process of it preserved is of no use to this one.
      if (afresh_) todo_.push_back({Step::Kind::discard, place.first, 0});
      todo_.push_back({Step::Kind::create, place.first, 0});
    }
    todo_.push_back({Step::Kind::preserve, place.first, place.second});
  }
  afresh_ = false;
  next_step();
}

void FakeClient::next_step() {
  if (todo_.empty() || step_sent_ || !registered_ || life_ != Life::running) return;
  step_sent_ = true;
  send([this, step = todo_.front()](Engine& engine) {
    const auto done = reply<void>([this](Result<void> result) { step_done(result); });
    switch (step.kind) {
      case Step::Kind::discard:
        return engine.discard(step.session, caller(), done);
      case Step::Kind::create:
        return engine.create_session(step.session, std::nullopt, name_, caller(), done);
      case Step::Kind::preserve:
        break;
    }
    auto& memory = memory_.at({step.session, step.token});
    if (!memory.fd) make_memory({step.session, step.token});
    engine.preserve(step.session, step.token, UniqueFd(dup(memory.fd.get())), /*blob=*/false,
                    memory.keeper, caller(), done);
  });
}

void FakeClient::step_done(const Result<void>& done) {
  step_sent_ = false;
  if (todo_.empty()) return;
  const auto step = todo_.front();
  const auto code = done ? ErrorCode::internal : done.error().code;
  // It was done for an earlier process of the daemon, which died before it could say so.
  const bool there = done ||
                     (step.kind == Step::Kind::discard && code == ErrorCode::no_such_session) ||
                     (step.kind == Step::Kind::create && code == ErrorCode::name_taken) ||
                     (step.kind == Step::Kind::preserve && code == ErrorCode::token_taken);
  if (there) {
    tries_ = 0;
    todo_.pop_front();
    if (step.kind == Step::Kind::preserve) preserved_.insert({step.session, step.token});
    return next_step();
  }
  if (step.kind == Step::Kind::preserve && code == ErrorCode::no_such_session) {
    todo_.push_front({Step::Kind::create, step.session, 0});
  }
  const bool wait = code == ErrorCode::busy || code == ErrorCode::incoming ||
                    done.error().nature == Nature::passing;
  if (!wait && ++tries_ > most_tries) {
    daemon_.complain(name_ + " cannot preserve " + step.session + ": " + done.error().message);
    tries_ = 0;
    todo_.pop_front();
    return;
  }
  later(retry_usec, [this] { next_step(); });
}

void FakeClient::state_lost(const std::string& session) {
  std::erase_if(preserved_,
                [&](const Place& place) { return session.empty() || place.first == session; });
  if (life_ == Life::running) preserve_what_is_missing();
}

// ---- what it is called for

unsigned FakeClient::times_called(ClientCall call) const {
  const auto it = called_.find(call);
  return it == called_.end() ? 0 : it->second;
}

void FakeClient::call(ClientCall call, const ClientCallArguments& arguments,
                      std::function<void(Result<void>)> answer) {
  ++called_[call];
  if (call == ClientCall::restore) quiesced_ = arguments.quiesced;
  call_ = Call{call, std::move(answer)};
  switch (next(call)) {
    case Does::answer:
      return act();
    case Does::veto:
      return std::exchange(call_, std::nullopt)
          ->answer(fail(ErrorCode::vetoed, "Not now, says " + name_ + "."));
    case Does::nothing:
      return;
    case Does::leave:
      return leave();
    case Does::register_again:
      register_here();
      return act();
  }
}

void FakeClient::answer_now() {
  if (call_) act();
}

void FakeClient::act() {
  const auto takes = takes_usec_.find(call_->what);
  if (takes == takes_usec_.end() || call_->what == ClientCall::restore) return act_now();
  later(takes->second, [this, what = call_->what] {
    if (call_ && call_->what == what) act_now();
  });
}

void FakeClient::act_now() {
  switch (call_->what) {
    case ClientCall::prepare:
    case ClientCall::cancel:
      break;
    case ClientCall::freeze:
      life_ = Life::frozen;
      break;
    case ClientCall::thaw:
      // The daemon died before it had read what it passed on to itself: all is as it was.
      if (std::exchange(executed_, false)) preserved_ = std::exchange(carried_, {});
      if (life_ != Life::running) run();
      break;
    case ClientCall::restore:
      executed_ = false;
      return restore();
  }
  std::exchange(call_, std::nullopt)->answer({});
}

// ---- in the next kernel

void FakeClient::restore() {
  afresh_ = false;
  to_retrieve_ = 1;
  for (const auto& place : carried_) {
    auto& memory = memory_.at(place);
    if (memory.forgotten) continue;
    memory.fd.reset();
    ++to_retrieve_;
    retrieve(place);
  }
  restored();
}

void FakeClient::retrieve(const Place& place) {
  send([this, place](Engine& engine) {
    engine.retrieve(
        place.first, place.second, caller(),
        reply<UniqueFd>([this, place](Result<UniqueFd> fd) { retrieved(place, std::move(fd)); }));
  });
}

void FakeClient::retrieved(const Place& place, Result<UniqueFd> fd) {
  if (!fd && (fd.error().nature == Nature::passing || fd.error().code == ErrorCode::busy)) {
    return later(retry_usec, [this, place] { retrieve(place); });
  }
  if (fd) {
    auto& memory = memory_.at(place);
    const auto there = read_text(fd->get());
    if (there != memory.text) {
      daemon_.complain(name_ + " finds '" + there + "' and had written '" + memory.text + "'");
    }
    memory.fd = std::move(*fd);
  }
  restored();
}

/// When everything is here, or known to be lost.
void FakeClient::restored() {
  if (--to_retrieve_ != 0) return;
  later(takes_usec_[ClientCall::restore], [this] {
    std::erase_if(carried_, [this](const Place& place) { return !!memory_.at(place).fd; });
    if (call_ && call_->what == ClientCall::restore) {
      std::exchange(call_, std::nullopt)->answer({});
    }
    run();
  });
}

}  // namespace handover::engine::test
