// SPDX-License-Identifier: LGPL-2.1-or-later
// The test machine's end of the command channel: runs shell commands that the host sends.
//
// The channel is a virtio-serial port. One frame is one line of text, so that a frame cut in two
// by a kexec costs itself and nothing else; each side sends an empty line first when it starts.
//
//   host to guest:  RUN <boot id> <number> <base64 of the command> <base64 of its input, or ->
//                   KILL <boot id> <number>
//   guest to host:  HELLO <boot id> <kernel release> <CLOCK_BOOTTIME, s>
//                   OUT <number> <base64 of output>     any number of times
//                   EXIT <number> <exit code, or 128 + signal>
//
// A frame for another boot id is dropped: the host may have sent it to the kernel before this one.
// Linked statically, so that it runs in any root file system.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_NAME "org.handover.test"
#define MAX_COMMANDS 16
#define CHUNK 24576  // a multiple of 3, so that only the last frame is padded

struct command {
  unsigned number;  // 0: free
  pid_t pid;
  int output;  // -1: closed by the command
};

static struct command commands[MAX_COMMANDS];
static char boot_id[64];
static int port = -1;

static void fail(const char* what) {
  fprintf(stderr, "handover-test-agent: %s: %s\n", what, strerror(errno));
  exit(EXIT_FAILURE);
}

static void* allocate(size_t size) {
  void* memory = malloc(size);
  if (!memory) fail("malloc");
  return memory;
}

// The port's device node by the name that QEMU gave it; udev's links may not be there yet.
static int open_port(void) {
  DIR* ports = opendir("/sys/class/virtio-ports");
  if (!ports) return -1;
  int fd = -1;
  for (struct dirent* entry; fd < 0 && (entry = readdir(ports));) {
    if (entry->d_name[0] == '.') continue;
    char path[512];
    char name[64] = "";
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
    FILE* file = fopen(path, "re");
    if (!file) continue;
    if (fgets(name, sizeof name, file)) name[strcspn(name, "\n")] = '\0';
    fclose(file);
    if (strcmp(name, PORT_NAME) != 0) continue;
    snprintf(path, sizeof path, "/dev/%s", entry->d_name);
    fd = open(path, O_RDWR | O_CLOEXEC);
  }
  closedir(ports);
  return fd;
}

static void send_all(const char* data, size_t size) {
  while (size > 0) {
    ssize_t sent = write(port, data, size);
    if (sent < 0 && errno != EINTR && errno != EAGAIN) fail("write to the host");
    if (sent > 0) {
      data += sent;
      size -= (size_t)sent;
    }
  }
}

__attribute__((format(printf, 1, 2))) static void send_line(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  send_all(line, (size_t)size);
}

static void send_output(unsigned number, const unsigned char* data, size_t size) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char* frame = allocate(64 + (size + 2) / 3 * 4);
  size_t at = (size_t)sprintf(frame, "OUT %u ", number);
  for (size_t i = 0; i < size; i += 3) {
    unsigned long group = (unsigned long)data[i] << 16;
    if (i + 1 < size) group |= (unsigned long)data[i + 1] << 8;
    if (i + 2 < size) group |= data[i + 2];
    frame[at++] = digits[group >> 18];
    frame[at++] = digits[group >> 12 & 63];
    frame[at++] = i + 1 < size ? digits[group >> 6 & 63] : '=';
    frame[at++] = i + 2 < size ? digits[group & 63] : '=';
  }
  frame[at++] = '\n';
  send_all(frame, at);
  free(frame);
}

// Decodes in place; returns the size. Characters outside the alphabet (padding) are skipped.
static size_t decode(char* text) {
  size_t size = 0;
  unsigned bits = 0;
  unsigned long group = 0;
  for (const char* c = text; *c; c++) {
    int value = *c >= 'A' && *c <= 'Z'   ? *c - 'A'
                : *c >= 'a' && *c <= 'z' ? *c - 'a' + 26
                : *c >= '0' && *c <= '9' ? *c - '0' + 52
                : *c == '+'              ? 62
                : *c == '/'              ? 63
                                         : -1;
    if (value < 0) continue;
    group = group << 6 | (unsigned long)value;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      text[size++] = (char)(group >> bits & 255);
    }
  }
  text[size] = '\0';
  return size;
}

// A file without a name that holds the command's input.
static int input_file(const char* data, size_t size) {
  if (size == 0) return open("/dev/null", O_RDONLY | O_CLOEXEC);
  int fd = open("/run", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  while (size > 0) {
    ssize_t written = write(fd, data, size);
    if (written < 0) {
      close(fd);
      return -1;
    }
    data += written;
    size -= (size_t)written;
  }
  lseek(fd, 0, SEEK_SET);
  return fd;
}

static void run(unsigned number, const char* text, const char* input, size_t input_size) {
  struct command* command = NULL;
  for (size_t i = 0; i < MAX_COMMANDS && !command; i++)
    if (commands[i].number == 0) command = &commands[i];
  int output[2] = {-1, -1};
  int in = command ? input_file(input, input_size) : -1;
  if (!command || in < 0 || pipe2(output, O_CLOEXEC) < 0) {
    static const char refusal[] = "agent: too many commands at once, or no room for the input\n";
    send_output(number, (const unsigned char*)refusal, sizeof refusal - 1);
    send_line("EXIT %u 125\n", number);
    if (in >= 0) close(in);
    return;
  }
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    setsid();
    dup2(in, STDIN_FILENO);
    dup2(output[1], STDOUT_FILENO);
    dup2(output[1], STDERR_FILENO);
    // The command starts with the signals that a login's would.
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execl("/bin/bash", "bash", "-c", text, (char*)NULL);
    _exit(127);
  }
  close(in);
  close(output[1]);
  *command = (struct command){.number = number, .pid = pid, .output = output[0]};
}

