// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/manifest_change.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/checksum.h"
#include "core/manifest_fields.h"

namespace handover {

template <typename Io, Of<HeadChange> Record>
void fields(Io& io, Record& head) {
  io.required("state", head.state);
  io.required("generation", head.generation);
  io.required("next_id", head.next_id);
  io.optional("resting", head.resting);
  io.optional("unwritten", head.unwritten);
  io.optional("trial", head.trial);
  io.optional("watchdog", head.watchdog);
  io.optional("lost", head.lost);
}

template <typename Io, Of<RestingChange> Record>
void fields(Io& io, Record& change) {
  io.required("session", change.session);
}

template <typename Io, Of<SessionChange> Record>
void fields(Io& io, Record& change) {
  own_fields(io, change.session);
  io.rest(change.session.extra);
}

template <typename Io, Of<SessionGone> Record>
void fields(Io& io, Record& gone) {
  io.required("id", gone.id);
}

template <typename Io, Of<TokenChange> Record>
void fields(Io& io, Record& change) {
  io.required("session", change.session);
  io.required("record", change.token);
}

template <typename Io, Of<TokenGone> Record>
void fields(Io& io, Record& gone) {
  io.required("session", gone.session);
  io.required("token", gone.token);
}

template <typename Io, Of<ClientChange> Record>
void fields(Io& io, Record& change) {
  fields(io, change.client);
}

template <typename Io, Of<ClientGone> Record>
void fields(Io& io, Record& gone) {
  io.name("name", gone.name);
}

template <typename Io, Of<UpdateChange> Record>
void fields(Io& io, Record& change) {
  constexpr bool writes = std::is_const_v<Record>;
  bool over = writes && !change.update;
  io.optional("over", over);
  if constexpr (!writes) {
    if (!over) change.update.emplace();
  }
  if (over) return;
  auto& update = *change.update;
  own_fields(io, update);
  io.object("timeline", [&](auto& inner) {
    own_fields(inner, update.timeline);
    inner.rest(update.timeline.extra);
  });
  io.rest(update.extra);
}

template <typename Io, Of<TimesChange> Record>
void fields(Io& io, Record& change) {
  io.name("client", change.client);
  io.required("times", change.times);
}

template <typename Io, Of<LossChange> Record>
void fields(Io& io, Record& change) {
  io.required("sentence", change.sentence);
}

template <typename Io, Of<LeftOutChange> Record>
void fields(Io& io, Record& change) {
  fields(io, change.left_out);
}

template <typename Io, Of<LateLossChange> Record>
void fields(Io& io, Record& change) {
  io.required("sentence", change.sentence);
}

template <typename Io, Of<LateLossesWritten> Record>
void fields(Io& /*io*/, Record& /*change*/) {}

template <typename Io, Of<InAgainChange> Record>
void fields(Io& io, Record& change) {
  io.required("client", change.client);
}

namespace {

/// The JSON of a change is an object with one field, named for its kind. In the order of Change.
constexpr auto kinds = std::to_array<std::string_view>(
    {"head", "resting", "session", "session_gone", "token", "token_gone", "client", "client_gone",
     "update", "times", "loss", "left_out", "in_again", "late_loss", "late_losses_written"});
static_assert(kinds.size() == std::variant_size_v<Change>);

/// Applies changes to a manifest. Each takes the same time, however many records there are.
class Applier {
 public:
  explicit Applier(Manifest& manifest) : manifest_(manifest) {
    for (std::size_t i = 0; i < manifest.sessions.size(); ++i) {
      sessions_.emplace(manifest.sessions[i].id, i);
    }
    for (std::size_t i = 0; i < manifest.clients.size(); ++i) {
      clients_.emplace(manifest.clients[i].name, i);
    }
  }
  Applier(const Applier&) = delete;
  Applier& operator=(const Applier&) = delete;
  /// Removes the records that are gone. Once for all, since it moves all others.
  ~Applier() {
    drop(manifest_.sessions, gone_sessions_);
    drop(manifest_.clients, gone_clients_);
  }

