// SPDX-License-Identifier: LGPL-2.1-or-later
#include "light_client.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace handover::test {

namespace {

constexpr const char* object_path = "/c";
constexpr std::chrono::milliseconds between_tries{20};
constexpr std::chrono::milliseconds longest_pause{1000};

std::optional<Call> call_of(std::string_view member) {
  for (const auto call : {Call::prepare, Call::cancel, Call::freeze, Call::thaw, Call::restore}) {
    if (member == to_string(call)) return call;
  }
  return std::nullopt;
}

std::string session_of(const std::string& name) {
  return "/org/handover1/session/" + name;  // of letters and digits: nothing to encode
}

/// Too many calls waited, or, says the bus, too many descriptors: that passes.
bool is_busy(const LightPeer::Received& answer) {
  return answer.message.error == error_name("Busy") ||
         answer.message.error == "org.freedesktop.DBus.Error.LimitsExceeded";
}

/// The daemon died under the call: the client hears of its return and does it again.
bool daemon_went(const LightPeer::Received& answer) {
  constexpr std::array names = {"NoReply", "ServiceUnknown", "NameHasNoOwner"};
  return std::any_of(names.begin(), names.end(), [&](const char* name) {
    return answer.message.error == std::string("org.freedesktop.DBus.Error.") + name;
  });
}

/// There is no session of that name (any more).
bool has_no_session(const LightPeer::Received& answer) {
  return answer.message.error == "org.freedesktop.DBus.Error.UnknownObject";
}

bool has_error(const LightPeer::Received& answer, const char* name) {
  return answer.message.error == error_name(name);
}

void add_option(wire::Writer& to, const char* name, std::uint64_t value) {
  to.align(8).text(name).signature("t").number64(value);
}

}  // namespace

LightClient::LightClient(EventLoop& loop, Address address, Setup setup, OnCall on_call)
    : loop_(loop),
      address_(std::move(address)),
      setup_(std::move(setup)),
      on_call_(std::move(on_call)) {}

void LightClient::start() {
  later_.reset();
  enroll_later_.reset();
  try {
    connect();
    enroll();
  } catch (const std::system_error&) {
    // The daemon's new process has not made its socket yet.
    later_ = loop_.after(between_tries, [this] { start(); });
  }
}

void LightClient::connect() {
  LightPeer::Handlers handlers;
  handlers.called = [this](auto& received) { came(received); };
  handlers.lost = [this] { lost(); };
  if (!address_.direct) handlers.signalled = [this](auto& received) { owner_changed(received); };
  peer_ = std::make_unique<LightPeer>(loop_, address_, std::move(handlers));
  if (address_.direct) return;
  peer_->match(
      "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',"
      "arg0='org.handover1'");
}

void LightClient::owner_changed(const LightPeer::Received& received) {
  if (received.message.member != "NameOwnerChanged") return;
  wire::Reader reader(received.message.body);
  reader.text();
  reader.text();
  if (!reader.text().empty()) enroll();
}

void LightClient::lost() {
  peer_.reset();
  forget_calls();
  registered_ = false;
  start();
}

void LightClient::die() {
  later_.reset();
  enroll_later_.reset();
  peer_.reset();
  forget_calls();
  memory_.clear();
  registered_ = false;
  frozen_ = false;
  preserved_ = 0;
}

void LightClient::enroll() {
  enroll_pause_ = between_tries;
  send_enrollment();
}

void LightClient::enroll_later() {
  enroll_later_ = loop_.after(enroll_pause_, [this] { send_enrollment(); });
  enroll_pause_ = std::min(2 * enroll_pause_, longest_pause);
}

void LightClient::send_enrollment() {
  enroll_later_.reset();
  if (!peer_) return;
  wire::Writer body;
  body.text(setup_.name).text(object_path);
  body.array(4, [&] {
    for (const auto& need : setup_.needs) body.text(need);
  });
  body.array(8, [&] {
    body.align(8).text("required").signature("b").number(setup_.required ? 1 : 0);
    if (setup_.timeout_usec == 0) return;
    add_option(body, "prepare-timeout-usec", setup_.timeout_usec);
    add_option(body, "freeze-timeout-usec", setup_.timeout_usec);
    add_option(body, "restore-timeout-usec", setup_.timeout_usec);
  });
  registered_ = false;
  peer_->call(manager_path, manager_interface, "RegisterClient", "soasa{sv}", body.bytes(),
              [this, enrollment = ++enrollment_](auto& answer) {
                if (enrollment != enrollment_ || daemon_went(answer)) return;
                if (!answer.ok()) {
                  if (!is_busy(answer)) complain("RegisterClient", answer);
                  return enroll_later();
                }
                registered_ = true;
                state_ = wire::Reader(answer.message.body).text();
                if (state_ == "new") frozen_ = false;
                if (state_ == "new" && preserves_) preserve();
              });
}

