// SPDX-License-Identifier: LGPL-2.1-or-later
/// The kernel module's format.h, for C++. Fields of its packed structs cannot be bound to
/// references: copy them, as in u64{record.index}.
#pragma once

extern "C" {
// In C, a function may have the name of a struct.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "format.h"
#pragma GCC diagnostic pop
#include "include/uapi/linux/handover.h"
}