  void operator()(HeadChange change) {
    manifest_.state = change.state;
    manifest_.generation = change.generation;
    manifest_.next_id = change.next_id;
    manifest_.resting = std::move(change.resting);
    manifest_.unwritten = std::move(change.unwritten);
    manifest_.trial = std::move(change.trial);
    manifest_.watchdog = std::move(change.watchdog);
    manifest_.lost = std::move(change.lost);
  }
  void operator()(RestingChange change) { manifest_.resting.push_back(std::move(change.session)); }
  void operator()(SessionChange change) {
    auto& session = change.session;
    session.tokens.clear();
    if (SessionRecord* const known = session_of(session.id)) {
      session.tokens = std::move(known->tokens);
      *known = std::move(session);
    } else {
      sessions_.emplace(session.id, manifest_.sessions.size());
      manifest_.sessions.push_back(std::move(session));
    }
  }
  void operator()(SessionGone gone) {
    if (auto known = sessions_.extract(gone.id)) gone_sessions_.insert(known.mapped());
  }
  void operator()(TokenChange change) {
    SessionRecord* const session = session_of(change.session);
    if (session == nullptr) return;
    const auto at = token_at(*session, change.token.token);
    if (at != session->tokens.end() && at->token == change.token.token) {
      *at = std::move(change.token);
    } else {
      session->tokens.insert(at, std::move(change.token));
    }
  }
  void operator()(TokenGone gone) {
    SessionRecord* const session = session_of(gone.session);
    if (session == nullptr) return;
    const auto at = token_at(*session, gone.token);
    if (at != session->tokens.end() && at->token == gone.token) session->tokens.erase(at);
  }
  void operator()(ClientChange change) {
    const auto [known, added] = clients_.emplace(change.client.name, manifest_.clients.size());
    if (added) {
      manifest_.clients.push_back(std::move(change.client));
    } else {
      manifest_.clients[known->second] = std::move(change.client);
    }
  }
  void operator()(const ClientGone& gone) {
    if (auto known = clients_.extract(gone.name)) gone_clients_.insert(known.mapped());
  }
  void operator()(UpdateChange change) {
    auto& known = manifest_.update;
    if (change.update) {
      auto& update = *change.update;
      const bool same = known && known->id == update.id;
      UpdateRecord none;
      UpdateRecord& keep = same ? *known : none;
      update.timeline.clients = std::move(keep.timeline.clients);
      update.losses = std::move(keep.losses);
      update.left_out = std::move(keep.left_out);
    }
    known = std::move(change.update);
  }
  void operator()(TimesChange change) {
    if (!manifest_.update) return;
    manifest_.update->timeline.clients.insert_or_assign(std::move(change.client),
                                                        std::move(change.times));
  }
  void operator()(LossChange change) {
    if (manifest_.update) manifest_.update->losses.push_back(std::move(change.sentence));
  }
  void operator()(LeftOutChange change) {
    if (manifest_.update) manifest_.update->left_out.push_back(std::move(change.left_out));
  }
  void operator()(const InAgainChange& change) {
    if (!manifest_.update) return;
    std::erase_if(manifest_.update->left_out,
                  [&](const LeftOut& left) { return left.client == change.client; });
  }
  void operator()(LateLossChange change) {
    manifest_.late_losses.push_back(std::move(change.sentence));
  }
  void operator()(LateLossesWritten /*written*/) { manifest_.late_losses.clear(); }

 private:
  SessionRecord* session_of(std::uint64_t id) {
    const auto known = sessions_.find(id);
    return known == sessions_.end() ? nullptr : &manifest_.sessions[known->second];
  }
  static std::vector<TokenRecord>::iterator token_at(SessionRecord& session, std::uint64_t token) {
    return std::lower_bound(
        session.tokens.begin(), session.tokens.end(), token,
        [](const TokenRecord& have, std::uint64_t want) { return have.token < want; });
  }
  template <typename Record>
  static void drop(std::vector<Record>& records, const std::unordered_set<std::size_t>& gone) {
    if (gone.empty()) return;
    std::vector<Record> left;
    left.reserve(records.size() - gone.size());
    for (std::size_t i = 0; i < records.size(); ++i) {
      if (!gone.contains(i)) left.push_back(std::move(records[i]));
    }
    records = std::move(left);
  }

