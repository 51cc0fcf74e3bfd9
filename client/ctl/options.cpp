// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "words.h"

namespace handover::ctl {
namespace {

constexpr const char* footer =
    R"(Exit status: 0 ok, 1 failed, 2 usage, 3 not found, 4 access denied, 5 busy,
6 update failed or vetoed, 7 cancelled, 8 daemon not reachable,
9 left alone while it runs. See handoverctl(1).)";

client::Error usage(std::string message) {
  return {HANDOVER_ERROR_PREFIX "InvalidArgument", std::move(message), EINVAL};
}

/// The words up to `command`, "handoverctl session" say.
std::string words_of(const CLI::App* command) {
  const auto* parent = command->get_parent();
  return (parent ? words_of(parent) + " " : "") + command->get_name();
}

/// The daemon's working directory is another one.
std::string absolute(const std::string& path) {
  std::error_code error;
  auto whole = std::filesystem::absolute(path, error);
  return error ? path : whole.lexically_normal().string();
}

/// A word without a slash is a release, the id of an entry, "newest" or "default", which the daemon
/// knows: never a file that somebody has put here ("./vmlinuz" is one).
std::string kernel_named(const std::string& kernel) {
  return kernel.find('/') == std::string::npos ? kernel : absolute(kernel);
}

/// What a command was given for `option`, which may be an empty text.
std::optional<std::string> given(const CLI::App* command, const char* option,
                                 const std::string& value) {
  if (command->get_option(option)->count() == 0) return std::nullopt;
  return value;
}

/// In a script an empty argument is most often a variable that is not set: it must not stand for
/// what happens without the argument. Not here: those that mean something when they are empty, and
/// names, which the daemon refuses.
client::Result<void> refuse_empty(const CLI::App* command) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 10> without = {{
      {"KERNEL", "the configured or the newest kernel"},
      {"--cmdline", "the configured or the running kernel's"},
      {"--at-most", "no limit but freeze_budget"},
      {"--allow", "nothing that is allowed"},
      {"--backend", "the backend that keeps it best"},
      {"--client", "a session of no client"},
      {"--output", "standard output"},
      {"--file", "another source"},
      {"--fleet-state", "/run/handover-fleet/status.json"},
      {"NAME", "all sessions"},
  }};
  auto options = command->get_options();
  for (const auto* group : command->get_subcommands([](const CLI::App*) { return true; })) {
    const auto grouped = group->get_options();
    options.insert(options.end(), grouped.begin(), grouped.end());
  }
  for (const auto* option : options) {
    const auto& results = option->results();
    if (std::find(results.begin(), results.end(), "") == results.end()) continue;
    const std::string name = option->get_name();
    for (const auto& [refused, instead] : without) {
      // Where a name is needed there is nothing to leave out.
      if (name != refused || option->get_required()) continue;
      return usage(name + " is empty: leave it out for " + std::string(instead) + ".");
    }
  }
  return {};
}

/// Plain decimal digits. CLI11 would take "-1" for the largest number there is.
template <typename Number>
client::Result<Number> number_of(const char* what, const std::string& text) {
  Number number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, status] = std::from_chars(text.data(), end, number);
  if (status == std::errc() && rest == end) return number;
  return usage(std::string(what) + " '" + text + "' is not a number from 0 to " +
               std::to_string(std::numeric_limits<Number>::max()) + ".");
}

class Parser {
 public:
  Parser();
  client::Result<Options> parse(std::vector<std::string> arguments,
                                std::vector<std::string> behind_separator, bool separated);

 private:
  CLI::App* add(CLI::App& parent, const char* name, const char* what);
  void add_common(CLI::App* command);
  client::Result<Awaited> awaited() const;
  client::Result<Remote> remote() const;
  client::Result<Command> metrics() const;
  CLI::App* add_session(const char* name, const char* what, bool token);
  void add_target_options(CLI::App* command);
  void add_update_options(CLI::App* command);
  [[nodiscard]] UpdateRequest request_of(const CLI::App* command) const;
  client::Result<Command> command() const;
  [[nodiscard]] const CLI::App* chosen() const;
  [[nodiscard]] client::Error mistake(const CLI::ParseError& error) const;

