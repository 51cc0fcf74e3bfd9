// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kept_device.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "common/file.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/memory_file.h"

namespace handover::iommu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t table_token = 1;
constexpr std::uint64_t iommufd_token = 2;
constexpr std::uint64_t device_token = 3;

using common::say;

std::uint64_t usec_since(Clock::time_point begin) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count());
}

std::string milliseconds(std::uint64_t usec) {
  const auto tenths = (usec + 50) / 100;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " ms";
}

/// By LUO and nobody else: of a backend that keeps descriptors without the kernel (the emulated
/// one) the device would have nothing.
client::Result<void> preserve_in_luo(client::Session& session, std::uint64_t token, int fd) {
  auto kept = session.preserve_in("luo", token, fd);
  // Since an earlier update, which was cancelled.
  if (!kept && kept.error().is("TokenTaken")) return {};
  return kept;
}

/// Nothing loads these by itself: the device is no vfio-pci's by its id. What fails here shows when
/// the driver is missed; where it is built in, there may be no modprobe at all.
void load_modules() {
  std::string program = "modprobe";
  std::string quiet = "--quiet";
  std::string module = "vfio-pci";  // which brings vfio and iommufd
  char* arguments[] = {program.data(), quiet.data(), module.data(), nullptr};
  pid_t child = 0;
  if (posix_spawnp(&child, "modprobe", nullptr, nullptr, arguments, environ) != 0) return;
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

KeptDevice::KeptDevice(Config config, std::vector<common::Handed> inherited)
    : config_(std::move(config)), inherited_(std::move(inherited)), pci_(config_.device) {}

client::Result<void> KeptDevice::open(sd_event* event) {
  return control_.open(event, [this](const Request& request) { return serve(request); });
}

// ---- first start, and the next kernel -----------------------------------------------------------

/// In early boot the bus may not have been looked through yet, or another driver may let it go.
client::Result<bool> KeptDevice::ready() {
  if (!device_deadline_) {
    load_modules();
    device_deadline_ = common::now_usec() + config_.device_wait_usec;
  }
  auto there = pci_.check(config_.take_from);
  if (there) return true;
  if (common::now_usec() >= *device_deadline_) return there.error();
  return false;
}

client::Result<void> KeptDevice::make() {
  auto memories = config_.memories;
  if (auto found = find_memories(memories, nullptr); !found) return found;
  if (auto opened = open_device(); !opened) return opened;
  const TableHead head{config_.device, false, space_->id()};
  if (auto made = record_.make(head, memories, config_.most_mappings); !made) return made;
  const auto mapping = Clock::now();
  if (auto mapped = map(config_.mappings); !mapped) return mapped;
  note("New", usec_since(mapping));
  return {};
}

/// First the device, without which nothing goes on: as long as only it fails, memory and record
/// stay in the session, for the next start. Then the record, and the memory last.
client::Result<void> KeptDevice::retrieve(client::Session& session) {
  auto tokens = session.tokens();
  if (!tokens) return tokens.error();
  bool carried = std::any_of(tokens->begin(), tokens->end(),
                             [](const auto& held) { return held.token == device_token; });
  if (!carried) {
    if (auto opened = open_device(); !opened) return opened;
  }
  auto table = session.retrieve(table_token);
  if (!table) return table.error();
  if (auto loaded = record_.load(std::move(*table)); !loaded) return loaded;
  if (carried) {
    if (auto taken = retrieve_from_kernel(session); !taken) {
      say(SD_WARNING, "The kernel did not give the device back, so the map is rebuilt: " +
                          taken.error().message);
      carried = false;
      if (auto opened = open_device(); !opened) return opened;
    }
  }
  if (auto reached = check_reach(); !reached) return reached;
  tell_of_changes();
  auto memories = record_.memories();
  if (auto found = find_memories(memories, &session); !found) return found;
  if (memories != record_.memories()) {
    return client::Error{"", "A memory came back with another size than it had.", EBADMSG};
  }
  if (!carried) {
    if (auto rebuilt = rebuild(); !rebuilt) return rebuilt;
  }
  auto head = record_.head();
  head.device = config_.device;
  head.ioas = space_->id();
  record_.set_head(head);
  if (!head.bus_master) return {};
  return device_->set_bus_master(true);
}

/// Makes the memories that are ours, or takes them out of the session; finds the others among what
/// we were started with. Their sizes are filled in.
client::Result<void> KeptDevice::find_memories(std::vector<Memory>& memories,
                                               client::Session* session) {
  memories_.clear();
  for (auto& memory : memories) {
    client::Fd file;
    if (memory.token == 0) {
      const auto found =
          std::find_if(inherited_.begin(), inherited_.end(),
                       [&](const common::Handed& handed) { return handed.name == memory.name; });
      if (found == inherited_.end()) {
        return client::Error{"",
                             "The memory '" + memory.name +
                                 "' is not among the descriptors (LISTEN_FDNAMES) that this "
                                 "program was started with.",
                             ENOENT};
      }
      file.reset(fcntl(found->fd, F_DUPFD_CLOEXEC, 3));
      if (!file) return common::errno_error("Cannot duplicate a descriptor");
    } else {
      auto made = session ? session->retrieve(memory.token)
                          : common::make_memory(memory.name, memory.bytes);
      if (!made) return made.error();
      file = std::move(*made);
    }
    auto bytes = common::size_of(file.get());
    if (!bytes) return bytes.error();
    memory.bytes = *bytes;
    memories_.push_back(std::move(file));
  }
  return {};
}

/// The device in an IOAS of its own. It is attached before anything is mapped: an IOAS without a
/// device takes any file, and fails to pin what is no memfd (the companion module's) only when the
/// device comes, too late to map it by address.
client::Result<void> KeptDevice::open_device() {
  device_.reset();  // of an attempt that came to nothing: it can be had once
  space_.reset();
  auto space = AddressSpace::open();
  if (!space) return space.error();
  space_.emplace(std::move(*space));
  if (auto bound = pci_.bind_to_vfio(); !bound) return bound;
  auto name = pci_.vfio_name();
  if (!name) return name.error();
  auto device = VfioDevice::open(*name, *space_);
  if (!device) return device.error();
  device_.emplace(std::move(*device));
  const auto attaching = Clock::now();
  if (auto attached = device_->attach(*space_); !attached) return attached;
  attach_usec_ = usec_since(attaching);
  return take_limits();
}

/// Where mappings may be: what kernel and device allow, and the configuration.
client::Result<void> KeptDevice::take_limits() {
  auto limits = space_->limits();
  if (!limits) return limits.error();
  limits_ = *limits;
  const bool all = config_.iova == Range{};
  if (!all && !contains(limits_.usable, config_.iova)) {
    return too_small("\"iova\" asks for " + hex(config_.iova.first) + "-" + hex(config_.iova.last));
  }
  if (!all) limits_.usable = {config_.iova};
  return {};
}

client::Error KeptDevice::too_small(const std::string& wanted) const {
  return {"",
          "The IOAS of " + config_.device + " is too small: it has " + describe(limits_.usable) +
              ", and " + wanted + ".",
          ERANGE};
}

/// What COMMAND has is what it had, whatever the configuration says now.
void KeptDevice::tell_of_changes() const {
  const auto had = [&](const Memory& memory) {
    return std::any_of(record_.memories().begin(), record_.memories().end(), [&](const auto& one) {
      return one.name == memory.name && (memory.token == 0 || one.bytes == memory.bytes);
    });
  };
  for (const auto& memory : config_.memories) {
    if (had(memory)) continue;
    say(SD_WARNING, "The memory '" + memory.name +
                        "' of the configuration is not as it was made: it takes effect once the "
                        "client was stopped and is started anew.");
  }
  if (config_.memories.size() < record_.memories().size()) {
    say(SD_WARNING,
        "The configuration names fewer memories than there are: they stay until the client is "
        "stopped.");
  }
}

/// Another kernel or another configuration may leave less room than there was.
client::Result<void> KeptDevice::check_reach() {
  for (const auto& [iova, entry] : record_.mappings().entries()) {
    const Mapping& mapping = entry.first;
    if (contains(limits_.usable, {iova, iova + mapping.length - 1})) continue;
    return too_small("the record has a mapping at " + describe(mapping));
  }
  return {};
}

/// Every mapping where it was.
client::Result<void> KeptDevice::rebuild() {
  const auto mapping = Clock::now();
  for (const auto& [iova, entry] : record_.mappings().entries()) {
    if (auto mapped = map_recorded(entry.first); !mapped) return mapped;
  }
  note("Restored", usec_since(mapping));
  return {};
}

void KeptDevice::note(const std::string& how, std::uint64_t map_usec) {
  const auto& mappings = record_.mappings();
  status_ = std::to_string(mappings.size()) + " mappings of " + std::to_string(mappings.bytes()) +
            " bytes, mapped in " + milliseconds(map_usec) + ", attached in " +
            milliseconds(attach_usec_);
  say(SD_INFO, how + ": " + config_.device + " with " + status_ + " (" +
                   std::to_string(space_->mapped_by_file()) + " by file, " +
                   std::to_string(space_->mapped_by_address()) + " by address).");
}

// ---- sessions -----------------------------------------------------------------------------------

std::vector<common::Preservation::Item> KeptDevice::items() {
  std::vector<common::Preservation::Item> items = {{table_token, record_.file()}};
  for (std::size_t i = 0; i < memories_.size(); ++i) {
    const auto token = record_.memories()[i].token;
    if (token != 0) items.push_back({token, memories_[i].get()});  // else its owner preserves it
  }
  return items;
}

/// A kernel may one day take iommufd and device over as they are; then nothing is to be rebuilt.
void KeptDevice::prepare(client::Session& session) {
  auto kept = preserve_in_luo(session, iommufd_token, space_->iommufd());
  if (kept) {
    kept = preserve_in_luo(session, device_token, device_->fd());
    if (!kept) (void)session.unpreserve(iommufd_token);
  }
  say(SD_INFO, kept ? "The kernel itself preserves the device and its DMA map."
                    : "The DMA map will be rebuilt in the next kernel, since this one does not "
                      "preserve it itself: " +
                          kept.error().message);
}

client::Result<void> KeptDevice::retrieve_from_kernel(client::Session& session) {
  auto iommufd = session.retrieve(iommufd_token);
  if (!iommufd) return iommufd.error();
  auto file = session.retrieve(device_token);
  if (!file) return file.error();
  auto space = AddressSpace::adopt(std::move(*iommufd), record_.head().ioas);
  if (!space) return space.error();
  auto device = VfioDevice::adopt(std::move(*file));
  if (!device) return device.error();
  space_.emplace(std::move(*space));
  device_.emplace(std::move(*device));
  say(SD_INFO, "The kernel itself carried the device and its DMA map.");
  return take_limits();
}

client::Result<void> KeptDevice::compare(client::Session& session) {
  for (std::size_t i = 0; i < memories_.size(); ++i) {
    const auto token = record_.memories()[i].token;
    if (token == 0) continue;
    auto memory = session.retrieve(token);
    if (!memory) return memory.error();
    if (auto same = common::check_same_file(memory->get(), memories_[i].get()); !same) return same;
  }
  auto table = session.retrieve(table_token);
  if (!table) return table.error();
  return common::check_same_file(table->get(), record_.file());
}

// ---- COMMAND ------------------------------------------------------------------------------------

/// The next COMMAND finds what it would find after an update: a device that was reset and can do
/// DMA if it could, no interrupt that is still set up, and the map. Nobody has the old descriptors
/// any more.
client::Result<void> KeptDevice::renew() {
  if (auto empty = control_.renew(); !empty) return empty;
  auto head = record_.head();
  auto on = device_->bus_master();
  if (!on) return on.error();
  head.bus_master = *on;
  record_.set_head(head);
  quiesced_ = false;
  if (auto opened = open_device(); !opened) return opened;
  if (auto reached = check_reach(); !reached) return reached;
  if (auto rebuilt = rebuild(); !rebuilt) return rebuilt;
  head.ioas = space_->id();
  record_.set_head(head);
  if (!head.bus_master) return {};
  return device_->set_bus_master(true);
}

void KeptDevice::hand_over(common::Start& start) {
  // The library finds the first three by name, and the memories behind them by their place.
  start.descriptors.push_back({control_.command_end(), "control"});
  start.descriptors.push_back({device_->fd(), "device"});
  start.descriptors.push_back({space_->iommufd(), "iommufd"});
  for (std::size_t i = 0; i < memories_.size(); ++i) {
    start.descriptors.push_back({memories_[i].get(), record_.memories()[i].name});
  }
  start.environment.emplace_back("HANDOVER_IOAS", std::to_string(space_->id()));
  start.environment.emplace_back("HANDOVER_DEVICE", config_.device);
}

client::Result<void> KeptDevice::quiesce() {
  // What COMMAND sent last may wait still: its answer would come from the next kernel, or never.
  control_.hold();
  auto on = device_->bus_master();
  if (!on) return on.error();
  auto head = record_.head();
  head.bus_master = *on;
  record_.set_head(head);
  quiesced_ = true;
  if (!*on) return {};
  return device_->set_bus_master(false);
}

client::Result<void> KeptDevice::resume() {
  control_.go_on();
  if (!quiesced_) return {};
  if (record_.head().bus_master) {
    if (auto on = device_->set_bus_master(true); !on) return on;
  }
  quiesced_ = false;
  return {};
}

client::Result<void> KeptDevice::serve(const Request& request) {
  return request.operation == Request::Operation::map ? map(request.mappings)
                                                      : unmap(request.mappings);
}

/// All of them, or none.
client::Result<void> KeptDevice::map(const std::vector<Mapping>& mappings) {
  for (std::size_t i = 0; i < mappings.size(); ++i) {
    auto mapped = map_one(mappings[i]);
    if (mapped) continue;
    for (std::size_t done = 0; done < i; ++done) {
      if (auto gone = space_->unmap(mappings[done]); !gone) say(SD_ERR, gone.error().message);
      record_.remove(mappings[done].iova);
    }
    return mapped;
  }
  return {};
}

client::Result<void> KeptDevice::map_one(const Mapping& mapping) {
  auto good = record_.mappings().check(mapping, record_.memories(), limits_);
  if (!good) return good;
  // Recorded first: a mapping that nobody recorded would be lost, one that was not made is
  // harmless.
  if (auto added = record_.add(mapping); !added) return added;
  auto mapped = map_recorded(mapping);
  if (!mapped) record_.remove(mapping.iova);
  return mapped;
}

client::Result<void> KeptDevice::map_recorded(const Mapping& mapping) {
  return space_->map(mapping, memories_[mapping.memory].get(),
                     record_.memories()[mapping.memory].bytes);
}

/// All of them are looked for before the first is removed.
client::Result<void> KeptDevice::unmap(const std::vector<Mapping>& mappings) {
  for (const auto& mapping : mappings) {
    auto found = record_.mappings().find(mapping.iova, mapping.length);
    if (!found) return found.error();
  }
  for (const auto& mapping : mappings) {
    // Named twice in one request, it is gone already.
    if (!record_.mappings().find(mapping.iova, mapping.length)) continue;
    if (auto gone = space_->unmap(mapping); !gone) return gone;
    record_.remove(mapping.iova);
  }
  return {};
}

}  // namespace handover::iommu
