// SPDX-License-Identifier: LGPL-2.1-or-later
// handoverd: puts the parts together. The only file that knows all of them.
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/keepers.h"
#include "bus/server.h"
#include "core/config.h"
#include "engine/engine.h"
#include "engine/this_host.h"
#include "system/boot.h"
#include "system/child.h"
#include "system/disk.h"
#include "system/log.h"
#include "system/loop.h"
#include "system/notify.h"
#include "system/pool.h"
#include "version.h"

namespace {

using namespace handover;

struct Arguments {
  std::string config = "/etc/handover/handoverd.json";
  std::string backend;
  std::string runtime_directory = "/run/handover";
  std::string state_directory = "/var/lib/handover";
  std::vector<std::string> hooks = {"/etc/handover/hooks.d", "/usr/lib/handover/hooks.d"};
  bool debug = false;
};

struct ConfigFile {
  Config config;
  std::string text;
  std::optional<Error> problem;  ///< it cannot be used, or is not where it was asked for
  bool missing = false;          ///< there is none, and none was asked for
};

/// Half of what may be open here; 0: any number.
std::uint64_t most_descriptors_of_one() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return std::max<std::uint64_t>(limit.rlim_cur / 2, 1);
}

ConfigFile read_config(const Arguments& arguments, bool asked_for) {
  ConfigFile file;
  const auto text = system::read_from_disk(arguments.config);
  if (!text) {
    file.missing = text.error().sys_errno == ENOENT && !asked_for;
    if (!file.missing) file.problem = text.error();
    return file;
  }
  auto config = parse_config(*text);
  if (!config) {
    file.problem = config.error();
    file.problem->message = arguments.config + ": " + config.error().message;
    return file;
  }
  file.config = std::move(*config);
  file.text = *text;
  return file;
}

