// SPDX-License-Identifier: LGPL-2.1-or-later
#include "boot_trees.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>

namespace handover::test {
namespace {

using Trees = std::map<std::string, std::vector<TreeFile>>;

/// "./TREE/PATH", "f" or "l", and a link's target, between tabs.
Trees read_trees() {
  std::ifstream file(HANDOVER_SOURCE_DIR "/tests/unit/fixtures/boot-trees.txt");
  Trees trees;
  for (std::string line; std::getline(file, line);) {
    const auto tab = line.find('\t');
    const auto second = line.find('\t', tab + 1);
    const auto slash = line.find('/', 2);
    trees[line.substr(2, slash - 2)].push_back(
        {line.substr(slash, tab - slash), line.substr(second + 1)});
  }
  return trees;
}

const Trees& all_trees() {
  static const Trees trees = read_trees();
  return trees;
}

}  // namespace

std::vector<TreeFile> boot_tree(const std::string& name) { return all_trees().at(name); }

std::string real_path(const std::vector<TreeFile>& tree, const std::string& path) {
  const auto file =
      std::find_if(tree.begin(), tree.end(), [&](const auto& one) { return one.path == path; });
  if (file == tree.end()) return {};
  if (file->target.empty()) return path;
  const auto target = std::filesystem::path(path).parent_path() / file->target;
  return real_path(tree, target.lexically_normal().string());
}

}  // namespace handover::test
