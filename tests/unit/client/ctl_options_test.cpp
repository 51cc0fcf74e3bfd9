// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <filesystem>

#include "ctl/options.h"

namespace handover::ctl {
namespace {

template <typename T>
T parsed(const std::vector<std::string>& arguments) {
  auto options = parse_options(arguments);
  if (!options) {
    ADD_FAILURE() << options.error().message;
    return {};
  }
  const T* command = std::get_if<T>(&options->command);
  if (!command) {
    ADD_FAILURE() << "another command";
    return {};
  }
  return *command;
}

bool is_refused(const std::vector<std::string>& arguments) { return !parse_options(arguments); }

TEST(CtlOptions, JsonBeforeAndBehind) {
  EXPECT_TRUE(parse_options({"--json", "status"})->json);
  EXPECT_TRUE(parse_options({"status", "--json"})->json);
  EXPECT_FALSE(parse_options({"status"})->json);
}

TEST(CtlOptions, WithoutACommandShowsAll) {
  (void)parsed<OverviewCommand>({});
  (void)parsed<OverviewCommand>({"--json"});
}

TEST(CtlOptions, UpdatesCanBeOnlyBegun) {
  for (const char* command : {"update", "prepare"}) {
    EXPECT_TRUE(parsed<UpdateCommand>({command}).block);
    EXPECT_FALSE(parsed<UpdateCommand>({command, "--no-block"}).block);
  }
  EXPECT_FALSE(parsed<CancelCommand>({"cancel", "--no-block"}).block);
}

/// A person takes longer to answer polkit than D-Bus waits by itself.
TEST(CtlOptions, LimitsOfCalls) {
  const auto limit = [](const std::vector<std::string>& arguments, bool is_root) {
    auto options = parse_options(arguments);
    EXPECT_TRUE(options);
    return call_limit_usec(*options, is_root);
  };
  for (const bool is_root : {true, false}) {
    EXPECT_EQ(limit({"status"}, is_root), 25'000'000U);
    EXPECT_EQ(limit({"cancel", "--timeout", "3"}, is_root), 3'000'000U);
    EXPECT_EQ(limit({"wait", "--for", "normal", "--timeout", "90"}, is_root), 25'000'000U);
    EXPECT_FALSE(limit({"update"}, is_root));
  }
  EXPECT_EQ(limit({"cancel"}, true), 25'000'000U);
  EXPECT_FALSE(limit({"cancel"}, false));
}

TEST(CtlOptions, CommonOnesStandAnywhere) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"-o", "json", "-q", "--no-legend", "--timeout", "3", "clients"},
           {"clients", "--output-format", "json", "--quiet", "--no-legend", "--timeout", "3"}}) {
    auto options = parse_options(arguments);
    ASSERT_TRUE(options) << options.error().message;
    EXPECT_TRUE(options->json);
    EXPECT_TRUE(options->quiet);
    EXPECT_FALSE(options->legend);
    EXPECT_EQ(options->timeout_usec, 3'000'000U);
    EXPECT_TRUE(asks_for_json(arguments) || arguments.front() == "clients");
  }
  auto plain = parse_options({"-o", "short", "clients"});
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->json);
  EXPECT_TRUE(plain->legend);
  EXPECT_FALSE(plain->timeout_usec);
  for (const char* wrong : {"0", "-1", "1.5", "forever", ""}) {
    EXPECT_TRUE(is_refused({"status", "--timeout", wrong})) << wrong;
  }
  EXPECT_TRUE(is_refused({"-o", "xml", "clients"}));
}

TEST(CtlOptions, CancelWaitsUnlessToldNotTo) {
  EXPECT_TRUE(parsed<CancelCommand>({"cancel"}).block);
  EXPECT_FALSE(parsed<CancelCommand>({"cancel", "--no-block"}).block);
}