  CLI::App app_{"Carries this host's workloads through kernel updates, with handoverd.",
                "handoverctl"};
  bool json_ = false, verbose_ = false, quiet_ = false, no_legend_ = false, no_block_ = false;
  std::string format_, awaited_;
  std::optional<std::string> timeout_, host_, machine_;

  CLI::App *status_, *clients_, *sessions_, *preflight_, *update_, *prepare_, *cancel_, *monitor_,
      *history_, *metrics_;
  CLI::App *wait_, *client_command_, *unregister_, *kernels_, *allow_kernel_;
  CLI::App *session_, *create_, *preserve_, *unpreserve_, *retrieve_, *finish_, *discard_;

  std::string kernel_, initrd_, cmdline_, release_;
  std::vector<std::string> allow_;
  bool immediate_ = false, orderly_ = false, rehearse_ = false, wait_for_window_ = false;
  std::uint64_t at_most_usec_ = 0;
  std::string name_, backend_, client_, output_;
  std::string token_ = "0", id_ = "0", most_ = "20";  // parsed by command()
  PreserveSource source_;
  MetricsRequest metrics_request_;
  std::vector<std::string> behind_separator_;
};

CLI::App* Parser::add(CLI::App& parent, const char* name, const char* what) {
  auto* command = parent.add_subcommand(name, what);
  add_common(command);
  return command;
}

/// Understood before a command and behind it.
void Parser::add_common(CLI::App* command) {
  command->add_flag("--json", json_, "Print JSON, for programs");
  command->add_option("-o,--output-format", format_, "short, or json")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"short", "json"}));
  command->add_flag("-q,--quiet", quiet_, "Show no progress");
  command->add_flag("--no-legend", no_legend_, "Show no titles over tables");
  command->add_option("--timeout", timeout_, "Wait so long for an answer; of 'wait': for all")
      ->type_name("SECONDS");
  command->add_option("-H,--host", host_, "Ask the daemon there, by ssh")
      ->type_name("[USER@]HOST[:PORT]");
  command->add_option("-M,--machine", machine_, "Ask the daemon in that machine of this host")
      ->type_name("NAME");
}

CLI::App* Parser::add_session(const char* name, const char* what, bool token) {
  auto* command = add(*session_, name, what);
  command->add_option("NAME", name_, "The session")->required()->type_name("");
  if (token) {
    command->add_option("TOKEN", token_, "A number of your choice")->required()->type_name("");
  }
  return command;
}

void Parser::add_target_options(CLI::App* command) {
  command
      ->add_option("KERNEL", kernel_,
                   "Path, release or boot loader entry; else the configured or newest")
      ->type_name("");
  command->add_option("--initrd", initrd_, "Its initial RAM disk; '' for none")->type_name("FILE");
  command->add_option("--cmdline", cmdline_, "Its command line; else the configured or running one")
      ->type_name("TEXT");
  command->add_option("--allow", allow_, "Go on in spite of that finding of preflight")
      ->type_name("ID")
      ->allow_extra_args(false);
}

void Parser::add_update_options(CLI::App* command) {
  add_target_options(command);
  command->add_flag("--no-block", no_block_, "Print its number, and do not wait for its end");
  auto* immediate =
      command->add_flag("--immediate", immediate_, "Reboot at once: the shortest blackout");
  command->add_flag("--orderly", orderly_, "Stop all units in order first")->excludes(immediate);
}

UpdateRequest Parser::request_of(const CLI::App* command) const {
  UpdateRequest request;
  request.kernel = given(command, "KERNEL", kernel_);
  request.initrd = given(command, "--initrd", initrd_);
  request.cmdline = given(command, "--cmdline", cmdline_);
  if (request.kernel) request.kernel = kernel_named(*request.kernel);
  // Empty: no initrd.
  if (request.initrd && !request.initrd->empty()) request.initrd = absolute(*request.initrd);
  for (const auto& id : allow_) request.allow = request.allow ? *request.allow + "," + id : id;
  return request;
}

