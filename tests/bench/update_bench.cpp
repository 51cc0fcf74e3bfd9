// SPDX-License-Identifier: LGPL-2.1-or-later
// What an update costs the daemon with many clients, beside as many bare round trips in the same
// run: CPU and time of the freeze, of the way back and of the restore, on direct connections and on
// a bus. The emulated backend; prints a table, passes no judgement.
//
//   update-bench [CLIENTS…]        50, 100, 200, 400 and 1000 unless they are named
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <thread>

#include "bare_daemon.h"
#include "child_process.h"
#include "light_client.h"
#include "private_bus.h"
#include "process.h"
#include "roomy.h"
#include "support/notify_socket.h"

namespace {

using namespace handover;
using namespace handover::test;
using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

constexpr unsigned tokens = 4;

struct Cost {
  nanoseconds cpu{}, wall{};
  Cost operator-(const Cost& other) const { return {cpu - other.cpu, wall - other.wall}; }
  Cost operator+(const Cost& other) const { return {cpu + other.cpu, wall + other.wall}; }
  Cost operator/(int by) const { return {cpu / by, wall / by}; }
};

struct Phases {
  Cost freeze;   ///< the first Freeze has come … all have answered
  Cost back;     ///< … all have registered again, with what the daemon does in between
  Cost restore;  ///< … all have their memory, and it is "normal"
  nanoseconds first_restore{};  ///< the last Freeze was answered … the first Restore is called
  Cost enroll;                  ///< of one client, with all the others there
  double persist_usec = 0;      ///< of one, while it was enrolled
};

struct Persists {
  std::uint64_t count = 0, usec = 0;
  Persists operator-(const Persists& other) const {
    return {count - other.count, usec - other.usec};
  }
  [[nodiscard]] double usec_each() const {
    return count == 0 ? 0 : static_cast<double>(usec) / static_cast<double>(count);
  }
};

void wait_for(EventLoop& loop, const char* what, const std::function<bool()>& done) {
  constexpr std::chrono::minutes long_enough{20};
  if (!loop.run_until(done, long_enough)) throw std::runtime_error(std::string("no end: ") + what);
}

/// `count` clients, and "gate", which all of them need: it freezes last and is restored first, so
/// that it shows where one phase ends and the next begins.
class Crowd {
 public:
  Crowd(EventLoop& loop, const Address& address, std::size_t count, pid_t daemon)
      : loop_(loop),
        daemon_(daemon),
        address_(address),
        admin_(std::make_unique<Connection>(loop, address)) {
    const auto add = [&](LightClient::Setup setup, LightClient::OnCall on_call) {
      clients_.push_back(
          std::make_unique<LightClient>(loop, address, std::move(setup), std::move(on_call)));
      clients_.back()->preserve_by_itself(false);
    };
    add({.name = "gate"}, [this](auto& gate, Call call) { on_gate(gate, call); });
    for (std::size_t i = 0; i < count; ++i) {
      add({.name = "c" + std::to_string(i), .needs = {"gate"}, .tokens = tokens},
          [this](auto& client, Call call) {
            if (call == Call::freeze && !first_freeze_) first_freeze_ = now();
            client.answer();
          });
    }
  }

  Phases measure() {
    Phases phases;
    for (const auto& client : clients_) client->start();
    wait_for(loop_, "registering", [&] { return all(&LightClient::registered); });
    for (const auto& client : clients_) client->preserve();
    wait_for(loop_, "preserving", [&] { return all(&LightClient::preserved); });
    const auto before = persists();
    phases.enroll = enroll_again();
    phases.persist_usec = (persists() - before).usec_each();

    request("Prepare");
    wait_for(loop_, "preparing", [&] { return state() != "preparing"; });
    const auto begin = now();
    request("Update");
    wait_for(loop_, "freezing", [&] { return gate_froze_.has_value(); });
    phases.freeze.cpu = gate_froze_->cpu - begin.cpu;  // many were called before one has seen it
    phases.freeze.wall = gate_froze_->wall - first_freeze_->wall;
    wait_for(loop_, "the first Restore", [&] {
      if (thawed_) throw std::runtime_error("the update failed");
      return gate_restores_.has_value();
    });
    phases.first_restore = gate_restores_->wall - gate_froze_->wall;
    wait_for(loop_, "coming back", [&] { return all(&LightClient::registered); });
    const auto back = now();
    phases.back = back - *gate_froze_;
    clients_.front()->answer();
    wait_for(loop_, "restoring", [&] { return all(&LightClient::restored); });
    admin_ = std::make_unique<Connection>(loop_, address_);  // a direct one went with the daemon
    wait_for(loop_, "the end", [&] { return state() == "normal"; });
    phases.restore = now() - back;
    for (const auto& client : clients_) {
      for (const auto& complaint : client->complaints()) throw std::runtime_error(complaint);
    }
    return phases;
  }

