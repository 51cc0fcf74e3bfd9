// SPDX-License-Identifier: LGPL-2.1-or-later
// update, prepare: a job followed to its end, over a restart of the daemon's.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string_view>

#include "commands.h"
#include "format.h"
#include "history.h"
#include "notice.h"
#include "progress.h"
#include "signals.h"
#include "table.h"

namespace handover::ctl {
namespace {

// How long a daemon may be away in the middle of an update before we stop waiting for it.
constexpr std::uint64_t longest_absence_usec = 120'000'000;

struct End {
  std::string result;  ///< as JobRemoved has it: "done", "cancelled", "failed"; "left": not ended
  std::string reason;
};

class Follower {
 public:
  Follower(Context context, const UpdateRequest& request)
      : context_(context),
        request_(request),
        manager_(context.connection),
        progress_(context.json || context.quiet),
        signals_(context.connection, [this](sd_bus_message* message) { on_signal(message); }) {}

  client::Result<End> run();
  /// The newest record before we began, to tell the new one from it.
  [[nodiscard]] std::uint64_t last_id() const { return last_id_; }

 private:
  void on_signal(sd_bus_message* message);
  void on_job_changed(sd_bus_message* message);
  void on_client_changed(sd_bus_message* message);
  void show();
  client::Result<void> look_again();
  void pass_on_interrupts();