Parser::Parser() {
  app_.require_subcommand(0, 1);
  app_.set_version_flag("--version", "handoverctl " HANDOVER_VERSION);
  add_common(&app_);
  app_.footer(footer);

  status_ = add(app_, "status", "Show the daemon's state");
  status_->add_flag("-v,--verbose", verbose_, "Show what it counts, too");
  clients_ = add(app_, "clients", "List the registered clients");
  sessions_ = add(app_, "sessions", "List the sessions, or what one of them holds");
  sessions_->add_option("NAME", name_, "A session")->type_name("");
  preflight_ = add(app_, "preflight", "Show what an update would meet, and begin none");
  add_target_options(preflight_);
  update_ = add(app_, "update", "Go into another kernel with all preserved state");
  add_update_options(update_);
  auto* rehearse = update_->add_flag("--rehearse", rehearse_,
                                     "Undo it before the kernel is left, and tell the standstill");
  update_->add_option("--at-most", at_most_usec_, "Undo the rehearsal when it stands still so long")
      ->type_name("TIME")
      ->transform(CLI::AsNumberWithUnit(
          std::map<std::string, std::uint64_t>{{"us", 1}, {"ms", 1000}, {"s", 1'000'000}},
          CLI::AsNumberWithUnit::UNIT_REQUIRED, "TIME"))
      ->needs(rehearse);
  update_->add_flag("--wait-for-window", wait_for_window_,
                    "Begin when the maintenance window of this host opens");
  prepare_ = add(app_, "prepare", "Do all of an update that can be done before the freeze");
  add_update_options(prepare_);
  cancel_ = add(app_, "cancel", "End the running update and undo it");
  cancel_->add_flag("--no-block", no_block_, "Do not wait until everybody runs");
  wait_ = add(app_, "wait", "Wait until the daemon or a client is in a state");
  wait_->add_option("--for", awaited_, "The daemon's state, or a client's phase")
      ->required()
      ->type_name("STATE|CLIENT=PHASE");
  monitor_ = add(app_, "monitor", "Print what happens, as it happens");
  history_ = add(app_, "history", "List past updates, or show one of them");
  history_->add_option("ID", id_, "An update")->type_name("");
  history_->add_option("-n,--most", most_, "How many to list (20)")->type_name("N");

  metrics_ = add(app_, "metrics", "Print metrics for Prometheus");
  metrics_->add_option("--output", output_, "Replace that file, in node_exporter's text format")
      ->type_name("FILE");
  metrics_->add_flag("--text", metrics_request_.text, "Prometheus' text format, not OpenMetrics");
  metrics_->add_flag("--preflight", metrics_request_.preflight, "Tell what an update would meet");
  metrics_->add_flag("--http", metrics_request_.http, "Answer one HTTP request on standard input");
  metrics_->add_option("--fleet-state", metrics_request_.fleet_state, "Of handover-fleet")
      ->type_name("FILE");

  kernels_ = add(app_, "kernels", "List the kernel images, and which are good, bad or untried");
  kernels_->require_subcommand(0, 1);
  allow_kernel_ = add(*kernels_, "allow", "Count a bad kernel as untried again");
  allow_kernel_->add_option("RELEASE", release_, "Its release")->required()->type_name("");

  client_command_ = app_.add_subcommand("client", "Change what is known of a client");
  client_command_->require_subcommand(1);
  unregister_ = add(*client_command_, "unregister", "Forget a client that does not come back");
  unregister_->add_option("NAME", name_, "The client")->required()->type_name("");

  session_ = app_.add_subcommand("session", "Make and use sessions, for scripts");
  session_->require_subcommand(1);
  create_ = add_session("create", "Make a session", false);
  create_->add_option("--backend", backend_, "Backend to use")->type_name("NAME");
  create_->add_option("--client", client_, "Registered client it belongs to")->type_name("NAME");
  preserve_ = add_session("preserve", "Preserve a descriptor under a token", true);
  auto* sources = preserve_->add_option_group("what");
  sources->add_option("--fd", source_.fd, "A descriptor that was inherited")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  sources->add_option("--file", source_.file, "A file, opened for reading and writing")
      ->type_name("PATH");
  sources->add_flag("--stdin", source_.standard_input,
                    "The contents of standard input, as a memfd");
  sources->require_option(1);
  preserve_->add_option("--backend", source_.backend, "Keep it there and nowhere else")
      ->type_name("NAME");
  unpreserve_ = add_session("unpreserve", "Give up one token", true);
  retrieve_ =
      add_session("retrieve", "Get a descriptor back: contents, or -- COMMAND with fd 3", true);
  retrieve_->add_option("--output", output_, "Write the contents there, not to standard output")
      ->type_name("FILE");
  finish_ = add_session("finish", "End a session that was retrieved", false);
  discard_ = add_session("discard", "End a session and preserve nothing of it", false);
}