 private:
  [[nodiscard]] Cost now() const { return {cpu_time(daemon_), Clock::now().time_since_epoch()}; }
  template <typename Test>
  [[nodiscard]] bool all(Test test) const {
    return std::all_of(clients_.begin(), clients_.end(),
                       [&](const auto& client) { return std::invoke(test, *client) != 0; });
  }

  void on_gate(LightClient& gate, Call call) {
    if (call == Call::restore) {
      gate_restores_ = now();
      return;  // until all others are here
    }
    if (call == Call::thaw) thawed_ = true;
    if (call == Call::freeze) {
      gate_froze_ = now();
      if (!first_freeze_) first_freeze_ = gate_froze_;
    }
    gate.answer();
  }

  Cost enroll_again() {
    constexpr int times = 100;
    auto& client = *clients_.back();
    const auto begin = now();
    for (int i = 0; i < times; ++i) {
      client.enroll();
      wait_for(loop_, "registering again", [&] { return client.registered(); });
    }
    return (now() - begin) / times;
  }

  /// None by the bare daemon.
  Persists persists() {
    Persists found;
    const auto answer =
        admin_->get_property(manager_path, manager_interface, "Statistics", "a{sv}");
    if (!answer.ok()) return found;
    auto* const reply = answer.reply.get();
    read_properties(reply, [&](const std::string& key, const char* type) {
      if (key != "manifest-writes" && key != "manifest-write-usec") {
        must(sd_bus_message_skip(reply, type), "a figure");
        return;
      }
      auto& figure = key == "manifest-writes" ? found.count : found.usec;
      must(sd_bus_message_read(reply, "t", &figure), "a figure");
    });
    return found;
  }

  void request(const char* member) {
    const auto answer = admin_->call(manager_path, manager_interface, member, with("a{sv}", 0));
    if (!answer.ok()) throw std::runtime_error(std::string(member) + ": " + answer.message);
  }
  [[nodiscard]] std::string state() {
    return admin_->get_property(manager_path, manager_interface, "State", "s").text();
  }

  EventLoop& loop_;
  pid_t daemon_;
  Address address_;
  std::unique_ptr<Connection> admin_;
  std::vector<std::unique_ptr<LightClient>> clients_;
  std::optional<Cost> first_freeze_, gate_froze_, gate_restores_;
  bool thawed_ = false;
};

/// PID 1's end of the notify socket, for what costs the daemon a message: nothing is kept.
class Notified {
 public:
  explicit Notified(const std::string& path) : socket_(path), thread_([this] { drain(); }) {}
  ~Notified() {
    over_ = true;
    thread_.join();
  }
  Notified(const Notified&) = delete;
  Notified& operator=(const Notified&) = delete;

 private:
  void drain() {
    constexpr int soon_msec = 50;
    while (!over_) {
      pollfd readable{socket_.fd(), POLLIN, 0};
      poll(&readable, 1, soon_msec);
      while (socket_.receive()) {
      }
    }
  }

