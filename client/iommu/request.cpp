// SPDX-License-Identifier: LGPL-2.1-or-later
#include "request.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace handover::iommu {
namespace {

client::Error malformed(const char* why) {
  return {"", std::string("The request is not one: ") + why + ".", EPROTO};
}

}  // namespace

client::Result<Request> parse_request(std::span<const std::byte> packet) {
  handover_iommu_request head = {};
  if (packet.size() < sizeof(head)) return malformed("it is too short");
  std::memcpy(&head, packet.data(), sizeof(head));
  if (head.version != HANDOVER_IOMMU_PROTOCOL_VERSION) return malformed("unknown version");
  if (head.size != packet.size() || head.reserved != 0 || head.count == 0 ||
      head.count > HANDOVER_IOMMU_MOST_MAPPINGS ||
      packet.size() != sizeof(head) + head.count * sizeof(handover_iommu_mapping)) {
    return malformed("its numbers do not fit each other");
  }
  if (head.operation != HANDOVER_IOMMU_OPERATION_MAP &&
      head.operation != HANDOVER_IOMMU_OPERATION_UNMAP) {
    return malformed("unknown operation");
  }
  Request request;
  const bool map = head.operation == HANDOVER_IOMMU_OPERATION_MAP;
  request.operation = map ? Request::Operation::map : Request::Operation::unmap;
  for (std::uint32_t i = 0; i < head.count; ++i) {
    handover_iommu_mapping raw = {};
    std::memcpy(&raw, packet.data() + sizeof(head) + i * sizeof(raw), sizeof(raw));
    if (!map && (raw.offset != 0 || raw.memory != 0 || raw.rights != 0)) {
      return malformed("what is removed is named by IOVA and length alone");
    }
    request.mappings.push_back({raw.iova, raw.length, raw.offset, raw.memory, raw.rights});
  }
  return request;
}

handover_iommu_answer answer_to(const client::Result<void>& outcome) {
  handover_iommu_answer answer = {};
  answer.size = sizeof(answer);
  if (outcome) return answer;
  answer.error = static_cast<std::uint32_t>(outcome.error().code > 0 ? outcome.error().code : EIO);
  const auto& message = outcome.error().message;
  std::copy_n(message.begin(), std::min(message.size(), sizeof(answer.message) - 1),
              answer.message);
  return answer;
}

}  // namespace handover::iommu