  Context context_;
  const UpdateRequest& request_;
  Manager manager_;
  Progress progress_;
  Signals signals_;
  std::uint64_t last_id_ = 0;
  std::string job_;  ///< path, once the daemon has answered
  JobStatus shown_;
  std::set<std::string> awaited_;  ///< clients that are at something
  std::optional<End> end_;
  std::optional<client::Error> refused_;
  int interrupts_passed_on_ = 0;
};

void Follower::on_signal(sd_bus_message* message) {
  if (sd_bus_message_is_signal(message, "org.freedesktop.DBus.Properties", "PropertiesChanged")) {
    on_job_changed(message);
  } else if (sd_bus_message_is_signal(message, "org.handover1.Manager", "ClientChanged")) {
    on_client_changed(message);
  } else if (sd_bus_message_is_signal(message, "org.handover1.Manager", "JobRemoved")) {
    std::uint32_t id = 0;
    const char* job = nullptr;
    const char* result = nullptr;
    const char* reason = nullptr;
    if (sd_bus_message_read(message, "uoss", &id, &job, &result, &reason) < 0) return;
    // Before the answer to our call there is no job of ours, and its error says all.
    if (job_ == job) end_ = End{result, reason};
  } else if (sd_bus_message_is_signal(message, "org.handover1.Manager", "StateLost")) {
    const char* session = nullptr;
    const char* client = nullptr;
    const char* reason = nullptr;
    if (sd_bus_message_read(message, "sss", &session, &client, &reason) < 0) return;
    progress_.say("Lost: session '" + std::string(session) + "': " + reason);
  }
}

void Follower::on_job_changed(sd_bus_message* message) {
  const char* interface = nullptr;
  if (sd_bus_message_read(message, "s", &interface) < 0) return;
  if (std::string_view(interface) != "org.handover1.Job") return;
  Properties changed;
  if (read_properties(message, &changed) < 0) return;
  if (changed.count("Phase") != 0) shown_.phase = property<std::string>(changed, "Phase");
  if (changed.count("Detail") != 0) shown_.detail = property<std::string>(changed, "Detail");
  if (changed.count("Progress") != 0)
    shown_.progress = property<std::uint64_t>(changed, "Progress");
  show();
}

void Follower::on_client_changed(sd_bus_message* message) {
  const char* name = nullptr;
  const char* phase = nullptr;
  if (sd_bus_message_read(message, "ss", &name, &phase) < 0) return;
  const std::string_view now = phase;
  const bool busy =
      now == "preparing" || now == "freezing" || now == "thawing" || now == "restoring";
  if (busy ? awaited_.insert(name).second : awaited_.erase(name) > 0) show();
}

void Follower::show() {
  if (shown_.phase.empty()) return;
  progress_.show(shown_.phase, shown_.progress,
                 shown_.detail + Progress::waiting_for({awaited_.begin(), awaited_.end()}));
}

/// The daemon is another one: did the update end while nobody listened?
client::Result<void> Follower::look_again() {
  auto status = manager_.status();
  if (!status) return status.error();
  if (status->current_job != "/") {
    job_ = status->current_job;
    return {};
  }
  auto history = manager_.history(1);
  if (!history) return history.error();
  if (!history->empty() && json_number(history->front(), "id") > last_id_) {
    const std::string outcome = json_text(history->front(), "outcome");
    const bool rehearse = request_.kind == UpdateRequest::Kind::rehearse;
    const bool done =
        outcome == "done" || outcome == "done-with-losses" || (rehearse && outcome == "rehearsed");
    end_ = End{done ? "done" : outcome, json_text(history->front(), "reason")};
  } else if (status->state == "prepared" && request_.kind == UpdateRequest::Kind::prepare) {
    end_ = End{"done", ""};
  } else if (status->state == "normal") {
    end_ = End{"failed", "handoverd was restarted and knows nothing of the update."};
  }
  return {};
}

void Follower::pass_on_interrupts() {
  if (interrupts() == interrupts_passed_on_) return;
  interrupts_passed_on_ = interrupts();
  if (interrupts_passed_on_ > 1) {
    end_ = End{"left", "Interrupted again; 'handoverctl status' shows what becomes of it."};
    return;
  }
  progress_.say("Cancelling. Interrupt again to leave the update alone.");
  auto cancelled = manager_.cancel();
  // Another interrupt may have ended the wait for the answer; it says more than that.
  const bool again = interrupts() != interrupts_passed_on_;
  if (!cancelled && !again) progress_.say(cancelled.error().message);
}

client::Result<End> Follower::run() {
  auto history = manager_.history(1);
  if (!history) return history.error();
  if (!history->empty()) last_id_ = json_number(history->front(), "id");
  if (auto subscribed = signals_.subscribe(); !subscribed) return subscribed.error();
  catch_interrupts();

  bool answered = false;
  std::function<void(client::Result<std::string>)> on_answer =
      [&](const client::Result<std::string>& answer) {
        answered = true;
        if (answer) {
          job_ = answer.value();
        } else {
          refused_ = answer.error();
        }
      };
  auto slot = manager_.request(request_, &on_answer);
  if (!slot) return slot.error();

  std::uint64_t absent_usec = 0;
  bool look = false;
  while (!end_) {
    auto back = signals_.wait(Signals::poll_usec);
    if (!back) return back.error();
    if (refused_) {
      // A daemon that went away with our call unanswered may have been on its way already.
      const bool gone =
          refused_->is(SD_BUS_ERROR_NO_REPLY) || refused_->is(SD_BUS_ERROR_DISCONNECTED);
      if (!gone) return *refused_;
      refused_.reset();
    }
    look = look || *back;
    if (!context_.connection.connected()) {
      absent_usec += Signals::poll_usec;
      if (absent_usec > longest_absence_usec) {
        return client::Error{SD_BUS_ERROR_DISCONNECTED,
                             "handoverd went away in the middle of the update.", 0};
      }
      continue;
    }
    absent_usec = 0;
    if (look && !end_) {
      if (auto looked = look_again()) look = false;
    }
    pass_on_interrupts();
  }
  progress_.clear();
  return *end_;
}

/// How a sentence about its end begins.
const char* subject_of(UpdateRequest::Kind kind) {
  switch (kind) {
    case UpdateRequest::Kind::prepare:
      return "Preparing the update";
    case UpdateRequest::Kind::rehearse:
      return "The rehearsal";
    case UpdateRequest::Kind::update:
      break;
  }
  return "The update";
}

}  // namespace

Outcome update(Context context, const UpdateRequest& request) {
  Follower follower(context, request);
  auto end = follower.run();
  if (!end) return end.error();

  nlohmann::json entry;
  if (auto history = Manager(context.connection).history(1)) {
    if (!history->empty() && json_number(history->front(), "id") > follower.last_id()) {
      entry = history->front();
    }
  }
  const bool lossy = json_text(entry, "outcome") == "done-with-losses";
  if (context.json) {
    nlohmann::json document = {{"result", end->result}, {"reason", end->reason}};
    // Beside the sentence what a program can act on; the record has them if they apply.
    for (const char* key : {"error", "client", "call"}) {
      if (const auto text = json_text(entry, key); !text.empty()) document[key] = text;
    }
    if (entry.is_object()) document["update"] = entry;
    print_json(document);
  } else if (end->result == "done") {
    const bool prepared = request.kind == UpdateRequest::Kind::prepare;
    if (entry.is_object() && !prepared) {
      fputs(history_entry(entry, output_width()).c_str(), stdout);
      if (request.kind == UpdateRequest::Kind::rehearse) {
        puts("\n'handoverctl update' goes on from here, 'handoverctl cancel' undoes it.");
      }
    } else if (prepared) {
      puts("Prepared. 'handoverctl update' goes on, 'handoverctl cancel' undoes it.");
    }
  }
  if (end->result == "done" && !lossy) return ExitCode::ok;

  const std::string what = subject_of(request.kind);
  const auto complain = [&](const std::string& text) {
    // With it, the document has said it.
    if (context.json) return;
    fprintf(stderr, "handoverctl: %s: %s\n", text.c_str(), one_line(end->reason).c_str());
  };
  if (lossy) {
    complain("The update is done, but state was lost");
    return ExitCode::failed;
  }
  if (end->result == "cancelled") {
    complain(what + " was cancelled");
    return ExitCode::cancelled;
  }
  if (end->result == "left") {
    complain(what + " was left alone");
    return ExitCode::left;
  }
  complain(what + " failed");
  return ExitCode::update_failed;
}

Outcome begin_update(Context context, const UpdateRequest& request) {
  std::optional<client::Result<std::string>> job;
  std::function<void(client::Result<std::string>)> on_answer =
      [&](client::Result<std::string> answer) { job.emplace(std::move(answer)); };
  auto slot = Manager(context.connection).request(request, &on_answer);
  if (!slot) return slot.error();
  {
    const Notice notice;
    while (!job) {
      const int r = context.connection.wait(Signals::poll_usec);
      if (r < 0 && r != -EINTR) return bus_error(r, nullptr);
    }
  }
  if (!*job) return job->error();
  const auto& path = job->value();
  const auto id = path.substr(path.rfind('/') + 1);
  if (context.json) {
    print_json({{"id", std::strtoull(id.c_str(), nullptr, 10)}, {"job", path}});
  } else {
    puts(id.c_str());
  }
  return ExitCode::ok;
}

}  // namespace handover::ctl
