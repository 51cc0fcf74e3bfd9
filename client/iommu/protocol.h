/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What COMMAND and handover-iommu say to each other over the socket "control", a packet each.
 *
 * A request is a head and `count` mappings; all of them are done, or none. Each gets one answer.
 * The library speaks it for COMMAND, so its layout may change with its version only.
 */
#ifndef HANDOVER_IOMMU_PROTOCOL_H
#define HANDOVER_IOMMU_PROTOCOL_H

#include <handover/iommu.h>
#include <stdint.h>

#define HANDOVER_IOMMU_PROTOCOL_VERSION 1
#define HANDOVER_IOMMU_MOST_MAPPINGS 1024 /* in one request */

enum {
  HANDOVER_IOMMU_OPERATION_MAP = 1,
  HANDOVER_IOMMU_OPERATION_UNMAP = 2, /* looks at iova and length; the rest must be 0 */
};

struct handover_iommu_request {
  uint32_t size; /* of the whole packet */
  uint16_t version;
  uint16_t operation;
  uint32_t count;
  uint32_t reserved; /* 0 */
};

struct handover_iommu_answer {
  uint32_t size;
  uint32_t error;    /* errno; 0: done */
  char message[248]; /* one line that says why not, ends with a 0 byte */
};

#endif
