// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chaos_plan.h"

#include <algorithm>
#include <array>
#include <random>

namespace handover::test {

namespace {

using std::chrono::milliseconds;
using Kind = Deed::Kind;
using Random = std::mt19937_64;

constexpr std::array kinds = {"veto",       "veto_at_length",     "be_silent",    "be_late",
                              "leave",      "leave_for_a_moment", "enroll_again", "end_session",
                              "die",        "bring_another",      "keep_more",    "need_each_other",
                              "need_nobody"};
constexpr std::array wishes = {"update", "prepare_then_update", "prepare_then_cancel",
                               "update_and_cancel", "update_and_kill"};
constexpr std::array calls = {Call::prepare, Call::freeze, Call::restore, Call::thaw, Call::cancel};

/// As mt19937_64 itself, the same with every standard library.
std::size_t below(Random& random, std::size_t end) { return random() % end; }
bool in_percent(Random& random, std::size_t chance) { return below(random, 100) < chance; }

Round::Wish wish_of(Random& random) {
  const auto roll = below(random, 100);
  if (roll < 60) return Round::Wish::update;
  if (roll < 70) return Round::Wish::prepare_then_update;
  if (roll < 80) return Round::Wish::prepare_then_cancel;
  if (roll < 95) return Round::Wish::update_and_cancel;
  return Round::Wish::update_and_kill;
}

}  // namespace

Round round_of(std::uint64_t seed, std::size_t number, std::size_t clients) {
  constexpr std::size_t share = 10;
  constexpr std::size_t longest_msec = 400;
  Random random(seed * 1'000'003 + number);
  Round round;
  round.wish = wish_of(random);
  round.when = milliseconds(below(random, longest_msec));
  // A required culprit ends the update, so there is none in most rounds, or only later ones.
  const bool harsh = in_percent(random, 30);
  const auto first_call = harsh ? below(random, 3) : 0;
  const bool hopeless = in_percent(random, 5);
  // For who does not come back the claim time is the last word, and that is long.
  const bool patient = in_percent(random, 5);
  while (round.culprits.size() < std::max<std::size_t>(clients / share, 1)) {
    Deed deed;
    deed.kind = static_cast<Kind>(below(random, kinds.size() - (hopeless ? 0 : 1)));
    deed.call = calls[first_call + below(random, calls.size() - first_call)];
    deed.delay = milliseconds(below(random, longest_msec));
    deed.required = harsh && in_percent(random, 30);
    if (!patient) {
      constexpr std::size_t soon_msec = 100;
      const bool goes_missing = deed.kind == Kind::be_silent || deed.kind == Kind::leave ||
                                deed.kind == Kind::veto || deed.kind == Kind::veto_at_length;
      if (goes_missing && deed.call == Call::restore) deed.kind = Kind::leave_for_a_moment;
      if (deed.kind == Kind::die) deed.delay %= soon_msec;
    }
    round.culprits.emplace(below(random, clients), deed);
  }
  return round;
}

std::vector<std::size_t> needs_of(std::uint64_t seed, std::size_t client) {
  constexpr std::size_t most = 3;
  Random random(seed * 1'000'003 + client);
  std::vector<std::size_t> needs;
  if (client == 0 || !in_percent(random, 30)) return needs;
  for (auto left = 1 + below(random, most); left > 0; --left) {
    const auto need = below(random, client);
    if (std::find(needs.begin(), needs.end(), need) == needs.end()) needs.push_back(need);
  }
  return needs;
}

std::string to_string(Round::Wish wish) { return wishes[static_cast<std::size_t>(wish)]; }

std::string to_string(const Round& round) {
  std::string text = to_string(round.wish);
  text += " (" + std::to_string(round.when.count()) + " ms)";
  for (const auto& [client, deed] : round.culprits) {
    text += "; c" + std::to_string(client) + " " + kinds[static_cast<std::size_t>(deed.kind)] +
            " in " + to_string(deed.call) + (deed.required ? ", required" : "") + ", " +
            std::to_string(deed.delay.count()) + " ms";
  }
  return text;
}

}  // namespace handover::test