static void handle_line(char* line) {
  char* rest = NULL;
  const char* verb = strtok_r(line, " ", &rest);
  const char* id = strtok_r(NULL, " ", &rest);
  const char* number_text = strtok_r(NULL, " ", &rest);
  if (!verb || !id || !number_text || strcmp(id, boot_id) != 0) return;
  unsigned number = (unsigned)strtoul(number_text, NULL, 10);
  if (strcmp(verb, "KILL") == 0) {
    for (size_t i = 0; i < MAX_COMMANDS; i++)
      if (commands[i].number == number) kill(-commands[i].pid, SIGKILL);
  } else if (strcmp(verb, "RUN") == 0) {
    char* text = strtok_r(NULL, " ", &rest);
    char* input = strtok_r(NULL, " ", &rest);
    if (!text || !input) return;
    size_t size = strcmp(input, "-") == 0 ? 0 : decode(input);
    decode(text);
    run(number, text, input, size);
  }
}

static void read_output(struct command* command) {
  static unsigned char chunk[CHUNK];
  ssize_t size = read(command->output, chunk, sizeof chunk);
  if (size > 0) {
    send_output(command->number, chunk, (size_t)size);
  } else if (size == 0 || (errno != EINTR && errno != EAGAIN)) {
    close(command->output);
    command->output = -1;
  }
}

// A command has ended when its shell has: what it left in the background may keep the pipe open.
static void reap(void) {
  for (size_t i = 0; i < MAX_COMMANDS; i++) {
    struct command* command = &commands[i];
    int status;
    if (command->number == 0 || waitpid(command->pid, &status, WNOHANG) != command->pid) continue;
    if (command->output >= 0) {
      fcntl(command->output, F_SETFL, O_NONBLOCK);
      struct pollfd more = {.fd = command->output, .events = POLLIN};
      while (command->output >= 0 && poll(&more, 1, 0) > 0) read_output(command);
      if (command->output >= 0) close(command->output);
    }
    send_line("EXIT %u %d\n", command->number,
              WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    command->number = 0;
  }
}

static void child_ended(int signal_number) { (void)signal_number; }

int main(void) {
  // Started before most of user space, and meant to be there until the kernel is left.
  for (int tries = 0; (port = open_port()) < 0; tries++) {
    if (tries == 1000) fail("no virtio port named " PORT_NAME);
    usleep(10000);
  }
  FILE* file = fopen("/proc/sys/kernel/random/boot_id", "re");
  if (!file || !fgets(boot_id, sizeof boot_id, file)) fail("boot_id");
  fclose(file);
  boot_id[strcspn(boot_id, "\n")] = '\0';

  // SIGCHLD is let in only while ppoll() waits, so that no child's end is missed.
  struct sigaction on_child = {.sa_handler = child_ended};
  sigset_t blocked;
  sigset_t waiting;
  sigaction(SIGCHLD, &on_child, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  sigprocmask(SIG_BLOCK, &blocked, &waiting);
  sigdelset(&waiting, SIGCHLD);

  struct utsname system_name;
  struct timespec now;
  uname(&system_name);
  clock_gettime(CLOCK_BOOTTIME, &now);
  send_line("\nHELLO %s %s %lld.%06ld\n", boot_id, system_name.release, (long long)now.tv_sec,
            now.tv_nsec / 1000);

  size_t capacity = 65536;
  size_t filled = 0;
  char* buffer = allocate(capacity);
  for (;;) {
    struct pollfd waits[1 + MAX_COMMANDS];
    waits[0] = (struct pollfd){.fd = port, .events = POLLIN};
    for (size_t i = 0; i < MAX_COMMANDS; i++)
      waits[1 + i] =
          (struct pollfd){.fd = commands[i].number ? commands[i].output : -1, .events = POLLIN};
    int ready = ppoll(waits, 1 + MAX_COMMANDS, NULL, &waiting);
    if (ready > 0) {
      for (size_t i = 0; i < MAX_COMMANDS; i++)
        if (waits[1 + i].revents) read_output(&commands[i]);
      if (waits[0].revents & POLLIN) {
        if (filled + 1 == capacity) {
          capacity *= 2;
          buffer = realloc(buffer, capacity);
          if (!buffer) fail("realloc");
        }
        ssize_t size = read(port, buffer + filled, capacity - filled - 1);
        if (size > 0) filled += (size_t)size;
        buffer[filled] = '\0';
        char* line = buffer;
        for (char* end; (end = memchr(line, '\n', filled - (size_t)(line - buffer)));) {
          *end = '\0';
          handle_line(line);
          line = end + 1;
        }
        filled -= (size_t)(line - buffer);
        memmove(buffer, line, filled);
      } else if (waits[0].revents & POLLHUP) {
        usleep(100000);  // no host at the other end
      }
    }
    reap();
  }
}