/// The command named, as far as one is.
const CLI::App* Parser::chosen() const {
  const CLI::App* command = &app_;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  return command;
}

/// CLI11 names no word that it does not know if another one is missing.
client::Error Parser::mistake(const CLI::ParseError& error) const {
  const auto try_help = [](const CLI::App* command) {
    return " Try '" + words_of(command) + " --help'.";
  };
  for (const auto* command : {&app_, static_cast<const CLI::App*>(session_),
                              static_cast<const CLI::App*>(client_command_), chosen()}) {
    const auto unknown = command->remaining();
    if (unknown.empty()) continue;
    const std::string word = "'" + unknown.front() + "'";
    const bool option = unknown.front().size() > 1 && unknown.front().front() == '-';
    const bool has_commands =
        !command->get_subcommands([](const CLI::App*) { return true; }).empty();
    return usage((option         ? "There is no option " + word + "."
                  : has_commands ? "There is no command " + word + "."
                                 : "The argument " + word + " is one too many.") +
                 try_help(command));
  }
  const bool none = chosen()->get_require_subcommand_min() > 0;
  return usage((none ? "A command is missing" : std::string(error.what())) + "." +
               try_help(chosen()));
}

Options information(std::string text) {
  Options options;
  options.command = InformationCommand{std::move(text)};
  return options;
}

client::Result<Options> Parser::parse(std::vector<std::string> arguments,
                                      std::vector<std::string> behind_separator, bool separated) {
  behind_separator_ = std::move(behind_separator);
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes a vector
  try {
    app_.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    const auto* asked = chosen();
    const auto* parent = asked->get_parent();
    return information(asked->help(parent ? words_of(parent) : ""));
  } catch (const CLI::CallForVersion&) {
    return information("handoverctl " HANDOVER_VERSION "\n");
  } catch (const CLI::ParseError& error) {
    return mistake(error);
  }
  if (separated && (!retrieve_->parsed() || behind_separator_.empty())) {
    return usage("'--' and a command belong behind 'session retrieve NAME TOKEN'.");
  }
  json_ = json_ || format_ == "json";
  std::optional<std::uint64_t> timeout_usec;
  if (timeout_) {
    constexpr std::uint64_t usec_per_sec = 1'000'000;
    auto seconds = number_of<std::uint32_t>("--timeout", *timeout_);
    if (!seconds) return seconds.error();
    if (*seconds == 0) return usage("--timeout 0 would wait for nothing: give 1 or more.");
    timeout_usec = *seconds * usec_per_sec;
  }
  auto chosen = command();
  if (!chosen) return chosen.error();
  auto there = remote();
  if (!there) return there.error();
  return Options{std::move(*chosen), json_, quiet_, !no_legend_, timeout_usec, std::move(*there)};
}

