// SPDX-License-Identifier: LGPL-2.1-or-later
// The sessions: their records, what the kernel holds for them, their copies in the fd store, and
// what their owners are charged for them.
//
// What touches the kernel runs on the pool, each session's calls in its own queue, one after the
// other. The records belong to the loop. A Reply runs in the loop, once, at once or later.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/keepers.h"
#include "core/error.h"
#include "core/manifest.h"
#include "engine/charges.h"
#include "engine/fd_store.h"
#include "engine/host.h"

namespace handover::engine {

template <typename T>
using Reply = std::function<void(Result<T>)>;

/// How a session stands with the kernel.
enum class Standing {
  coming,     ///< it is being made
  adopting,   ///< it is on record; the kernel is being asked for it
  unreached,  ///< the kernel cannot give it now; it is asked again
  here,
  degraded,  ///< here, but the kernel does not hold all of it now; that is tried again
};

class Sessions {
 public:
  struct Held {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
    SessionRecord record;
    Standing standing = Standing::coming;
    std::shared_ptr<backend::Session> kernel;  ///< of its queue; the loop's while nothing works
    /// What was retrieved, by token: the kernel gives it once, and a client may die before it has
    /// made anything of it. Until the session is finished its next start finds it here.
    std::map<std::uint64_t, UniqueFd> given;
    unsigned working = 0;  ///< jobs in its queue
    /// It ends as soon as it is here, and why; "": that is told already.
    std::optional<std::string> to_end;
    bool given_up = false;  ///< lost if the adoption that runs does not reach it
    std::optional<Error> why_unreached;
    std::vector<backend::Adopted::Part> parts;  ///< what came back, until it is adopted

    Charge charge;
    struct TokenCharges {
      Charge descriptor;
      Charge bytes;
    };
    std::map<std::uint64_t, TokenCharges> token_charges;
    std::set<std::uint64_t> preserving;
    std::map<std::uint64_t, std::vector<Reply<UniqueFd>>> retrieving;
    /// Run when it is here, or gone.
    std::vector<std::function<void()>> when_here;
    /// Run when its name is free again.
    std::vector<std::function<void()>> when_gone;
  };
  using Table = std::map<std::string, Held>;

  /// Who is told of what happens to sessions, in the loop.
  class Watch {
   public:
    virtual ~Watch() = default;
    /// Its record has changed: to be written down.
    virtual void session_noted(std::uint64_t id) = 0;
    /// What was noted must be on record before the kernel is told.
    virtual void write_down() = 0;
    virtual void token_noted(const Held& held, std::uint64_t token) = 0;
    /// A session that was unreached or degraded is whole.
    virtual void session_whole(const Held& held) = 0;
    virtual void session_degraded(const Held& held, const std::string& why) = 0;
    virtual void session_unreached(const Held& held) = 0;
    virtual void session_gone(const SessionRecord& record) = 0;
    /// State is lost; the sentence says which.
    virtual void lost(const SessionRecord& record, std::optional<std::uint64_t> token,
                      const std::string& sentence) = 0;
    /// Its adoption has come to an end: it is here, or gone.
    virtual void session_settled(const std::string& name, const std::string& client) = 0;
    /// The last job of all sessions has ended.
    virtual void sessions_idle() = 0;
    /// finishing() is over, with this turn of the loop.
    virtual void finishes_over() = 0;
  };

  Sessions(Host& host, backend::Keepers keepers, Ledger& ledger, Watch& watch);
  ~Sessions();