TEST(CtlOptions, WaitForAStateOrAPhase) {
  const auto state = parsed<WaitCommand>({"wait", "--for=normal"}).awaited;
  EXPECT_EQ(state.state, "normal");
  const auto phase = parsed<WaitCommand>({"wait", "--for", "a=b=frozen"}).awaited;
  EXPECT_EQ(phase.state, "");
  EXPECT_EQ(phase.client, "a=b");
  EXPECT_EQ(phase.phase, "frozen");
  for (const char* wrong : {"", "bogus", "db=", "db=bogus", "=idle", "db=normal"}) {
    EXPECT_TRUE(is_refused({"wait", "--for", wrong})) << wrong;
  }
  EXPECT_TRUE(is_refused({"wait"}));
}

TEST(CtlOptions, UnregisterNamesAClient) {
  EXPECT_EQ(parsed<UnregisterCommand>({"client", "unregister", "db"}).client, "db");
  EXPECT_TRUE(is_refused({"client", "unregister"}));
  EXPECT_TRUE(is_refused({"client"}));
  EXPECT_TRUE(is_refused({"client", "bogus", "db"}));
}

TEST(CtlOptions, Update) {
  const auto update = parsed<UpdateCommand>(
      {"update", "./vmlinuz", "--initrd", "/boot/initrd", "--cmdline", "quiet", "--orderly"});
  EXPECT_EQ(update.request.kind, UpdateRequest::Kind::update);
  EXPECT_EQ(update.request.kernel, (std::filesystem::current_path() / "vmlinuz").string());
  EXPECT_EQ(update.request.initrd, "/boot/initrd");
  EXPECT_EQ(update.request.cmdline, "quiet");
  EXPECT_EQ(update.request.mode, "orderly");

  for (const char* name : {"7.3.4-amd64", "newest", "default", "debian-7.3.4.conf"}) {
    EXPECT_EQ(parsed<UpdateCommand>({"update", name}).request.kernel, name)
        << "the daemon knows it";
  }

  const auto preflight = parsed<PreflightCommand>(
      {"preflight", "7.3.4", "--allow", "initrd-missing", "--allow=kho-off", "--initrd", ""});
  EXPECT_EQ(preflight.request.kernel, "7.3.4");
  EXPECT_EQ(preflight.request.allow, "initrd-missing,kho-off");
  EXPECT_EQ(preflight.request.initrd, "");
  EXPECT_TRUE(is_refused({"preflight", "--orderly"}));
  EXPECT_TRUE(is_refused({"preflight", "--allow", ""}));
  EXPECT_FALSE(parsed<UpdateCommand>({"update"}).request.allow);

  const auto plain = parsed<UpdateCommand>({"prepare"});
  EXPECT_EQ(plain.request.kind, UpdateRequest::Kind::prepare);
  EXPECT_FALSE(plain.request.kernel || plain.request.initrd || plain.request.cmdline ||
               plain.request.mode);
  EXPECT_TRUE(is_refused({"update", "--immediate", "--orderly"}));
  const auto rehearsal = parsed<UpdateCommand>({"update", "--rehearse", "--at-most", "1500 ms"});
  EXPECT_EQ(rehearsal.request.kind, UpdateRequest::Kind::rehearse);
  EXPECT_EQ(rehearsal.request.at_most_usec, 1'500'000U);
  EXPECT_FALSE(parsed<UpdateCommand>({"update", "--rehearse"}).request.at_most_usec);
  for (const char* wrong : {"500", "0s", "-1ms", "3601s", "soon", "99999999999999999999s", ""}) {
    EXPECT_TRUE(is_refused({"update", "--rehearse", "--at-most", wrong})) << wrong;
  }
  EXPECT_TRUE(is_refused({"update", "--at-most", "1s"}));
  EXPECT_TRUE(is_refused({"prepare", "--rehearse"}));
}