  Manifest& manifest_;
  std::unordered_map<std::uint64_t, std::size_t> sessions_;  ///< id → index in the manifest
  std::unordered_map<std::string, std::size_t> clients_;
  std::unordered_set<std::size_t> gone_sessions_;
  std::unordered_set<std::size_t> gone_clients_;
};

/// Reads the change of kind `kinds[index]`; false if there is none of that kind.
template <std::size_t index>
bool read_kind(FieldReader& reader, std::optional<Change>& out) {
  if (!reader.has(kinds[index])) return false;
  reader.required(kinds[index], std::get<index>(out.emplace(std::in_place_index<index>)));
  return true;
}

/// Absent: this version does not know the kind.
Result<std::optional<Change>> read_change(std::string_view json) {
  auto document = parse_json(json, ErrorCode::manifest_invalid);
  if (!document) return fail(document.error());
  FieldReader reader(std::move(*document), "");
  std::optional<Change> change;
  [&]<std::size_t... index>(std::index_sequence<index...>) {
    (void)(read_kind<index>(reader, change) || ...);
  }
  (std::make_index_sequence<kinds.size()>());
  if (reader.error()) return fail(ErrorCode::manifest_invalid, describe(*reader.error()));
  return change;
}

/// Takes a number and the blank behind it from the start of `text`. Only as std::to_string() writes
/// it.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop == end || *stop != ' ') return std::nullopt;
  const auto length = static_cast<std::size_t>(stop - text.data());
  if (text.front() == '0' && length > 1) return std::nullopt;
  text.remove_prefix(length + 1);
  return number;
}

/// Takes a line from the start of `text` and returns its JSON. nullopt: it is cut, garbled, or has
/// another number.
std::optional<std::string_view> take_line(std::string_view& text, std::uint64_t sequence) {
  std::string_view rest = text;
  if (!rest.starts_with('+')) return std::nullopt;
  rest.remove_prefix(1);
  if (take_number(rest) != sequence) return std::nullopt;
  const auto bytes = take_number(rest);
  if (!bytes || rest.size() < checksum_digits + 1 || rest[checksum_digits] != ' ') {
    return std::nullopt;
  }
  const std::string_view expected = rest.substr(0, checksum_digits);
  rest.remove_prefix(checksum_digits + 1);
  if (rest.size() <= *bytes || rest[*bytes] != '\n') return std::nullopt;
  const std::string_view json = rest.substr(0, *bytes);
  if (checksum(json) != expected) return std::nullopt;
  text = rest.substr(*bytes + 1);
  return json;
}

}  // namespace

SessionChange change_of(const SessionRecord& session) {
  SessionChange change;
  SessionRecord& copy = change.session;
  copy.id = session.id;
  copy.name = session.name;
  copy.keeper = session.keeper;
  copy.client = session.client;
  copy.owner = session.owner;
  copy.cgroup = session.cgroup;
  copy.incoming = session.incoming;
  copy.ending = session.ending;
  copy.degraded = session.degraded;
  copy.opened = session.opened;
  copy.luo_opened = session.luo_opened;
  copy.luo_claimed = session.luo_claimed;
  copy.extra = session.extra;
  return change;
}

UpdateChange change_of(const std::optional<UpdateRecord>& update) {
  UpdateChange change;
  if (!update) return change;
  UpdateRecord& copy = change.update.emplace();
  copy.id = update->id;
  copy.mode = update->mode;
  copy.kernel = update->kernel;
  copy.kernel_release = update->kernel_release;
  copy.image = update->image;
  copy.entry = update->entry;
  copy.from_release = update->from_release;
  copy.requested_by = update->requested_by;
  copy.overruled = update->overruled;
  copy.rehearsal = update->rehearsal;
  copy.timeline.ticks_per_second = update->timeline.ticks_per_second;
  copy.timeline.marks = update->timeline.marks;
  copy.timeline.extra = update->timeline.extra;
  copy.extra = update->extra;
  return change;
}

std::string serialize(const std::vector<Change>& changes, std::uint64_t sequence) {
  std::string text;
  std::string json;
  for (const Change& change : changes) {
    json.clear();
    FieldWriter writer(json);
    std::visit([&](const auto& one) { writer.required(kinds[change.index()], one); }, change);
    writer.end();
    text += '+';
    text += std::to_string(sequence++);
    text += ' ';
    text += std::to_string(json.size());
    text += ' ';
    text += checksum(json);
    text += ' ';
    text += json;
    text += '\n';
  }
  return text;
}

void apply(Manifest& manifest, const Change& change) {
  Applier applier(manifest);
  std::visit(applier, change);
}

std::size_t apply_lines(Manifest& manifest, std::string_view text) {
  const std::size_t size = text.size();
  Applier applier(manifest);
  for (;;) {
    std::string_view next = text;
    const auto json = take_line(next, manifest.sequence + 1);
    if (!json) break;
    auto change = read_change(*json);
    if (!change) break;
    if (*change) std::visit(applier, std::move(**change));
    ++manifest.sequence;
    text = next;
  }
  return size - text.size();
}

}  // namespace handover