void LightClient::came(LightPeer::Received& received) {
  const auto call = call_of(received.message.member);
  if (!call) return;
  if (call_) overtaken_.push_back(std::move(*call_));
  call_ = std::move(received.message);
  on_call_(*this, *call);
}

void LightClient::act() {
  if (!call_) return;
  const auto call = *call_of(call_->member);
  if (call == Call::freeze) frozen_ = true;
  if (call == Call::thaw) frozen_ = false;
}

void LightClient::answer() {
  if (!call_) return;
  if (*call_of(call_->member) == Call::restore) return take_back();
  act();
  answer_overtaken();
  peer_->reply(*std::exchange(call_, std::nullopt));
}

/// The daemon makes no new call to whom owes it too many answers.
void LightClient::answer_overtaken() {
  for (const auto& call : std::exchange(overtaken_, {})) peer_->reply(call);
}

void LightClient::forget_calls() {
  call_.reset();
  overtaken_.clear();
}

void LightClient::veto(const std::string& sentence) {
  answer_overtaken();
  if (call_) peer_->reply_error(*std::exchange(call_, std::nullopt), "org.example.Error", sentence);
}

std::string LightClient::contents(unsigned token) const {
  return setup_.name + " " + std::to_string(token);
}

void LightClient::preserve() {
  preserved_ = 0;
  const auto attempt = ++attempt_;
  if (!peer_ || setup_.tokens == 0) return;
  wire::Writer body;
  body.text(setup_.name).array(8, [&] {
    body.align(8).text("client").signature("s").text(setup_.name);
  });
  peer_->call(manager_path, manager_interface, "CreateSession", "sa{sv}", body.bytes(),
              [this, attempt](auto& answer) {
                if (attempt != attempt_ || answer.ok() || daemon_went(answer)) return;
                // Made before the daemon died.
                if (has_error(answer, "NameTaken")) return;
                if (is_busy(answer)) return preserve_later();
                complain("CreateSession", answer);
              });
  memory_.resize(setup_.tokens);
  for (unsigned token = 0; token < setup_.tokens; ++token) {
    auto& fd = memory_[token];
    if (!fd) {
      fd.reset(memfd_create("handover-test", MFD_CLOEXEC));
      const auto text = contents(token);
      must(pwrite(fd.get(), text.data(), text.size(), 0) < 0 ? -errno : 0, "writing a memfd");
    }
    peer_->call(
        session_of(setup_.name), session_interface, "Preserve", "tha{sv}",
        wire::Writer().number64(token).number(0).array(8, [] {}).bytes(),
        [this, attempt](auto& answer) {
          if (attempt != attempt_) return;
          if (answer.ok() || has_error(answer, "TokenTaken")) {
            ++preserved_;
          } else if (is_busy(answer)) {
            preserve_later();
          } else if (!daemon_went(answer) && !has_no_session(answer)) {  // CreateSession told it
            complain("Preserve", answer);
          }
        },
        fd.get());
  }
}

void LightClient::preserve_later() {
  ++attempt_;
  later_ = loop_.after(between_tries, [this] { preserve(); });
}

void LightClient::take_back() {
  returned_ = 0;
  const auto attempt = ++attempt_;
  const auto finish = [this] {
    frozen_ = false;
    ++restored_;
    answer_overtaken();
    if (call_) peer_->reply(*std::exchange(call_, std::nullopt));
    if (preserves_) preserve();
  };
  if (setup_.tokens == 0) return finish();
  memory_.resize(setup_.tokens);
  for (unsigned token = 0; token < setup_.tokens; ++token) {
    peer_->call(
        session_of(setup_.name), session_interface, "Retrieve", "t",
        wire::Writer().number64(token).bytes(), [this, attempt, token, finish](auto& answer) {
          if (attempt != attempt_ || daemon_went(answer)) return;
          if (is_busy(answer)) {
            ++attempt_;
            later_ = loop_.after(between_tries, [this] { take_back(); });
            return;
          }
          if (answer.ok() && !answer.fds.empty()) {
            memory_[token] = std::move(answer.fds.front());
            auto text = contents(token);
            const auto wanted = text;
            if (pread(memory_[token].get(), text.data(), text.size(), 0) < 0 || text != wanted) {
              complaints_.push_back(setup_.name + ": other contents came back");
            }
          } else {
            complain("Retrieve", answer);
          }
          if (++returned_ == setup_.tokens) finish();
        });
  }
}

void LightClient::end_session(const char* member) {
  if (!peer_) return;
  preserved_ = 0;
  peer_->call(session_of(setup_.name), session_interface, member, "", "", [](auto&) {});
}

void LightClient::complain(const char* what, const LightPeer::Received& answer) {
  complaints_.push_back(setup_.name + ": " + what + ": " + answer.message.error + ": " +
                        answer.sentence());
}

}  // namespace handover::test
