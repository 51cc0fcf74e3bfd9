// SPDX-License-Identifier: LGPL-2.1-or-later
// handoverd: puts the parts together. The only file that knows all of them.
#include <sys/file.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/composite.h"
#include "bus/server.h"
#include "core/config.h"
#include "engine/engine.h"
#include "system/boot.h"
#include "system/files.h"
#include "system/log.h"
#include "system/loop.h"
#include "system/notify.h"
#include "version.h"

namespace {

using namespace handover;

struct Arguments {
  std::string config = "/etc/handover/handoverd.json";
  std::string backend;
  std::string runtime_directory = "/run/handover";
  std::string state_directory = "/var/lib/handover";
  bool debug = false;
};

Result<Config> read_config(const Arguments& arguments, bool asked_for) {
  const auto text = system::read_file(arguments.config);
  if (!text && text.error().sys_errno == ENOENT && !asked_for) return Config{};
  if (!text) return fail(text.error());
  auto config = parse_config(*text);
  if (!config) {
    return fail(config.error().code, arguments.config + ": " + config.error().message);
  }
  return config;
}

struct Chosen {
  engine::Sessions::Backends backends;
  std::string main;  ///< what new sessions use
};

Chosen alone(std::unique_ptr<backend::Backend> backend) {
  Chosen chosen;
  chosen.main = std::string(backend->name());
  chosen.backends.emplace(chosen.main, std::move(backend));
  return chosen;
}

/// Both halves of the kernel, with either as the main one: a session keeps the one it was made
/// with.
Chosen both(std::unique_ptr<backend::Backend> luo, std::unique_ptr<backend::Backend> tracker,
            const std::string& wanted) {
  const backend::Halves halves{std::move(luo), std::move(tracker), wanted != "luo"};
  Chosen chosen;
  for (const auto main : {backend::Keeper::luo, backend::Keeper::tracker}) {
    auto backend = backend::make_composite(halves, main);
    std::string name(backend->name());
    chosen.backends.emplace(std::move(name), std::move(backend));
  }
  chosen.main = wanted == "tracker" ? "tracker" : "luo";
  if (!chosen.backends.at(chosen.main)->available()) {
    log::warning("The configured backend '", chosen.main, "' is not here: run modprobe handover.");
  }
  return chosen;
}

Result<Chosen> make_backends(const std::string& wanted) {
  const auto emulated = []() -> Result<Chosen> {
    auto made = backend::make_emulated();
    if (!made) return fail(made.error());
    return alone(std::move(*made));
  };
  if (wanted == "emulated") return emulated();
  if (wanted != "auto" && wanted != "luo" && wanted != "tracker") {
    return fail(ErrorCode::no_such_backend, "There is no backend '" + wanted +
                                                "'; it is 'auto', 'luo', 'tracker' or 'emulated'.");
  }
  auto luo = backend::make_luo(backend::Paths{});
  auto tracker = backend::make_tracker(backend::Paths{});
  if (luo) return both(std::move(*luo), std::move(tracker), wanted);
  if (wanted == "luo") return fail(luo.error());
  if (tracker->available()) return alone(std::move(tracker));
  if (wanted == "tracker") {
    return fail(ErrorCode::no_such_backend,
                "The backend 'tracker' needs /dev/handover; run: modprobe handover.");
  }
  log::warning(luo.error().message,
               " There is no companion module either. Using the emulated backend: nothing survives "
               "a real kexec.");
  return emulated();
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

Result<int> run(const Arguments& arguments, bool config_asked_for, engine::Setup setup,
                std::vector<system::NamedFd> fds) {
  auto config = read_config(arguments, config_asked_for);
  if (!config) return fail(config.error());
  setup.config = std::move(*config);
  if (!arguments.backend.empty()) setup.config.backend = arguments.backend;

  const auto locked = lock(arguments.runtime_directory);
  if (!locked) return fail(locked.error());
  if (mkdir(arguments.state_directory.c_str(), 0755) != 0 && errno != EEXIST) {
    log::warning(arguments.state_directory, " cannot be made yet: the history waits.");
  }

  auto chosen = make_backends(setup.config.backend);
  if (!chosen) return fail(chosen.error());
  const std::string name = chosen->main;

  system::Loop loop;
  loop.exit_on_signals();
  if (auto fed = loop.feed_watchdog(); !fed) return fail(fed.error());
  const auto tell_ready = [&name] {
    system::notify_ready("Backend " + name +
                         (name == "emulated" ? ": nothing survives a real kexec." : "."));
  };
  const auto limits = setup.config;
  // Units ordered after us wait until the clients are restored, or the gate is over: in the new
  // kernel's first seconds the workloads have the machine to themselves.
  auto gate = loop.after(setup.config.boot_gate_usec, tell_ready);
  setup.settled = [&gate, tell_ready] {
    gate.cancel();
    tell_ready();
  };
  bus::Server server(loop);
  engine::Engine engine(loop, server, engine::Sessions(std::move(chosen->backends), name, limits),
                        std::move(setup));
  server.serve(engine);
  if (auto listening = server.listen(arguments.runtime_directory + "/private"); !listening) {
    return fail(listening.error());
  }
  if (auto connected = server.connect(); !connected) return fail(connected.error());
  engine.start(std::move(fds));
  server.look_for_lost_clients();
  return loop.run();
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
  setup.runtime_directory = arguments.runtime_directory;
  setup.state_directory = arguments.state_directory;
  setup.argv.assign(argv, argv + argc);
  setup.emulated_kexec = std::getenv("HANDOVER_EMULATED_KEXEC") != nullptr;
  setup.started_at = started_at;
  unsetenv("HANDOVER_EMULATED_KEXEC");

  const auto code = run(arguments, config->count() > 0, std::move(setup), std::move(fds));
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