/// What the words given mean for another host is looked at here, too.
client::Result<Remote> Parser::remote() const {
  if (host_ && machine_) return usage("Give --host or --machine, not both.");
  Remote remote;
  if (machine_) remote = {Remote::Kind::machine, *machine_};
  if (host_) remote = {Remote::Kind::host, *host_};
  if (!remote) return remote;
  if (auto address = bus_address_of(remote, /*later=*/false); !address) return address.error();
  for (const auto* command : {preserve_, retrieve_}) {
    if (host_ && command->parsed()) {
      return needs_descriptors(remote, words_of(command).substr(words_of(&app_).size() + 1));
    }
  }
  for (const auto* path : {&kernel_, &initrd_}) {
    if (path->empty() || path->front() == '/') continue;
    return usage("'" + *path + "' must be a whole path, from /: it is one of " + remote.name + ".");
  }
  return remote;
}

/// "STATE" or "CLIENT=PHASE"; the words are those of docs/dbus.md.
client::Result<Awaited> Parser::awaited() const {
  const auto refuse = [&](const std::string& word, const auto& known) -> client::Error {
    std::string words;
    for (const auto* one : known) words += (words.empty() ? "" : ", ") + std::string(one);
    return usage("--for: '" + word + "' is none of " + words + ".");
  };
  const auto knows = [](const auto& known, const std::string& word) {
    return std::find(known.begin(), known.end(), word) != known.end();
  };
  Awaited awaited;
  // A client's name may hold '='; a phase does not.
  const auto equals = awaited_.rfind('=');
  if (equals == std::string::npos) {
    if (!knows(state_words, awaited_)) return refuse(awaited_, state_words);
    awaited.state = awaited_;
    return awaited;
  }
  awaited.client = awaited_.substr(0, equals);
  awaited.phase = awaited_.substr(equals + 1);
  if (awaited.client.empty()) return usage("--for: the client's name is missing before '='.");
  if (!knows(phase_words, awaited.phase)) return refuse(awaited.phase, phase_words);
  return awaited;
}

client::Result<Command> Parser::metrics() const {
  if (json_) {
    return usage("metrics prints text; 'status --json' and 'history --json' print JSON.");
  }
  if (metrics_request_.http && (metrics_request_.text || !output_.empty())) {
    return usage("--http answers as it is asked: leave --text and --output out.");
  }
  MetricsRequest request = metrics_request_;
  request.output = output_;
  return Command(MetricsCommand{std::move(request)});
}

client::Result<Command> Parser::command() const {
  if (auto filled = refuse_empty(chosen()); !filled) return filled.error();
  if (chosen() == &app_) return Command(OverviewCommand{});
  if (status_->parsed()) return Command(StatusCommand{verbose_});
  if (clients_->parsed()) return Command(ClientsCommand{});
  if (sessions_->parsed()) return Command(SessionsCommand{name_});
  if (preflight_->parsed()) return Command(PreflightCommand{request_of(preflight_)});
  if (update_->parsed() || prepare_->parsed()) {
    auto request = request_of(update_->parsed() ? update_ : prepare_);
    request.kind = prepare_->parsed() ? UpdateRequest::Kind::prepare
                   : rehearse_        ? UpdateRequest::Kind::rehearse
                                      : UpdateRequest::Kind::update;
    if (update_->get_option("--at-most")->count() != 0) {
      constexpr std::uint64_t longest_usec = 3'600'000'000;
      if (at_most_usec_ == 0 || at_most_usec_ > longest_usec) {
        return usage("--at-most is a time from 1us to 3600s.");
      }
      request.at_most_usec = at_most_usec_;
    }
    if (immediate_) request.mode = "immediate";
    if (orderly_) request.mode = "orderly";
    if (wait_for_window_ && (host_ || machine_)) {
      return usage("--wait-for-window is for this host: leave --host and --machine out.");
    }
    return Command(UpdateCommand{std::move(request), !no_block_, wait_for_window_});
  }
  if (cancel_->parsed()) return Command(CancelCommand{!no_block_});
  if (wait_->parsed()) {
    auto wanted = awaited();
    if (!wanted) return wanted.error();
    return Command(WaitCommand{std::move(*wanted)});
  }
  if (unregister_->parsed()) return Command(UnregisterCommand{name_});
  if (monitor_->parsed()) return Command(MonitorCommand{});
  if (history_->parsed()) {
    HistoryCommand history;
    if (given(history_, "ID", id_)) {
      auto id = number_of<std::uint64_t>("Update", id_);
      if (!id) return id.error();
      history.id = *id;
    }
    auto most = number_of<std::uint32_t>("--most", most_);
    if (!most) return most.error();
    if (*most == 0) return usage("--most 0 would list nothing: give 1 or more.");
    history.most = *most;
    return Command(history);
  }
  if (metrics_->parsed()) return metrics();
  if (allow_kernel_->parsed()) return Command(AllowKernelCommand{release_});
  if (kernels_->parsed()) return Command(KernelsCommand{});
  if (create_->parsed()) return Command(CreateCommand{name_, backend_, client_});
  if (finish_->parsed()) return Command(FinishCommand{name_});
  if (discard_->parsed()) return Command(DiscardCommand{name_});
  auto token = number_of<std::uint64_t>("Token", token_);
  if (!token) return token.error();
  if (preserve_->parsed()) return Command(PreserveCommand{name_, *token, source_});
  if (unpreserve_->parsed()) return Command(UnpreserveCommand{name_, *token});
  if (!behind_separator_.empty() && !output_.empty()) {
    return usage("Give --output or a command, not both.");
  }
  if (json_ && output_.empty() && behind_separator_.empty()) {
    return usage("--json needs --output: the contents would go to standard output, too.");
  }
  return Command(RetrieveCommand{name_, *token, {output_, behind_separator_}});
}

