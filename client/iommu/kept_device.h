// SPDX-License-Identifier: LGPL-2.1-or-later
// The device with its memory and its DMA map, as handover-iommu keeps it for COMMAND.
#pragma once

#include <handover/handover.hpp>
#include <optional>
#include <string>
#include <vector>

#include "address_space.h"
#include "common/kept.h"
#include "config.h"
#include "control.h"
#include "pci.h"
#include "record.h"
#include "vfio_device.h"

namespace handover::iommu {

class KeptDevice : public common::Kept {
 public:
  /// `inherited`: what we were started with (LISTEN_FDS), by name.
  KeptDevice(Config config, std::vector<common::Handed> inherited);

  [[nodiscard]] std::string what() const override { return "the device and its DMA map"; }
  client::Result<void> open(sd_event* event) override;
  client::Result<bool> ready() override;
  client::Result<void> make() override;
  std::vector<common::Preservation::Item> items() override;
  void prepare(client::Session& session) override;
  client::Result<void> retrieve(client::Session& session) override;
  client::Result<void> compare(client::Session& session) override;
  client::Result<void> renew() override;
  void hand_over(common::Start& start) override;
  client::Result<void> quiesce() override;
  client::Result<void> resume() override;
  [[nodiscard]] std::string status() const override { return status_; }

 private:
  client::Result<void> find_memories(std::vector<Memory>& memories, client::Session* session);
  client::Result<void> open_device();
  client::Result<void> take_limits();
  [[nodiscard]] client::Error too_small(const std::string& wanted) const;
  void tell_of_changes() const;
  client::Result<void> check_reach();
  client::Result<void> rebuild();
  client::Result<void> retrieve_from_kernel(client::Session& session);

  client::Result<void> serve(const Request& request);
  client::Result<void> map(const std::vector<Mapping>& mappings);
  client::Result<void> unmap(const std::vector<Mapping>& mappings);
  client::Result<void> map_one(const Mapping& mapping);
  client::Result<void> map_recorded(const Mapping& mapping);
  void note(const std::string& how, std::uint64_t map_usec);

  Config config_;
  std::vector<common::Handed> inherited_;
  PciDevice pci_;
  Control control_;
  std::vector<client::Fd> memories_;  ///< in the order of record_.memories()
  Record record_;
  Limits limits_;
  std::optional<AddressSpace> space_;
  std::optional<VfioDevice> device_;
  std::uint64_t attach_usec_ = 0;
  std::optional<std::uint64_t> device_deadline_;  ///< CLOCK_MONOTONIC; none: not looked for yet
  bool quiesced_ = false;
  std::string status_;
};

}  // namespace handover::iommu