/// An unset variable in a script is no wish for the default.
TEST(CtlOptions, EmptyIsNotLeftOut) {
  for (const char* command : {"update", "prepare"}) {
    EXPECT_TRUE(is_refused({command, ""}));
    EXPECT_TRUE(is_refused({command, "vmlinuz", "--cmdline", ""}));
    EXPECT_TRUE(is_refused({command, "--cmdline=", "vmlinuz"}));
    EXPECT_EQ(parsed<UpdateCommand>({command, "--initrd", ""}).request.initrd, "");
    EXPECT_FALSE(parsed<UpdateCommand>({command}).request.initrd);
    const auto equals = parsed<UpdateCommand>({command, "--initrd=", "/boot/vmlinuz"});
    EXPECT_EQ(equals.request.initrd, "");
    EXPECT_EQ(equals.request.kernel, "/boot/vmlinuz");
  }
  EXPECT_TRUE(is_refused({"sessions", ""}));
  EXPECT_TRUE(is_refused({"session", "create", "s", "--backend", ""}));
  EXPECT_TRUE(is_refused({"session", "create", "s", "--client", ""}));
  EXPECT_TRUE(is_refused({"session", "preserve", "s", "1", "--file", ""}));
  EXPECT_TRUE(is_refused({"session", "preserve", "s", "1", "--stdin", "--backend", ""}));
  EXPECT_TRUE(is_refused({"session", "retrieve", "s", "1", "--output", ""}));
  const auto refused = parse_options({"update", ""});
  EXPECT_NE(refused.error().message.find("KERNEL is empty"), std::string::npos);
  // The daemon refuses names.
  EXPECT_EQ(parsed<CreateCommand>({"session", "create", ""}).name, "");
}

TEST(CtlOptions, Sessions) {
  const auto preserve = parsed<PreserveCommand>({"session", "preserve", "s", "7", "--fd", "4"});
  EXPECT_EQ(preserve.name, "s");
  EXPECT_EQ(preserve.token, 7U);
  EXPECT_EQ(preserve.source.fd, 4);
  EXPECT_EQ(preserve.source.backend, "");
  EXPECT_EQ(
      parsed<PreserveCommand>({"session", "preserve", "s", "7", "--stdin", "--backend", "tracker"})
          .source.backend,
      "tracker");
  EXPECT_TRUE(is_refused({"session", "preserve", "s", "7"}));
  EXPECT_TRUE(is_refused({"session", "preserve", "s", "7", "--stdin", "--file", "x"}));
  EXPECT_TRUE(is_refused({"session", "preserve", "s", "7", "--fd", "-1"}));

  const auto retrieve = parsed<RetrieveCommand>(
      {"session", "retrieve", "s", "18446744073709551615", "--", "cmd", "--output", "x"});
  EXPECT_EQ(retrieve.token, UINT64_MAX);
  EXPECT_EQ(retrieve.target.output, "");
  EXPECT_EQ(retrieve.target.command, (std::vector<std::string>{"cmd", "--output", "x"}));
  EXPECT_TRUE(is_refused({"session", "retrieve", "s", "1", "--"}));
  EXPECT_TRUE(is_refused({"session", "retrieve", "s", "1", "--output", "x", "--", "cmd"}));
  EXPECT_TRUE(is_refused({"session", "retrieve", "s", "1", "--json"}));
  EXPECT_TRUE(is_refused({"status", "--", "cmd"}));
}

TEST(CtlOptions, Numbers) {
  for (const char* token : {"-1", "1.5", "x", "", "0x1", "18446744073709551616", "1 "}) {
    EXPECT_TRUE(is_refused({"session", "unpreserve", "s", token})) << token;
  }
  EXPECT_TRUE(is_refused({"history", "-n", "0"}));
  const auto history = parsed<HistoryCommand>({"history", "0"});
  EXPECT_EQ(history.id, 0U);
  EXPECT_FALSE(parsed<HistoryCommand>({"history"}).id);
  EXPECT_EQ(parsed<HistoryCommand>({"history", "-n", "3"}).most, 3U);
}