  // ---- what there is
  [[nodiscard]] const Table& all() const { return sessions_; }
  [[nodiscard]] const Held* find(const std::string& name) const;
  [[nodiscard]] const Held* find(std::uint64_t id) const;
  /// no_such_session; access_denied unless `caller` may use it.
  Result<Held*> find(const std::string& name, const Owner& caller);
  /// As find(), for its owner; busy where it only waits for its end.
  Result<Held*> find_usable(const std::string& name, const Owner& caller);
  /// Whether it is being made or adopted for `caller`, or ended: then `then` runs when that is
  /// over. Its owner's calls have the kernel asked for it first.
  bool wait_for(const std::string& name, const Owner& caller, std::function<void()> then);
  /// The names of a client's sessions.
  [[nodiscard]] const std::set<std::string>& of_client(const std::string& client) const;
  [[nodiscard]] std::vector<std::string> incoming() const;
  [[nodiscard]] std::vector<std::string> in(Standing standing) const;
  /// None is being adopted or out of reach.
  [[nodiscard]] bool settled() const { return unsettled_ == 0; }
  /// Those whose jobs run or wait.
  [[nodiscard]] std::vector<std::string> busy() const;
  /// No job of any session runs or waits.
  [[nodiscard]] bool idle() const { return working_ == 0; }
  /// What the earlier kernel left is being freed somewhere, and may be told as lost.
  [[nodiscard]] bool finishing() const { return finishing_ != 0; }
  /// Large descriptors whose memory is charged to the daemon, in place of their owners.
  [[nodiscard]] std::uint64_t charged_here() const { return charged_here_; }
  [[nodiscard]] Keeper main_keeper() const { return keepers_.main; }
  [[nodiscard]] bool has(Keeper keeper) const { return keepers_.by.contains(keeper); }
  [[nodiscard]] std::vector<std::string> keeper_names() const;
  /// As it was seen last, without a call to the kernel.
  [[nodiscard]] std::optional<backend::Module> module() const {
    return keepers_.module ? keepers_.module() : std::nullopt;
  }
  [[nodiscard]] std::vector<std::string> resting() const;
  [[nodiscard]] backend::Keepers& keepers() { return keepers_; }
  [[nodiscard]] FdStore& fd_store() { return fd_store_; }
  [[nodiscard]] const FdStore& fd_store() const { return fd_store_; }

  // ---- what their owners do with them
  struct Spec {
    std::uint64_t id = 0;
    std::string name;
    Owner owner;
    std::string cgroup;
    std::optional<Keeper> keeper;
    std::string client;
    bool can_wait = false;  ///< its owner runs: while put_off(true), it is not made
  };
  void create(Spec spec, Reply<void> done);
  /// Whether those that can wait to be made or finished do so, each for two seconds at most. They
  /// are on record from the start, new ones as `coming`.
  void put_off(bool wait);
  void preserve(Held& held, std::uint64_t token, UniqueFd fd, bool blob,
                std::optional<Keeper> keeper, const std::string& cgroup, Reply<void> done);
  void unpreserve(Held& held, std::uint64_t token, Reply<void> done);
  /// Of an incoming session; of an outgoing one a duplicate, and it stays preserved.
  void retrieve(Held& held, std::uint64_t token, const std::string& cgroup, Reply<UniqueFd> done);
  /// A descriptor of the tracker's session for its owner; from now on refresh() looks there.
  void open_tracker(Held& held, Reply<UniqueFd> done);
  /// A descriptor of LUO's session for its owner. From now on the session is never made anew, so
  /// that nothing can be unpreserved; and it can have tokens that no record names.
  void open_luo(Held& held, Reply<UniqueFd> done);
  /// Ends an incoming session: the tokens that nobody retrieved are freed, and named. `can_wait`:
  /// its owner runs, so that while put_off(true) the kernel is not asked.
  void finish(Held& held, bool can_wait, Reply<std::vector<std::uint64_t>> done);
  /// Ends an outgoing session.
  void discard(Held& held, Reply<void> done);

  /// Takes into the records what owners preserved and retrieved in the tracker by themselves, and
  /// goes on: at once where there is nothing to look at, else later. nullptr: it has ended.
  void refresh(Held& held, std::function<void(Held*)> then);
  void refresh_all(std::function<void()> then);

  // ---- an update
  /// Whether collapsing its memory would help, and how many bytes of it.
  [[nodiscard]] static std::uint64_t bytes_to_collapse(const SessionRecord& record);
  /// Lets the kernel go of it, collapses its memory, and has it preserved again. What cannot be
  /// collapsed stays as it is.
  void collapse(Held& held, std::function<void(std::uint64_t)> progress,
                const std::atomic<bool>& cancel, Reply<Collapse> done);
  /// Before an orderly kexec: leaves only the kernel's sessions in the fd store. systemd >= 261
  /// would preserve the descriptors beside them a second time, be refused, and say that they are
  /// lost.
  void store_sessions_only();
  /// Undoes it.
  void store_everything();

