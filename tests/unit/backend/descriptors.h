// SPDX-License-Identifier: LGPL-2.1-or-later
// Descriptors of every kind that a client may come with, for the backends' tests.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "core/unique_fd.h"

namespace handover::backend::test {

UniqueFd memfd(std::string_view contents = "");
UniqueFd pipe_end();
UniqueFd socket_end();
UniqueFd regular_file();
UniqueFd directory();
UniqueFd character_device();
UniqueFd event_counter();
/// Its name is removed when the next one is made, and at the end of the program.
UniqueFd named_tmpfs_file();
/// Empty if this machine has no hugetlb support.
UniqueFd hugetlb_memfd();

/// Everything from offset 0.
std::string contents(int fd);
bool same_file(int a, int b);
bool close_on_exec(int fd);

}  // namespace handover::backend::test
