// SPDX-License-Identifier: LGPL-2.1-or-later
// session create, preserve, unpreserve, retrieve, finish, discard: for scripts.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "commands.h"
#include "file.h"
#include "output.h"

namespace handover::ctl {
namespace {

using nlohmann::json;

/// A memfd that holds all of stdin.
client::Result<client::Fd> memory_of_stdin(const std::string& name) {
  // For /proc/PID/maps. The kernel takes 249 bytes, and no session's name has so many.
  client::Fd memory(memfd_create(name.substr(0, 63).c_str(), MFD_CLOEXEC));
  if (!memory) return system_error("Cannot make a memfd");
  std::vector<char> buffer(chunk_bytes);
  for (;;) {
    const ssize_t n = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("Cannot read standard input");
    if (n == 0) break;
    auto written = write_all(memory.get(), buffer.data(), static_cast<std::size_t>(n), "the memfd");
    if (!written) return written.error();
  }
  if (lseek(memory.get(), 0, SEEK_SET) < 0) return system_error("Cannot rewind the memfd");
  return memory;
}

/// Of a descriptor that was inherited; none, with errno, of one of our own: execve(2) closes what
/// has FD_CLOEXEC, and all of ours has it.
client::Fd copy_of_inherited(int fd) {
  const int flags = fcntl(fd, F_GETFD);
  if (flags >= 0 && (flags & FD_CLOEXEC) != 0) {
    errno = EBADF;
    return client::Fd(-1);
  }
  return client::Fd(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

client::Result<client::Fd> open_source(const PreserveSource& source, const std::string& name) {
  if (source.standard_input) return memory_of_stdin(name);
  if (!source.file.empty()) {
    client::Fd file(open(source.file.c_str(), O_RDWR | O_CLOEXEC));
    if (!file) return system_error("Cannot open " + source.file);
    return file;
  }
  auto copy = copy_of_inherited(source.fd);
  if (!copy) return system_error("Cannot use descriptor " + std::to_string(source.fd));
  return copy;
}

/// Only returns if it failed.
client::Error become_command(const Environment& environment, client::Fd fd, const std::string& name,
                             const std::vector<std::string>& command) {
  constexpr int first_listen_fd = 3;  // SD_LISTEN_FDS_START
  const bool there = fd.get() == first_listen_fd ? fcntl(fd.get(), F_SETFD, 0) == 0
                                                 : dup2(fd.get(), first_listen_fd) >= 0;
  if (!there) return system_error("Cannot pass the descriptor on");
  // FDNAME must hold no colon (sd_listen_fds_with_names(3)); a session's name may.
  std::string fd_name = name;
  std::replace(fd_name.begin(), fd_name.end(), ':', '_');
  environment.put_back();
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", "1", 1);
  setenv("LISTEN_FDNAMES", fd_name.c_str(), 1);
  std::vector<std::string> copies = command;
  std::vector<char*> arguments;
  arguments.reserve(copies.size() + 1);
  for (auto& argument : copies) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  execvp(arguments.front(), arguments.data());
  return system_error("Cannot run " + command.front());
}

/// Into the file `output`, or standard output if that is "". How many bytes that were.
client::Result<std::uint64_t> retrieve_contents(client::Session& session, std::uint64_t token,
                                                const std::string& output) {
  auto tokens = session.tokens();
  if (!tokens) return tokens.error();
  const auto found = std::find_if(tokens->begin(), tokens->end(),
                                  [&](const client::Token& t) { return t.token == token; });
  if (found != tokens->end() && std::string_view(found->kind) == "fd") {
    return client::Error{"",
                         "Token " + std::to_string(token) +
                             " is no memory that could be copied: give a command to hand it to.",
                         EINVAL};
  }
  auto destination = Output::open(output, found == tokens->end() ? 0 : found->bytes);
  if (!destination) return destination.error();
  auto fd = session.retrieve(token);
  if (!fd) return fd.error();
  auto copied = destination->copy_from(fd->get());
  if (!copied) return copied;
  if (auto kept = destination->commit(); !kept) return kept.error();
  return copied;
}

Outcome finish_with(Context context, const client::Result<void>& result, const json& document) {
  if (!result) return result.error();
  if (context.json) print_json(document);
  return ExitCode::ok;
}

}  // namespace

Outcome session_create(Context context, const std::string& name, const std::string& backend,
                       const std::string& client) {
  auto session = context.connection.create_session(name, backend, client);
  if (!session) return session.error();
  if (context.json) print_json({{"session", name}});
  return ExitCode::ok;
}

Outcome session_preserve(Context context, const std::string& name, std::uint64_t token,
                         const PreserveSource& source) {
  auto session = context.connection.get_session(name);
  if (!session) return session.error();
  auto fd = open_source(source, name);
  if (!fd) return fd.error();
  auto preserved = source.backend.empty() ? session->preserve(token, fd->get())
                                          : session->preserve_in(source.backend, token, fd->get());
  return finish_with(context, preserved, {{"session", name}, {"token", token}});
}

Outcome session_unpreserve(Context context, const std::string& name, std::uint64_t token) {
  auto session = context.connection.get_session(name);
  if (!session) return session.error();
  return finish_with(context, session->unpreserve(token), {{"session", name}, {"token", token}});
}

Outcome session_retrieve(Context context, const std::string& name, std::uint64_t token,
                         const RetrieveTarget& target) {
  const bool to_command = !target.command.empty();
  if (to_command && !can_be_executed(target.command.front())) {
    return client::Error{"", "There is no command '" + target.command.front() + "'.", ENOENT};
  }
  auto session = context.connection.get_session(name);
  if (!session) return session.error();
  if (to_command) {
    auto fd = session->retrieve(token);
    if (!fd) return fd.error();
    return become_command(context.environment, std::move(*fd), name, target.command);
  }
  auto copied = retrieve_contents(*session, token, target.output);
  if (!copied) return copied.error();
  if (context.json) {
    print_json(
        {{"session", name}, {"token", token}, {"bytes", *copied}, {"output", target.output}});
  }
  return ExitCode::ok;
}

Outcome session_finish(Context context, const std::string& name) {
  auto session = context.connection.get_session(name);
  if (!session) return session.error();
  return finish_with(context, session->finish(), {{"session", name}});
}

Outcome session_discard(Context context, const std::string& name) {
  auto session = context.connection.get_session(name);
  if (!session) return session.error();
  return finish_with(context, session->discard(), {{"session", name}});
}

}  // namespace handover::ctl
