// SPDX-License-Identifier: LGPL-2.1-or-later
// A child process with its parent's connection: it is refused, and the parent does not notice.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "library_fixture.h"

namespace handover::client {
namespace {

/// What the first of them that is not refused stands at; 0: all are.
int first_not_refused(Connection& connection, Client& client, Session& session) {
  handover_watch_callbacks callbacks = {};
  callbacks.size = sizeof(callbacks);
  handover_watch* watch = nullptr;
  const int results[] = {
      handover_process(connection.get()),
      handover_wait(connection.get(), 0),
      handover_get_fd(connection.get()),
      handover_set_call_timeout(connection.get(), 1),
      -connection.create_session("t").error().code,
      -client.unregister().error().code,
      -session.retrieve(1).error().code,
      -session.discard_async([](const Result<void>&) {}).error().code,
      -Client::register_async(connection, "c", {}, {}).error().code,
      handover_watch_new(connection.get(), &callbacks, nullptr, &watch, nullptr),
  };
  int at = 0;
  for (const int result : results) {
    ++at;
    if (result != -ECHILD) return at;
  }
  return connection.connected() || connection.bus() ? at + 1 : 0;
}

TEST_F(Library, IsOfTheProcessThatConnected) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer's memory may be locked in the child of a process with threads";
#endif
  daemon_->start("new");
  auto opened = connect();
  ASSERT_TRUE(opened);
  std::optional<Connection> connection(std::move(*opened));
  auto registered = Client::register_client(*connection, "db", {}, {});
  ASSERT_TRUE(registered);
  std::optional<Client> client(std::move(*registered));
  auto session = connection->create_session("s");
  ASSERT_TRUE(session);
  bool answered = false;
  auto operation = connection->create_session_async(
      "later", "", "", [&](const Result<Session>&) { answered = true; });
  ASSERT_TRUE(operation);

  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int wrong = first_not_refused(*connection, *client, *session);
    client.reset();
    session = Error{};
    connection.reset();
    if (answered) wrong = 100;
    _exit(wrong);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);

  ASSERT_TRUE(run(*connection, [&] { return answered; }));
  EXPECT_TRUE(connection->create_session("t"));
  EXPECT_TRUE(answer_to(*connection, "Freeze"));
}

}  // namespace
}  // namespace handover::client
