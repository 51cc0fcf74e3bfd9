// SPDX-License-Identifier: LGPL-2.1-or-later
#include "host.h"

#include <fcntl.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace handover::test {

namespace {

std::string written(const TemporaryDirectory& directory, const nlohmann::json& config) {
  nlohmann::json all = {{"backend", "emulated"},    {"prepare_timeout", "30s"},
                        {"freeze_timeout", "30s"},  {"thaw_timeout", "30s"},
                        {"restore_timeout", "30s"}, {"claim_timeout", "1min"}};
  if (!config.is_null()) all.update(config);
  directory.write("handoverd.json", all.dump());
  return directory.path("handoverd.json");
}

std::vector<std::string> command(const TemporaryDirectory& directory,
                                 const nlohmann::json& config) {
  return {HANDOVERD_PROGRAM,          "--config",
          written(directory, config), "--runtime-directory",
          directory.path("run"),      "--state-directory",
          directory.path("state"),    "--debug",
          "--hooks-directory",        directory.path("hooks")};
}

}  // namespace

std::string session_path(const std::string& name) {
  char* path = nullptr;
  must(sd_bus_path_encode("/org/handover1/session", name.c_str(), &path), "a session's path");
  std::string result = path;
  std::free(path);  // NOLINT(cppcoreguidelines-no-malloc): sd-bus allocates with malloc()
  return result;
}

UniqueFd descriptor_of(const Answer& answer) {
  int fd = -1;
  if (!answer.ok()) return {};
  must(sd_bus_message_read(answer.reply.get(), "h", &fd), "a descriptor");
  return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 3));  // the message owns the other
}

Host::Host(const nlohmann::json& config, const char* only, const PrivateBus::Limits& bus_limits)
    : bus_(loop_, directory_, bus_limits),
      manager_(loop_, directory_, command(directory_, config),
               {"DBUS_SYSTEM_BUS_ADDRESS=" + bus_.address()}),
      admin_(std::make_unique<Connection>(loop_, bus_address())),
      only_(only),
      observer_(watch()) {}

Host::~Host() { shut_down(); }

std::unique_ptr<Observer> Host::watch() {
  using Subscription = Observer::Subscription;
  if (only_ == nullptr) return std::make_unique<Observer>(loop_, bus_address());
  return std::make_unique<Observer>(loop_, bus_address(), Subscription::no, only_);
}

SyscallGate& Host::gate() {
  if (!gate_) gate_ = std::make_unique<SyscallGate>(loop_, manager_);
  return *gate_;
}

void Host::boot() {
  manager_.start();
  if (run_until([&] { return serves() || !manager_.crashes().empty(); }) && serves()) return;
  manager_.set_restarts(false);
  throw std::runtime_error("the daemon does not start: " + manager_.log());
}

bool Host::serves() {
  const auto answer = admin().call("/org/freedesktop/DBus", "org.freedesktop.DBus",
                                   "GetConnectionUnixProcessID", with("s", bus_name));
  std::uint32_t pid = 0;
  if (answer.ok()) must(sd_bus_message_read(answer.reply.get(), "u", &pid), "a process id");
  return manager_.running() && pid == static_cast<std::uint32_t>(manager_.pid());
}

void Host::restart_bus() {
  admin_.reset();
  observer_.reset();
  bus_.restart();
  admin_ = std::make_unique<Connection>(loop_, bus_address());
  observer_ = watch();
}

bool Host::kill_daemon() {
  const auto deaths = manager_.deaths();
  manager_.kill_daemon();
  return run_until([&] { return manager_.deaths() > deaths && serves(); });
}