/// One daemon for one runtime directory. The lock goes with the process, also over execve().
Result<UniqueFd> lock(const std::string& directory) {
  if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return fail_errno("mkdir " + directory);
  }
  UniqueFd fd(open((directory + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return fail_errno("open " + directory + "/lock");
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(ErrorCode::busy, "Another handoverd runs on " + directory + "; stop it first.");
  }
  return fd;
}

/// Clients may be frozen: at the start nobody waits longer for the history's disk.
constexpr std::uint64_t start_patience_usec = 1'000'000;

/// How often a configuration that could not be used is looked at again.
constexpr std::uint64_t config_retry_usec = 10'000'000;

/// How often, and by how much, PID 1 is asked for more time than TimeoutStopSec=.
constexpr std::uint64_t extend_pause_usec = 2'000'000;
constexpr std::uint64_t extend_usec = 30'000'000;

/// SIGTERM: undoes what is under way, then ends. A second one ends at once.
class EndOnSignals {
 public:
  EndOnSignals(system::Loop& loop, engine::Engine& engine) : loop_(loop), engine_(engine) {
    loop.on_terminate([this](unsigned nth) { asked(nth); });
  }

 private:
  void asked(unsigned nth) {
    if (nth > 1) return loop_.exit(0);
    const auto ending = engine_.terminate([this] { loop_.exit(0); });
    if (ending) {
      system::notify_stopping("Undoing what is under way.");
    } else {
      log::warning("The daemon is not stopped: ", ending.error().message);
    }
    extend();
  }
  /// PID 1 must not kill what has clients to thaw, however many of them are slow. For anything else
  /// TimeoutStopSec= is enough.
  void extend() {
    const auto state = engine_.state();
    const bool undoing = state == State::cancelling || is_blackout(state);
    if (undoing && state != State::restoring) system::notify_extend_timeout(extend_usec);
    timer_ = loop_.after(extend_pause_usec, [this] { extend(); });
  }

  system::Loop& loop_;
  engine::Engine& engine_;
  system::Timer timer_;
};

/// While the file is bad, the engine uses a configuration that a manifest carried.
class ConfigWatch {
 public:
  ConfigWatch(system::Loop& loop, engine::Engine& engine, const Arguments& arguments)
      : loop_(loop), engine_(engine), arguments_(arguments) {}
  /// The engine has begun to do so.
  void look_later() {
    if (!engine_.config_is_borrowed()) return;
    timer_ = loop_.after(config_retry_usec, [this] { look(); });
  }

 private:
  /// The loop does not wait for the disk.
  void look() {
    if (!worker_) worker_.emplace(loop_);
    worker_->run([this]() -> std::function<void()> {
      auto file = std::make_shared<ConfigFile>(read_config(arguments_, /*asked_for=*/true));
      return [this, file] {
        if (!file->problem) engine_.use_config(std::move(file->config), std::move(file->text));
        look_later();
      };
    });
  }

  system::Loop& loop_;
  engine::Engine& engine_;
  const Arguments& arguments_;
  system::Timer timer_;
  std::optional<system::Worker> worker_;
};

/// Without it the members' clients wait for the bus.
void listen_for_group(bus::Server& server, const std::string& path, const std::string& name) {
  unlink(path.c_str());  // of a daemon that was configured otherwise
  if (name.empty()) return;
  const auto group = bus::group_of(name);
  const auto listening = group ? server.listen_for_group(path, *group) : fail(group.error());
  if (!listening) log::warning(path, " is not there: ", listening.error().message);
}

Result<int> run(const Arguments& arguments, bool config_asked_for, engine::Setup setup,
                engine::ThisHost::Places places, std::vector<system::NamedFd> fds) {
  auto file = read_config(arguments, config_asked_for);
  setup.config = std::move(file.config);
  setup.most_descriptors = most_descriptors_of_one();
  setup.config_text = std::move(file.text);
  setup.config_problem = std::move(file.problem);
  setup.config_missing = file.missing ? arguments.config : "";
  if (!arguments.backend.empty()) setup.config.backend = from_string<Keeper>(arguments.backend);

  const auto locked = lock(arguments.runtime_directory);
  if (!locked) return fail(locked.error());
  const auto made = system::make_directory_on_disk(arguments.state_directory, start_patience_usec);
  if (!made) log::warning("The history waits: ", made.error().message, ".");

  // What the kernel allocates for a client is charged to the client.
  const auto run_in = [](const std::string& cgroup, const std::function<int()>& call,
                         const backend::Patience& patience) {
    return system::run_in_cgroup(cgroup, call, {patience.limit_usec, patience.ends_here, {}});
  };
  const auto room_in = [](const std::string& cgroup) { return system::cgroup_room(cgroup); };
  auto keepers = backend::make_keepers(backend::Paths{}, setup.config.backend, run_in, room_in);
  if (!keepers) return fail(keepers.error());
  for (const auto& warning : keepers->warnings) log::warning(warning);

  system::Loop loop;
  if (auto fed = loop.feed_watchdog(); !fed) return fail(fed.error());
  bus::Server server(loop);
  // Clients that are quick find the socket; they are answered when it is known what there is.
  if (auto listening = server.listen(arguments.runtime_directory + "/private"); !listening) {
    return fail(listening.error());
  }
  listen_for_group(server, arguments.runtime_directory + "/group", setup.config.socket_group);
  engine::ThisHost host(loop, std::move(places));
  // Units ordered after us wait until the clients are restored, or the gate is over: in the new
  // kernel's first seconds the workloads have the machine to themselves.
  auto gate = loop.after(setup.config.boot_gate_usec, [] { system::notify_ready("Restoring."); });
  setup.settled = [&gate] {
    gate.cancel();
    system::notify_ready("");  // the engine has told the state
  };
  std::optional<Error> failed;
  setup.ready = [&server, &failed] {
    if (auto opened = server.open_doors(); !opened) failed = opened.error();
    server.look_for_lost_clients();
  };
  setup.failed = [&loop, &failed](Error error) {
    failed = std::move(error);
    loop.exit(1);
  };
  std::optional<ConfigWatch> watch;
  setup.config_borrowed = [&watch] { watch->look_later(); };
  engine::Engine engine(host, server, *keepers, std::move(setup));
  watch.emplace(loop, engine, arguments);
  server.serve(engine);
  server.connect();
  const EndOnSignals end_on_signals(loop, engine);
  std::vector<engine::NamedDescriptor> came_back;
  came_back.reserve(fds.size());
  for (auto& fd : fds) came_back.push_back({std::move(fd.name), std::move(fd.fd)});
  engine.start(std::move(came_back));
  const int code = failed ? 1 : loop.run();
  if (failed) return fail(*failed);
  return code;
}

int start(int argc, char** argv) {
  const auto started_at = handover::system::counter_now();
  handover::system::counter_start();
  auto fds = handover::system::take_listen_fds();

  Arguments arguments;
  CLI::App app{"Carries running workloads through a kernel update.", "handoverd"};
  app.set_version_flag("--version", HANDOVER_VERSION);
  const auto* config = app.add_option("--config", arguments.config, "Configuration file");
  app.add_option("--backend", arguments.backend,
                 "auto, luo, tracker or emulated (over the configuration)")
      ->check(CLI::IsMember({"auto", "luo", "tracker", "emulated"}));
  app.add_option("--runtime-directory", arguments.runtime_directory, "Private socket and manifest");
  app.add_option("--state-directory", arguments.state_directory, "History of updates");
  app.add_option("--hooks-directory", arguments.hooks,
                 "Where hooks are; given again: of a name, the first one's is run")
      ->allow_extra_args(false);
  app.add_flag("--debug", arguments.debug, "Log more");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    std::fprintf(stderr, "handoverd: %s. Try 'handoverd --help'.\n", error.what());
    return 2;
  }
  log::set_up(arguments.debug);

  engine::Setup setup;
  engine::ThisHost::Places places;
  places.runtime_directory = arguments.runtime_directory;
  places.state_directory = arguments.state_directory;
  places.argv.assign(argv, argv + argc);
  places.hooks = arguments.hooks;
  setup.emulated_kexec = std::getenv("HANDOVER_EMULATED_KEXEC") != nullptr;
  setup.started_at = started_at;
  unsetenv("HANDOVER_EMULATED_KEXEC");

  const auto code =
      run(arguments, config->count() > 0, std::move(setup), std::move(places), std::move(fds));
  if (!code) {
    log::critical(code.error().message);
    return 1;
  }
  return *code < 0 ? 1 : *code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return start(argc, argv);
  } catch (const std::exception& error) {  // no memory, no epoll: nobody can handle that
    std::fprintf(stderr, "handoverd: %s\n", error.what());
    return 1;
  }
}