TEST(CtlOptions, Kernels) {
  EXPECT_FALSE(is_refused({"kernels"}));
  EXPECT_FALSE(is_refused({"kernels", "--json"}));
  (void)parsed<KernelsCommand>({"-o", "json", "kernels"});
  EXPECT_EQ(parsed<AllowKernelCommand>({"kernels", "allow", "7.3.4"}).release, "7.3.4");
  EXPECT_TRUE(is_refused({"kernels", "allow"}));
  EXPECT_TRUE(is_refused({"kernels", "bogus"}));
  EXPECT_TRUE(is_refused({"kernels", "allow", "7.3.4", "7.3.5"}));
}

TEST(CtlOptions, Metrics) {
  const auto plain = parsed<MetricsCommand>({"metrics"}).request;
  EXPECT_EQ(plain.output, "");
  EXPECT_FALSE(plain.text || plain.preflight || plain.http);
  EXPECT_EQ(plain.fleet_state, "/run/handover-fleet/status.json");
  const auto file =
      parsed<MetricsCommand>({"metrics", "--preflight", "--output", "a.prom"}).request;
  EXPECT_EQ(file.output, "a.prom");
  EXPECT_TRUE(file.preflight);
  EXPECT_TRUE(parsed<MetricsCommand>({"metrics", "--text"}).request.text);
  EXPECT_TRUE(parsed<MetricsCommand>({"metrics", "--http"}).request.http);
  EXPECT_TRUE(is_refused({"metrics", "--json"}));
  EXPECT_TRUE(is_refused({"metrics", "--http", "--text"}));
  EXPECT_TRUE(is_refused({"metrics", "--http", "--output", "a.prom"}));
  EXPECT_TRUE(is_refused({"metrics", "--output", ""}));
  EXPECT_TRUE(is_refused({"metrics", "--fleet-state="}));
  EXPECT_TRUE(is_refused({"metrics", "a.prom"}));
  EXPECT_TRUE(call_limit_usec(*parse_options({"metrics"}), true).has_value());
  EXPECT_FALSE(call_limit_usec(*parse_options({"metrics", "--preflight"}), true).has_value())
      << "a kernel and its initrd are read through";
}

TEST(CtlOptions, AMistypedWordIsNamed) {
  struct Mistake {
    std::vector<std::string> arguments;
    std::string message;
  };
  const std::vector<Mistake> mistakes = {
      {{"bogus"}, "There is no command 'bogus'. Try 'handoverctl --help'."},
      {{"bogus", "status"}, "There is no command 'bogus'. Try 'handoverctl --help'."},
      {{"--nope"}, "There is no option '--nope'. Try 'handoverctl --help'."},
      {{"--nope", "status"}, "There is no option '--nope'. Try 'handoverctl --help'."},
      {{"session", "bogus"}, "There is no command 'bogus'. Try 'handoverctl session --help'."},
      {{"session", "create", "--nope"},
       "There is no option '--nope'. Try 'handoverctl session create --help'."},
      {{"status", "more"}, "The argument 'more' is one too many. Try 'handoverctl status --help'."},
      {{"client"}, "A command is missing. Try 'handoverctl client --help'."},
      {{"session"}, "A command is missing. Try 'handoverctl session --help'."},
      {{"session", "create"}, "NAME is required. Try 'handoverctl session create --help'."},
  };
  for (const auto& [arguments, message] : mistakes) {
    auto options = parse_options(arguments);
    ASSERT_FALSE(options) << message;
    EXPECT_EQ(options.error().message, message);
    EXPECT_TRUE(options.error().is("InvalidArgument"));
  }
  EXPECT_TRUE(asks_for_json({"bogus", "--json"}));
  EXPECT_FALSE(asks_for_json({"session", "retrieve", "--", "--json"}));
}

TEST(CtlOptions, HelpIsInformation) {
  EXPECT_NE(parsed<InformationCommand>({"--help"}).text.find("Exit status:"), std::string::npos);
  EXPECT_NE(parsed<InformationCommand>({"session", "retrieve", "--help"})
                .text.find("handoverctl session retrieve"),
            std::string::npos);
  EXPECT_TRUE(is_refused({"bogus"}));
}

}  // namespace
}  // namespace handover::ctl