void Host::shut_down() {
  if (std::exchange(down_, true)) return;
  if (gate_) gate_->decide({});
  clients_.clear();
  const auto status = manager_.stop();
  EXPECT_TRUE(status.has_value()) << "the daemon does not end on SIGTERM";
  if (status) {
    EXPECT_TRUE((WIFEXITED(*status) && WEXITSTATUS(*status) == 0) ||
                (WIFSIGNALED(*status) && WTERMSIG(*status) == SIGKILL))
        << "the daemon ended with status " << *status;
  }
  EXPECT_TRUE(manager_.crashes().empty()) << "the daemon crashed";
  const auto log = manager_.log();
  for (const auto* sign :
       {"AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:"}) {
    EXPECT_EQ(log.find(sign), std::string::npos) << sign;
  }
  if (testing::Test::HasFailure()) std::fprintf(stderr, "---- the daemon's log\n%s\n", log.c_str());
}

bool Host::log_says(const std::string& text) {
  return run_until([&] { return manager_.log().find(text) != std::string::npos; });
}

Address Host::bus_address_of(int uid) const {
  auto address = bus_address();
  address.uid = uid;
  return address;
}

Address Host::private_address() const {
  Address address{"unix:path=" + directory_.path("run/private")};
  address.direct = true;
  return address;
}

ScriptedClient& Host::add(ScriptedClient::Setup setup, const std::optional<Address>& address) {
  clients_.push_back(std::make_unique<ScriptedClient>(
      loop_, journal_, address.value_or(bus_address()), std::move(setup)));
  return *clients_.back();
}

bool Host::start_clients() {
  for (auto& client : clients_) client->start();
  return std::all_of(clients_.begin(), clients_.end(),
                     [](const auto& client) { return client->started(); });
}

std::string Host::state() {
  const auto answer = admin().get_property(manager_path, manager_interface, "State", "s");
  return answer.text();
}

std::uint64_t Host::generation() {
  const auto answer = admin().get_property(manager_path, manager_interface, "Generation", "t");
  std::uint64_t generation = 0;
  EXPECT_TRUE(answer.ok()) << answer.message;
  if (answer.ok()) must(sd_bus_message_read(answer.reply.get(), "t", &generation), "Generation");
  return generation;
}

std::map<std::string, std::uint64_t> Host::statistics() {
  const auto answer = admin().get_property(manager_path, manager_interface, "Statistics", "a{sv}");
  EXPECT_TRUE(answer.ok()) << answer.message;
  std::map<std::string, std::uint64_t> found;
  if (!answer.ok()) return found;
  auto* reply = answer.reply.get();
  read_properties(reply, [&](const char* key, const char* type) {
    if (*type != 't') return must(sd_bus_message_skip(reply, type), key), void();
    must(sd_bus_message_read(reply, type, &found[key]), key);
  });
  return found;
}

std::uint64_t Host::statistic(const std::string& name) {
  const auto all = statistics();
  const auto found = all.find(name);
  return found == all.end() ? 0 : found->second;
}

std::vector<ListedClient> Host::list_clients() {
  const auto answer = admin().ask(manager_path, manager_interface, "ListClients");
  EXPECT_TRUE(answer.ok()) << answer.message;
  std::vector<ListedClient> clients;
  if (!answer.ok()) return clients;
  auto* reply = answer.reply.get();
  must(sd_bus_message_enter_container(reply, 'a', "(sosuasbs)"), "clients");
  while (must(sd_bus_message_enter_container(reply, 'r', "sosuasbs"), "a client") > 0) {
    ListedClient client;
    const char* name = nullptr;
    const char* path = nullptr;
    const char* bus = nullptr;
    must(sd_bus_message_read(reply, "sosu", &name, &path, &bus, &client.uid), "a client");
    client.name = name;
    client.path = path;
    client.bus_name = bus;
    must(sd_bus_message_enter_container(reply, 'a', "s"), "needs");
    for (const char* need = nullptr; sd_bus_message_read(reply, "s", &need) > 0;) {
      client.needs.emplace_back(need);
    }
    must(sd_bus_message_exit_container(reply), "needs");
    int required = 0;
    const char* phase = nullptr;
    must(sd_bus_message_read(reply, "bs", &required, &phase), "a client");
    client.required = required != 0;
    client.phase = phase;
    must(sd_bus_message_exit_container(reply), "a client");
    clients.push_back(std::move(client));
  }
  return clients;
}