  NotifySocket socket_;
  std::atomic<bool> over_{false};
  std::thread thread_;  ///< last: it uses the others
};

nlohmann::json configuration() {
  auto config = roomy_configuration();
  config["backend"] = "emulated";
  // Nobody fails here, however slow the daemon is.
  for (const auto* limit :
       {"prepare_timeout", "freeze_timeout", "restore_timeout", "claim_timeout"}) {
    config[limit] = "10min";
  }
  return config;
}

enum class Way { direct, bus };

/// handoverd, or the round trips alone, with a crowd of clients.
Phases run(Way way, std::size_t count, bool bare) {
  EventLoop loop;
  const TemporaryDirectory directory;
  PrivateBus bus(loop, directory);
  const Notified notified(directory.path("notify"));
  ChildProcess::Setup setup;
  const auto socket = directory.path("run/private");
  if (bare) {
    setup.argv = {"/proc/self/exe", "--bare", directory.write("run/private", ""),
                  way == Way::bus ? bus.address() : ""};
    std::remove(socket.c_str());
  } else {
    setup.argv = {HANDOVERD_PROGRAM,
                  "--config",
                  directory.write("handoverd.json", configuration().dump()),
                  "--runtime-directory",
                  directory.path("run"),
                  "--state-directory",
                  directory.path("state")};
    setup.environment = {"DBUS_SYSTEM_BUS_ADDRESS=" + bus.address(),
                         "NOTIFY_SOCKET=" + directory.path("notify"), "FDSTORE=100000"};
  }
  setup.log = directory.path("daemon.log");
  std::optional<int> ended;
  const ChildProcess daemon(loop, setup, [&](int status) { ended = status; });
  Address address{"unix:path=" + socket, true};
  if (way == Way::bus) address = Address{bus.address()};
  wait_for(loop, "starting", [&] {
    if (ended) throw std::runtime_error("it does not start: " + text_of(setup.log));
    try {
      Connection connection(loop, address);
      return connection.get_property(manager_path, manager_interface, "State", "s").ok();
    } catch (const std::system_error&) {
      return false;  // its socket is not there yet
    }
  });
  try {
    return Crowd(loop, address, count, daemon.pid()).measure();
  } catch (const std::exception&) {
    std::cerr << text_of(setup.log);
    throw;
  }
}

double msec(nanoseconds time) { return std::chrono::duration<double, std::milli>(time).count(); }

void print(const char* what, const Cost& daemon, const Cost& bare) {
  std::printf("  %-9s cpu %10.2f %9.2f %7.1f   wall %10.2f %9.2f %7.1f\n", what, msec(daemon.cpu),
              msec(bare.cpu), msec(daemon.cpu) / msec(bare.cpu), msec(daemon.wall), msec(bare.wall),
              msec(daemon.wall) / msec(bare.wall));
}

void print(std::size_t count, const Phases& daemon, const Phases& bare) {
  std::printf(
      "%zu clients, ms:    handoverd      bare   ratio          handoverd      bare   ratio\n",
      count);
  print("freeze", daemon.freeze, bare.freeze);
  print("back", daemon.back, bare.back);
  print("restore", daemon.restore, bare.restore);
  print("enroll", daemon.enroll, bare.enroll);
  std::printf("  first Restore after %.2f ms; a persist takes %.1f us\n",
              msec(daemon.first_restore), daemon.persist_usec);
  std::fflush(stdout);
}

void compare(std::size_t many, const Phases& large, std::size_t few, const Phases& small) {
  const auto times = [](const Cost& a, const Cost& b) {
    std::printf("   cpu %6.1f wall %6.1f", msec(a.cpu) / msec(b.cpu), msec(a.wall) / msec(b.wall));
  };
  std::printf("%zu against %zu, times: freeze", many, few);
  times(large.freeze, small.freeze);
  std::printf("   restore");
  times(large.restore, small.restore);
  std::printf("   all");
  times(large.freeze + large.back + large.restore, small.freeze + small.back + small.restore);
  std::printf("\n");
}

void run_all(Way way, const std::vector<std::size_t>& counts) {
  std::printf("\n== %s, %u tokens a client\n",
              way == Way::direct ? "direct connections" : "on the bus", tokens);
  std::map<std::size_t, Phases> measured;
  for (const auto count : counts) {
    measured[count] = run(way, count, false);
    print(count, measured[count], run(way, count, true));
  }
  constexpr std::size_t few = 100;
  if (!measured.contains(few)) return;
  for (const auto& [count, phases] : measured) {
    if (count > few) compare(count, phases, few, measured[few]);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    if (arguments.size() == 3 && arguments[0] == "--bare") {
      return bench::run_bare_daemon(arguments[1], arguments[2]);
    }
    raise_descriptor_limit();
    std::vector<std::size_t> counts;
    for (const auto& argument : arguments) counts.push_back(std::stoul(argument));
    if (counts.empty()) counts = {50, 100, 200, 400, 1000};
    for (const auto way : {Way::direct, Way::bus}) run_all(way, counts);
  } catch (const std::exception& error) {
    std::cerr << "update-bench: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
