// SPDX-License-Identifier: LGPL-2.1-or-later
#include "strays.h"

#include <dirent.h>

#include <cctype>
#include <map>
#include <memory>
#include <utility>

#include "command.h"
#include "file.h"

namespace handover::common {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

}  // namespace

client::Result<std::vector<std::string>> strays_of(pid_t leader) {
  const std::unique_ptr<DIR, CloseDirectory> processes(opendir("/proc"));
  if (!processes) return errno_error("Cannot open /proc");
  std::multimap<pid_t, std::pair<pid_t, ProcessStat>> children;
  while (const dirent* process = readdir(processes.get())) {  // NOLINT(concurrency-mt-unsafe)
    if (!isdigit(static_cast<unsigned char>(process->d_name[0]))) continue;
    auto text = read_file(std::string("/proc/") + process->d_name + "/stat");
    if (!text) continue;  // it has ended meanwhile
    auto stat = parse_stat(*text);
    if (!stat) return stat.error();
    if (stat->state == 'Z' || stat->state == 'X') continue;
    const auto pid = static_cast<pid_t>(std::stol(process->d_name));
    children.emplace(stat->parent, std::pair{pid, std::move(*stat)});
  }
  std::vector<std::string> strays;
  std::vector<pid_t> parents = {leader};
  while (!parents.empty()) {
    const auto [begin, end] = children.equal_range(parents.back());
    parents.pop_back();
    for (auto child = begin; child != end; ++child) {
      const auto& [pid, stat] = child->second;
      parents.push_back(pid);
      if (stat.group != leader) strays.push_back(std::to_string(pid) + " (" + stat.name + ")");
    }
  }
  return strays;
}

}  // namespace handover::common
