// SPDX-License-Identifier: LGPL-2.1-or-later
// Trees in the manner of /boot, as distributions leave them (tests/unit/fixtures/boot-trees.txt).
#pragma once

#include <string>
#include <vector>

namespace handover::test {

struct TreeFile {
  std::string path;    ///< "/boot/vmlinuz-7.3.4"; in a tree of one directory "/vmlinuz-7.3.4"
  std::string target;  ///< of a link; "" of a file
};

/// The files of that tree, in their order. Throws if there is none.
std::vector<TreeFile> boot_tree(const std::string& name);

/// With links followed; "" if it is no file of the tree.
std::string real_path(const std::vector<TreeFile>& tree, const std::string& path);

}  // namespace handover::test
