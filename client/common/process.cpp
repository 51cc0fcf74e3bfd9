// SPDX-License-Identifier: LGPL-2.1-or-later
#include "process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "file.h"

namespace handover::common {

client::Result<pid_t> start_process(const std::vector<std::string>& arguments, int first_free_fd,
                                    const std::function<bool()>& in_child) {
  std::vector<std::string> copies = arguments;  // execvp() wants them writable
  std::vector<char*> pointers;
  pointers.reserve(copies.size() + 1);
  for (auto& argument : copies) pointers.push_back(argument.data());
  pointers.push_back(nullptr);

  // The child writes its errno into the pipe; the exec closes it. Its end must not lie where
  // in_child puts descriptors.
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) < 0) return errno_error("Cannot make a pipe");
  client::Fd reader(ends[0]);
  client::Fd writer(ends[1]);
  client::Fd high(fcntl(writer.get(), F_DUPFD_CLOEXEC, first_free_fd));
  if (!high) return errno_error("Cannot duplicate a descriptor");
  writer.reset();

  const pid_t child = fork();
  if (child < 0) return errno_error("Cannot fork");
  if (child == 0) {
    if (in_child()) execvp(pointers.front(), pointers.data());
    const int code = errno;
    const ssize_t written = write(high.get(), &code, sizeof(code));
    _exit(written == sizeof(code) ? 127 : 125);
  }
  high.reset();

  int code = 0;
  ssize_t n = 0;
  do {
    n = read(reader.get(), &code, sizeof(code));
  } while (n < 0 && errno == EINTR);
  if (n == 0) return child;
  const int reason = n == sizeof(code) ? code : EIO;
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return errno_error("Cannot run " + arguments.front(), reason);
}

bool forget_parent() {
  // What systemd expects of its main process is ours to do.
  for (const char* ours : {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PIDFDID"}) {
    unsetenv(ours);
  }
  sigset_t none;
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, nullptr) < 0) return false;
  return signal(SIGPIPE, SIG_DFL) != SIG_ERR;
}

}  // namespace handover::common
