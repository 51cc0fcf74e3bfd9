// SPDX-License-Identifier: LGPL-2.1-or-later
// The log: its ring, what happens when nobody reads, and the journal's protocol with a socket that
// stands for journald.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <set>
#include <system_error>
#include <thread>

#include "core/unique_fd.h"
#include "log_capture.h"
#include "support/temporary_directory.h"
#include "system/log.h"
#include "system/log_ring.h"

namespace handover::log::test {

using handover::test::has_field;
using handover::test::LogCapture;
using handover::test::TemporaryDirectory;

namespace {

constexpr std::uint64_t patience = 60'000'000;
using namespace std::string_literals;

Line line(const std::string& text, Level level = Level::info) {
  Line made;
  made.level = level;
  made.text = text;
  return made;
}

/// A reader that takes nothing until it is told to.
class Reader {
 public:
  Sink sink() {
    return [this](const Line& one) {
      if (!reads_) return Taken::later;
      const std::lock_guard lock(mutex_);
      texts_.push_back(one.text);
      fields_.push_back(one.fields);
      return Taken::yes;
    };
  }
  void read() { reads_ = true; }
  std::vector<std::string> texts() {
    const std::lock_guard lock(mutex_);
    return texts_;
  }
  std::vector<std::vector<std::string>> fields() {
    const std::lock_guard lock(mutex_);
    return fields_;
  }