/// CLI11 takes the argument that follows for the value of "--option=": here, that is "".
std::vector<std::string> with_empty_values(std::vector<std::string> arguments) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const auto equals = arguments[i].find('=');
    if (arguments[i].compare(0, 2, "--") != 0 || equals + 1 != arguments[i].size()) continue;
    arguments[i].pop_back();
    arguments.emplace(arguments.begin() + static_cast<std::ptrdiff_t>(++i));
  }
  return arguments;
}

}  // namespace

std::optional<std::uint64_t> call_limit_usec(const Options& options, bool is_root) {
  constexpr std::uint64_t look_usec = 25'000'000;
  if (std::holds_alternative<WaitCommand>(options.command)) {
    return std::min(look_usec, options.timeout_usec.value_or(look_usec));
  }
  if (options.timeout_usec) return options.timeout_usec;
  const auto* metrics = std::get_if<MetricsCommand>(&options.command);
  if (metrics && !metrics->request.preflight) return look_usec;
  const bool looks = std::holds_alternative<OverviewCommand>(options.command) ||
                     std::holds_alternative<StatusCommand>(options.command) ||
                     std::holds_alternative<ClientsCommand>(options.command) ||
                     std::holds_alternative<SessionsCommand>(options.command) ||
                     std::holds_alternative<HistoryCommand>(options.command) ||
                     (is_root && std::holds_alternative<CancelCommand>(options.command));
  return looks ? std::optional(look_usec) : std::nullopt;
}

bool asks_for_json(const std::vector<std::string>& arguments) {
  const auto separator = std::find(arguments.begin(), arguments.end(), "--");
  if (std::find(arguments.begin(), separator, "--json") != separator) return true;
  const auto format = std::find(arguments.begin(), separator, "-o");
  return format != separator && std::next(format) != separator && *std::next(format) == "json";
}

client::Result<Options> parse_options(const std::vector<std::string>& arguments) {
  // Cut off first, so that nothing in a command is ever taken for an option of ours.
  const auto separator = std::find(arguments.begin(), arguments.end(), "--");
  std::vector<std::string> behind;
  const bool separated = separator != arguments.end();
  if (separated) behind.assign(separator + 1, arguments.end());
  return Parser().parse(with_empty_values({arguments.begin(), separator}), std::move(behind),
                        separated);
}

}  // namespace handover::ctl