  // ---- a new process of the daemon
  /// What is on record, with what came back from the fd store for it. They are adopted in this
  /// order.
  void expect(std::vector<SessionRecord> records,
              std::map<std::uint64_t, std::vector<backend::Adopted::Part>> parts);
  /// Asks the kernel for those that are expected.
  void adopt();
  /// Asks again for those that are unreached, and mends those that are degraded.
  void try_again();
  /// Nobody waits for the unreached any longer: each is told as a loss. One that is being asked for
  /// at this instant is, if it does not come.
  void give_up_unreached();
  /// Parts of the fd store for the emulated kexec. Only while idle().
  [[nodiscard]] std::vector<NamedDescriptor> duplicate_all() const;

 private:
  [[nodiscard]] static Queue queue_of(const Held& held) { return session_queues + held.record.id; }
  [[nodiscard]] Held* find_by_id(std::uint64_t id);
  [[nodiscard]] static std::string prefix_of(const Held& held) {
    return FdStore::prefix_of(held.record.id);
  }
  /// Runs `job` in the session's queue; `then` in the loop, with the session if it is there still.
  template <typename T>
  void work(Held& held, std::function<T()> job, std::function<void(Held*, T)> then);
  [[nodiscard]] static bool will_be_gone(const Held& held);
  void begin_or_put_off(bool can_wait, std::function<void()> begin);
  void begin_put_off(std::uint64_t waited_usec);
  void watch_put_off();
  void make(Held& held, const std::shared_ptr<backend::Backend>& backend, Reply<void> done);
  void tell_charged_here(const std::string& warning);
  void have_finished(Held& held, Reply<std::vector<std::uint64_t>> done);
  struct Found {
    backend::Adoption adoption;
    std::vector<backend::Descriptor> there;
    bool whole = true;
  };
  void keep_anyway(const std::string& prefix, const backend::Session& kernel);
  void give_back(Held& held, std::uint64_t token, Reply<UniqueFd> done);
  void adopt_one(Held& held);
  void take_over(Held& held, Found found);
  void tell_settled(Held& held);
  void lose(Held& held, const std::string& why);
  void lost(Held& held, const std::string& why);
  void set_standing(Held& held, Standing standing);
  void erase(Held& held);
  void charge_anyway(Held& held);
  /// The record tells what the tracker holds.
  void take_in(Held& held, const std::vector<backend::Descriptor>& there);
  void add_token(Held& held, TokenRecord token);
  void drop_token(Held& held, std::uint64_t token);
  /// After a change that may have gone wrong: losses are told, and what is left is known.
  void look_after(Held& held, const std::vector<backend::Loss>& losses, bool whole,
                  const std::string& why);
  [[nodiscard]] backend::Limits kernel_limits(const Owner& owner) const;
  void schedule_again();

  Host& host_;
  backend::Keepers keepers_;
  Ledger& ledger_;
  Watch& watch_;
  FdStore fd_store_;
  Table sessions_;
  std::map<std::uint64_t, std::string> names_;              ///< by id
  std::map<std::string, std::set<std::string>> by_client_;  ///< names of sessions
  std::vector<std::uint64_t> expected_;
  bool putting_off_ = false;
  struct PutOff {
    Ticks since = 0;
    std::function<void()> begin;  ///< has a session made, or finished
  };
  std::deque<PutOff> put_off_;
  Host::Alarm put_off_alarm_;
  std::size_t unsettled_ = 0;
  std::size_t working_ = 0;
  std::size_t finishing_ = 0;
  std::uint64_t charged_here_ = 0;
  Host::Alarm again_;
  std::uint64_t again_usec_ = 0;
  std::shared_ptr<void> device_;  ///< stays open while sessions are being adopted
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< jobs may end after us
};

}  // namespace handover::engine