 private:
  std::atomic<bool> reads_ = false;
  std::mutex mutex_;
  std::vector<std::string> texts_;
  std::vector<std::vector<std::string>> fields_;
};

TEST(LogRing, KeepsLinesForAReaderThatComesLate) {
  Reader reader;
  Ring ring(reader.sink());
  ring.push(line("one"));
  ring.push(line("two"));
  EXPECT_FALSE(ring.flush(20'000)) << "the flush is bounded";
  EXPECT_EQ(ring.waiting(), 2U);
  reader.read();
  EXPECT_TRUE(ring.flush(patience));
  EXPECT_EQ(reader.texts(), (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(ring.waiting(), 0U);
  EXPECT_EQ(ring.dropped(), 0U);
}

TEST(LogRing, DropsTheNewestAndSaysSoWhereTheGapIs) {
  Reader reader;
  Ring ring(reader.sink(), {12, 1 << 20});
  for (int i = 0; i < 13; ++i) ring.push(line("line " + std::to_string(i)));
  EXPECT_EQ(ring.dropped(), 4U) << "three quarters of the ring are for lines below error";
  ring.push(line("error", Level::error));
  ring.push(line("critical", Level::critical));
  reader.read();
  ASSERT_TRUE(ring.flush(patience));
  const auto texts = reader.texts();
  ASSERT_EQ(texts.size(), 12U);
  EXPECT_EQ(texts[8], "line 8");
  EXPECT_NE(texts[9].find("dropped here"), std::string::npos) << texts[9];
  EXPECT_EQ(reader.fields()[9],
            (std::vector<std::string>{
                "MESSAGE_ID="s + std::string(info_of(Id::lines_dropped).message_id), "COUNT=4"}));
  EXPECT_EQ(texts[10], "error");
  EXPECT_EQ(texts[11], "critical");
}

TEST(LogRing, SaysSoAlsoIfNoLineFollows) {
  Reader reader;
  Ring ring(reader.sink(), {4, 1 << 20});
  for (int i = 0; i < 5; ++i) ring.push(line("line"));
  reader.read();
  ASSERT_TRUE(ring.flush(patience));
  ASSERT_TRUE(ring.flush(patience));  // the note is written behind what was flushed
  ASSERT_EQ(reader.texts().size(), 4U);
  EXPECT_NE(reader.texts()[3].find("dropped here"), std::string::npos);
}

TEST(LogRing, IsBoundedInBytes) {
  Reader reader;
  Ring ring(reader.sink(), {4096, 100'000});
  for (int i = 0; i < 100; ++i) ring.push(line(std::string(10'000, 'x'), Level::error));
  EXPECT_EQ(ring.waiting(), 9U);
  EXPECT_EQ(ring.dropped(), 91U);
}

TEST(LogRing, NeverWaitsForAReaderThatHangs) {
  std::atomic<bool> go_on = false;
  Ring ring(
      [&](const Line&) {
        while (!go_on) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return Taken::yes;
      },
      {100, 1 << 20});
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 10'000; ++i) ring.push(line("line"));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(30));
  EXPECT_GE(ring.dropped(), 9900U);
  go_on = true;
  EXPECT_TRUE(ring.flush(patience));
}

TEST(LogRing, TellsOfAWholeGapByOneLine) {
  Reader reader;
  std::atomic<int> most = 1;
  Ring ring(
      [&, sink = reader.sink()](const Line& one) {
        if (most == 0) return Taken::later;
        --most;
        return sink(one);
      },
      {100, 1 << 20});
  reader.read();
  // The reader takes a line now and then; meanwhile ten come for each.
  for (int i = 0; i < 1000; ++i) {
    ring.push(line("line"));
    if (i % 10 == 0) {
      ++most;
      ring.flush(0);
    }
  }
  most = 1000;
  ASSERT_TRUE(ring.flush(patience));
  ASSERT_TRUE(ring.flush(patience));
  unsigned told = 0;
  for (const auto& text : reader.texts()) told += text != "line" ? 1 : 0;
  EXPECT_LE(told, 10U);
  EXPECT_GE(told, 1U);
}

TEST(LogRing, GoesOnWithTheNextLineAfterOneThatCannotBeWritten) {
  std::mutex mutex;
  std::vector<std::string> texts;
  Ring ring([&](const Line& one) {
    if (one.text == "bad") return Taken::never;
    if (one.text == "worse") throw std::bad_alloc();
    const std::lock_guard lock(mutex);
    texts.push_back(one.text);
    return Taken::yes;
  });
  for (const char* text : {"bad", "worse", "good"}) ring.push(line(text));
  ASSERT_TRUE(ring.flush(patience));
  const std::lock_guard lock(mutex);
  EXPECT_EQ(texts, std::vector<std::string>{"good"});
  EXPECT_EQ(ring.dropped(), 2U);
}

TEST(LogRing, GoesOnAfterItsThreadWasEnded) {
  Reader reader;
  Ring ring(reader.sink());
  ring.push(line("kept"));
  ring.finish(10'000);
  EXPECT_EQ(ring.waiting(), 1U) << "its reader is not there: the thread goes on";
  reader.read();
  for (int i = 0; i < 100; ++i) {
    ring.finish(patience);
    ring.push(line(std::to_string(i)));
  }
  ASSERT_TRUE(ring.flush(patience));
  EXPECT_EQ(reader.texts().size(), 101U);

  // Others may write in that very moment.
  std::thread writing([&ring] {
    for (int i = 0; i < 1000; ++i) ring.push(line("more"));
  });
  for (int i = 0; i < 100; ++i) ring.finish(patience);
  writing.join();
  ASSERT_TRUE(ring.flush(patience));
  EXPECT_EQ(reader.texts().size(), 1101U);
}

TEST(LogRing, TakesLinesOfManyThreads) {
  Reader reader;
  reader.read();
  Ring ring(reader.sink(), {100'000, 1 << 26});
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&ring, thread] {
      for (int i = 0; i < 1000; ++i) {
        ring.push(line(std::to_string(thread) + "." + std::to_string(i)));
        if (i % 100 == 0) ring.flush(1000);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_TRUE(ring.flush(patience));
  const auto texts = reader.texts();
  EXPECT_EQ(texts.size(), 4000U);
  EXPECT_EQ(std::set<std::string>(texts.begin(), texts.end()).size(), 4000U);
}

TEST(Log, LetsThroughWhatItsLevelSays) {
  const LogCapture capture;
  EXPECT_EQ(level_name(), "info");
  debug("hidden");
  info("shown ", 1, " and ", std::string("two"));
  EXPECT_TRUE(set_level("notice"));
  EXPECT_EQ(level_name(), "info");
  EXPECT_TRUE(set_level("alert"));
  EXPECT_EQ(level_name(), "crit");
  error("hidden");
  event(Id::client_left, Level::error, {{Field::client, "hidden"}}, "hidden");
  critical("shown");
  EXPECT_FALSE(set_level("loud"));
  EXPECT_TRUE(set_level("debug"));
  debug("shown");
  EXPECT_TRUE(set_level("info"));
  const auto lines = capture.lines();
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0].text, "shown 1 and two");
  EXPECT_EQ(lines[1].level, Level::critical);
  EXPECT_EQ(lines[2].level, Level::debug);
}

TEST(Log, CutsWhatIsTooLongBetweenCharacters) {
  const LogCapture capture;
  std::string text;
  while (text.size() < 100'000) text += "ä€";
  info(text);
  event(Id::client_left, Level::info, {{Field::client, text}}, "Left.");
  const auto lines = capture.lines();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_LE(lines[0].text.size(), 8192U);
  EXPECT_GE(lines[0].text.size(), 8180U);
  EXPECT_TRUE(lines[0].text.ends_with("…"));
  const std::string kept = lines[0].text.substr(0, lines[0].text.size() - std::string("…").size());
  EXPECT_TRUE(kept.ends_with("ä") || kept.ends_with("€"));
  EXPECT_LE(lines[1].fields.at(1).size(), 512 + std::string("CLIENT=").size());
}

TEST(Log, GivesAnEventItsIdAndTheFieldsThatAreKnown) {
  const LogCapture capture;
  event(Id::update_finished, Level::info,
        {{Field::update, 7}, {Field::code, "done"}, {Field::usec, ""}}, "Update ", 7, " is over.");
  const auto lines = capture.lines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].text, "Update 7 is over.");
  EXPECT_GT(lines[0].boottime_usec, 0U);
  EXPECT_EQ(lines[0].fields.size(), 3U);
  EXPECT_TRUE(has_field(lines[0], "MESSAGE_ID=a9f4829fb51e4dd280450b4e40526dd4"));
  EXPECT_TRUE(has_field(lines[0], "UPDATE=7"));
  EXPECT_TRUE(has_field(lines[0], "CODE=done"));
}

TEST(Log, NamesTheUpdateThatRunsInEveryEvent) {
  const LogCapture capture;
  set_update(7);
  event(Id::client_left, Level::info, {{Field::client, "db"}}, "Left.");
  event(Id::update_finished, Level::info, {{Field::update, 6}, {Field::code, "done"}}, "Over.");
  info("No event.");
  set_update(0);
  event(Id::client_left, Level::info, {{Field::client, "db"}}, "Left.");
  const auto lines = capture.lines();
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_TRUE(has_field(lines[0], "UPDATE=7"));
  EXPECT_EQ(lines[0].fields.size(), 3U);
  EXPECT_TRUE(has_field(lines[1], "UPDATE=6"));
  EXPECT_FALSE(has_field(lines[1], "UPDATE=7"));
  EXPECT_TRUE(lines[2].fields.empty());
  EXPECT_FALSE(has_field(lines[3], "UPDATE=7"));
}

TEST(Log, WorksInTheChildOfAFork) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer allows no thread in the child of a process with threads";
#endif
  const LogCapture capture;
  info("parent");
  ASSERT_TRUE(flush(patience));  // the capture's own lock is free now
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    info("child");
    const bool flushed = flush(patience);
    ::_exit(flushed ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  ASSERT_EQ(capture.lines().size(), 1U) << "the child's lines are the child's";
}

/// A journald that can be slow.
class Journald {
 public:
  explicit Journald(const std::string& path)
      : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
      throw std::system_error(errno, std::generic_category(), path);
    }
  }
  /// "" if there is none.
  std::string receive() {
    char datagram[65536];
    const ssize_t got = ::recv(socket_.get(), datagram, sizeof(datagram), 0);
    return got < 0 ? "" : std::string(datagram, static_cast<std::size_t>(got));
  }

 private:
  UniqueFd socket_;
};

TEST(JournalSink, SpeaksTheNativeProtocol) {
  TemporaryDirectory directory;
  Journald journald(directory.path("socket"));
  const Sink sink = journal_sink(directory.path("socket"));
  Line one = line("It broke.", Level::warning);
  one.boottime_usec = 12;
  one.fields = {"MESSAGE_ID=ab", "CLIENT=c"};
  EXPECT_EQ(sink(one), Taken::yes);
  EXPECT_EQ(journald.receive(),
            "MESSAGE=It broke.\nPRIORITY=4\nSYSLOG_IDENTIFIER=handoverd\nTIMESTAMP_BOOTTIME=12\n"
            "MESSAGE_ID=ab\nCLIENT=c\n");
  EXPECT_EQ(sink(line("a\nPRIORITY=0", Level::debug)), Taken::yes);
  EXPECT_EQ(journald.receive(),
            "MESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\nPRIORITY=7\nSYSLOG_IDENTIFIER=handoverd\n"s)
      << "a text must not smuggle a field in";
}

TEST(JournalSink, WaitsForAJournaldThatIsNotThereOrDoesNotRead) {
  TemporaryDirectory directory;
  Ring ring(journal_sink(directory.path("socket")));
  ring.push(line("before"));
  EXPECT_FALSE(ring.flush(10'000));
  Journald journald(directory.path("socket"));
  EXPECT_TRUE(ring.flush(patience));
  EXPECT_TRUE(journald.receive().starts_with("MESSAGE=before\n"));

  // More than the socket's queue takes (net.unix.max_dgram_qlen): write() goes on all the same.
  int count = 0;
  for (; count < 3000; ++count) ring.push(line(std::to_string(count)));
  if (ring.flush(100'000)) GTEST_SKIP() << "this machine's sockets take 3,000 datagrams";
  std::thread reading([&] {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(patience);
    for (int read = 0; read < count && std::chrono::steady_clock::now() < deadline;) {
      const std::string datagram = journald.receive();
      if (datagram.empty()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      EXPECT_TRUE(datagram.starts_with("MESSAGE=" + std::to_string(read) + "\n")) << datagram;
      ++read;
    }
  });
  EXPECT_TRUE(ring.flush(patience));
  reading.join();
  EXPECT_EQ(ring.dropped(), 0U);
}

TEST(StderrSink, WritesOneLine) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const UniqueFd saved(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10));
  ASSERT_GE(::dup2(write_end.get(), STDERR_FILENO), 0);
  write_end.reset();
  const Taken taken = stderr_sink()(line("two\nlines", Level::error));
  ::dup2(saved.get(), STDERR_FILENO);
  EXPECT_EQ(taken, Taken::yes);
  char text[100] = {};
  EXPECT_GT(::read(read_end.get(), text, sizeof(text) - 1), 0);
  EXPECT_STREQ(text, "handoverd: error: two lines\n");
}

}  // namespace
}  // namespace handover::log::test