std::optional<std::string> Host::phase_of(const std::string& client) {
  for (const auto& listed : list_clients()) {
    if (listed.name == client) return listed.phase;
  }
  return std::nullopt;
}

std::vector<ListedSession> Host::list_sessions() {
  const auto answer = admin().ask(manager_path, manager_interface, "ListSessions");
  EXPECT_TRUE(answer.ok()) << answer.message;
  std::vector<ListedSession> sessions;
  if (!answer.ok()) return sessions;
  auto* reply = answer.reply.get();
  must(sd_bus_message_enter_container(reply, 'a', "(sosusbut)"), "sessions");
  const char* name = nullptr;
  const char* path = nullptr;
  const char* backend = nullptr;
  const char* client = nullptr;
  int incoming = 0;
  for (ListedSession session;
       must(sd_bus_message_read(reply, "(sosusbut)", &name, &path, &backend, &session.uid, &client,
                                &incoming, &session.descriptors, &session.bytes),
            "a session") > 0;
       session = {}) {
    session.name = name;
    session.path = path;
    session.backend = backend;
    session.client = client;
    session.incoming = incoming != 0;
    sessions.push_back(session);
  }
  return sessions;
}

nlohmann::json Host::history() {
  const auto answer =
      admin().call(manager_path, manager_interface, "GetHistory", with("u", UINT32_C(1000)));
  EXPECT_TRUE(answer.ok()) << answer.message;
  return nlohmann::json::parse(answer.text());
}

std::optional<std::string> Host::update_held_by(ScriptedClient& client, Call call) {
  client.on(call, ScriptedClient::Behaviour::hold);
  const auto job = update();
  if (!job.ok() || !run_until([&] { return client.holds(); })) return std::nullopt;
  return job.text();
}

Answer Host::request(const char* member,
                     const std::vector<std::pair<std::string, std::string>>& options) {
  return admin().call(manager_path, manager_interface, member, [&](sd_bus_message* message) {
    must(sd_bus_message_open_container(message, 'a', "{sv}"), "options");
    for (const auto& [name, value] : options) {
      must(sd_bus_message_append(message, "{sv}", name.c_str(), "s", value.c_str()), "an option");
    }
    return sd_bus_message_close_container(message);
  });
}

Answer Host::create_session(const std::string& name) {
  return admin().call(manager_path, manager_interface, "CreateSession",
                      with("sa{sv}", name.c_str(), 0));
}

Answer Host::preserve(const std::string& session, std::uint64_t token, int fd) {
  return admin().call(session_path(session), session_interface, "Preserve",
                      with("tha{sv}", token, fd, 0));
}

Answer Host::retrieve(const std::string& session, std::uint64_t token) {
  return admin().call(session_path(session), session_interface, "Retrieve", with("t", token));
}

Answer Host::end_session(const std::string& session, const char* member) {
  return admin().call(session_path(session), session_interface, member);
}

Finished Host::finished() {
  const auto signal = observer().next("UpdateFinished");
  if (!signal) {
    ADD_FAILURE() << "the update does not end; state " << state();
    return {};
  }
  return {signal->arguments.at(0), signal->arguments.at(1), signal->arguments.at(2)};
}

Finished Host::update_ends(const char* outcome, const std::source_location& where) {
  const testing::ScopedTrace trace(where.file_name(), static_cast<int>(where.line()), "");
  const auto updated = update();
  EXPECT_TRUE(updated.ok()) << updated.error << ": " << updated.message;
  if (!updated.ok()) return {};
  auto ended = finished();
  EXPECT_EQ(ended.outcome, outcome) << ended.reason;
  return ended;
}

bool Host::reaches(const std::string& state) { return observer().wait_for("State", state); }

void Host::expect_calm() {
  EXPECT_EQ(state(), "normal");
  for (const auto& client : clients_) {
    EXPECT_FALSE(client->frozen()) << client->name();
    EXPECT_FALSE(client->prepared()) << client->name();
    for (const auto& complaint : client->complaints()) ADD_FAILURE() << complaint;
  }
  EXPECT_TRUE(manager_.crashes().empty());
}

}  // namespace handover::test
