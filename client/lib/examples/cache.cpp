// SPDX-License-Identifier: LGPL-2.1-or-later
// A cache whose memory survives kernel updates, its own crashes and those of the daemon; it never
// waits for the daemon, so that it serves while its memory is being preserved.
//
//   c++ -std=c++17 cache.cpp -o cache $(pkg-config --cflags --libs libhandover) && ./cache photos
//
// It takes "put KEY VALUE" and "get KEY" on standard input. The argument is the name of the client
// and of its session.
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <handover/handover.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

namespace client = handover::client;

constexpr std::uint64_t token = 1;

/// What survives. It is whole at any instant: a line counts when `used` says so, which is written
/// last.
class Memory {
 public:
  static constexpr std::size_t bytes = std::size_t{1} << 20U;

  /// Empty if it cannot be mapped.
  static std::optional<Memory> of(client::Fd fd) {
    void* const mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (mapped == MAP_FAILED) return std::nullopt;
    return Memory(std::move(fd), static_cast<Contents*>(mapped));
  }
  static std::optional<Memory> make(const std::string& name) {
    client::Fd fd(memfd_create(name.c_str(), MFD_CLOEXEC));
    if (!fd || ftruncate(fd.get(), bytes) < 0) return std::nullopt;
    return of(std::move(fd));
  }

  [[nodiscard]] int fd() const { return fd_.get(); }
  bool put(std::string_view line) {
    const auto used = contents_->used.load();
    if (line.size() + 1 > sizeof(contents_->lines) - used) return false;
    std::memcpy(contents_->lines + used, line.data(), line.size());
    contents_->lines[used + line.size()] = '\n';
    contents_->used = used + line.size() + 1;
    return true;
  }
  [[nodiscard]] std::string get(const std::string& key) const {
    const std::string_view lines(contents_->lines, contents_->used);
    const auto wanted = key + " ";
    std::string found = "-";
    for (std::size_t at = 0; at < lines.size();) {
      const auto end = lines.find('\n', at);
      const auto line = lines.substr(at, end - at);
      if (line.substr(0, wanted.size()) == wanted) found = line.substr(wanted.size());
      at = end + 1;
    }
    return found;
  }

 private:
  struct Contents {
    std::atomic<std::size_t> used;
    char lines[bytes - sizeof(std::size_t)];  // "KEY VALUE\n" each, the latest of a key counts
  };
  struct Unmap {
    void operator()(Contents* contents) const { munmap(contents, bytes); }
  };
  Memory(client::Fd fd, Contents* contents) : fd_(std::move(fd)), contents_(contents) {}

  client::Fd fd_;
  std::unique_ptr<Contents, Unmap> contents_;
};

class Cache {
 public:
  explicit Cache(std::string name) : name_(std::move(name)) {}

  int run();

 private:
  void begin(client::Client::State state);
  void preserve();
  void preserve_anew(const client::Error& taken);
  void preserved(const client::Result<void>& done);
  void retrieve(const std::function<void(const client::Result<void>&)>& then);
  void answer_prepare();
  void restore(client::Call call);
  bool read_command();

  std::string name_;
  std::optional<Memory> memory_;  ///< empty: it is not here yet
  bool begun_ = false;
  bool preserved_ = false;  ///< the daemon holds it, as far as we know
  bool frozen_ = false;
  std::string reason_;                     ///< why it is not preserved
  std::optional<client::Call> preparing_;  ///< waits until the memory is preserved
  std::optional<client::Session> session_;
  // In this order: operations end before the client, and that before the connection.
  std::optional<client::Connection> connection_;
  std::optional<client::Client> client_;
  std::optional<client::Operation> operation_;  ///< the one that is under way
  bool busy_ = false;
};

/// Registered for the first time: there is no memory yet, or an earlier process of ours left it, or
/// Restore will bring the earlier kernel's.
void Cache::begin(client::Client::State state) {
  if (std::exchange(begun_, true) || state == HANDOVER_CLIENT_RESTORING) return;
  retrieve([this](const client::Result<void>& found) {
    if (found) {
      preserved_ = true;
      std::puts("found again");
    } else if (found.error().is("NoSuchSession") || found.error().is("NoSuchToken")) {
      memory_ = Memory::make(name_);
      preserve();
    } else {
      std::fprintf(stderr, "%s: %s\n", name_.c_str(), found.error().message.c_str());
    }
    if (memory_) std::puts("ready");
  });
}

/// Has the daemon hold the memory: a session, and the memory in it.
void Cache::preserve() {
  if (busy_ || preserved_ || !memory_) return;
  busy_ = true;
  auto operation = connection_->create_session_async(
      name_, "", name_, [this](client::Result<client::Session> made) {
        if (!made && made.error().is("NameTaken")) return preserve_anew(made.error());
        if (!made) return preserved(made.error());
        session_.emplace(std::move(*made));
        auto next = session_->preserve_async(
            token, memory_->fd(), [this](const client::Result<void>& done) { preserved(done); });
        if (!next) return preserved(next.error());
        operation_.emplace(std::move(*next));
      });
  if (!operation) return preserved(operation.error());
  operation_.emplace(std::move(*operation));
}

/// A session of ours that holds nothing is in the way: an earlier process died before the memory
/// was in it.
void Cache::preserve_anew(const client::Error& taken) {
  auto session = connection_->get_session(name_);
  if (!session) return preserved(session.error());
  session_.emplace(std::move(*session));
  auto listed =
      session_->tokens_async([this, taken](client::Result<std::vector<client::Token>> held) {
        if (!held || !held->empty()) return preserved(taken);
        auto discarded = session_->discard_async([this](const client::Result<void>& done) {
          if (!done) return preserved(done.error());
          busy_ = false;
          preserve();
        });
        if (!discarded) return preserved(discarded.error());
        operation_.emplace(std::move(*discarded));
      });
  if (!listed) return preserved(listed.error());
  operation_.emplace(std::move(*listed));
}

void Cache::preserved(const client::Result<void>& done) {
  busy_ = false;
  preserved_ = static_cast<bool>(done);
  reason_ = done ? "" : done.error().message;
  answer_prepare();
}

void Cache::answer_prepare() {
  if (busy_ || !preparing_) return;
  if (preserved_) {
    preparing_->done();
  } else {
    preparing_->fail(reason_);  // better no update than a loss
  }
  preparing_.reset();
}

/// What is preserved in the session, whether this kernel or an earlier process preserved it.
void Cache::retrieve(const std::function<void(const client::Result<void>&)>& then) {
  auto session = connection_->get_session(name_);
  if (!session) return then(session.error());
  session_.emplace(std::move(*session));
  auto operation = session_->retrieve_async(token, [this, then](client::Result<client::Fd> fd) {
    if (!fd) return then(fd.error());
    memory_ = Memory::of(std::move(*fd));
    then(memory_ ? client::Result<void>()
                 : client::Error{"", "The memory cannot be mapped.", ENOMEM});
  });
  if (!operation) return then(operation.error());
  operation_.emplace(std::move(*operation));
}

/// In the new kernel.
void Cache::restore(client::Call call) {
  auto held = std::make_shared<client::Call>(std::move(call));
  busy_ = false;  // what was under way was meant for the earlier kernel
  retrieve([this, held](const client::Result<void>& found) {
    if (!found) {
      held->fail(found.error().message);
      return;
    }
    std::printf("restored in generation %llu\n",
                static_cast<unsigned long long>(held->generation()));
    frozen_ = false;
    preserved_ = false;  // with the answer the session of the earlier kernel ends
    held->done();
  });
}

bool Cache::read_command() {
  std::string line;
  if (!std::getline(std::cin, line)) return false;
  if (line.rfind("put ", 0) == 0 && line.find(' ', 4) != std::string::npos) {
    std::puts(memory_->put(std::string_view(line).substr(4)) ? "ok" : "full");
  } else if (line.rfind("get ", 0) == 0) {
    std::puts(memory_->get(line.substr(4)).c_str());
  } else {
    std::puts("put KEY VALUE or get KEY");
  }
  return true;
}

int Cache::run() {
  // For as long as it takes: early in the new kernel we may be there before the daemon is.
  auto connection =
      client::Connection::open_async({0, UINT64_MAX, nullptr}, [](const auto& opened) {
        if (!opened) std::fprintf(stderr, "%s\n", opened.error().message.c_str());
      });
  if (!connection) return 1;
  connection_.emplace(std::move(*connection));

  client::Client::Callbacks callbacks;
  callbacks.prepare = [this](client::Call call) {
    preparing_.emplace(std::move(call));
    preserve();
    answer_prepare();
  };
  callbacks.freeze = [this](client::Call call) {
    frozen_ = true;  // no more commands are taken: nothing is written from here on
    call.done();
  };
  callbacks.thaw = [this](client::Call call) {
    frozen_ = false;
    call.done();
  };
  callbacks.restore = [this](client::Call call) { restore(std::move(call)); };
  callbacks.registered = [this](client::Client::State state) { begin(state); };
  callbacks.session_lost = [this](const std::string&) { preserved_ = false; };
  auto made = client::Client::register_async(*connection_, name_, {}, std::move(callbacks));
  if (!made) {
    std::fprintf(stderr, "%s: %s\n", name_.c_str(), made.error().message.c_str());
    return 1;
  }
  client_.emplace(std::move(*made));

  pollfd waits[] = {{connection_->fd(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
  for (;;) {
    if (connection_->process() < 0) return 1;
    if (!frozen_) preserve();
    waits[1].fd = frozen_ || !memory_ ? -1 : STDIN_FILENO;
    waits[1].revents = 0;
    if (poll(waits, 2, preserved_ || !memory_ ? -1 : 200) < 0 && errno != EINTR) return 1;
    if ((waits[1].revents & (POLLIN | POLLHUP)) == 0) continue;
    if (!read_command()) return 0;
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdin, nullptr, _IONBF, 0);  // what is read ahead would hide from poll()
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  return Cache(argc > 1 ? argv[1] : "cache").run();
}
