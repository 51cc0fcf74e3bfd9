// SPDX-License-Identifier: LGPL-2.1-or-later
#include "etcd_process.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "fleet/lock.h"

namespace handover::test {
namespace {

std::string url_of(int port) { return "http://127.0.0.1:" + std::to_string(port); }

}  // namespace

bool Etcd::there() { return system("command -v etcd >/dev/null 2>&1") == 0; }

Etcd::Etcd(std::size_t members) {
  for (std::size_t i = 0; i < members; ++i) {
    members_.push_back(std::make_unique<Member>());
    members_.back()->client = free_port();
    members_.back()->peer = free_port();
  }
}

std::vector<std::string> Etcd::endpoints() const {
  std::vector<std::string> urls;
  for (const auto& member : members_) urls.push_back(url_of(member->client));
  return urls;
}

void Etcd::launch(std::size_t i) {
  const auto& member = *members_[i];
  const auto name = "m" + std::to_string(i);
  std::string cluster;
  for (std::size_t j = 0; j < members_.size(); ++j) {
    cluster += (j == 0 ? "m" : ",m") + std::to_string(j) + "=" + url_of(members_[j]->peer);
  }
  members_[i]->process.start(
      {"etcd", "--name", name, "--data-dir", directory_.path(name), "--listen-client-urls",
       url_of(member.client), "--advertise-client-urls", url_of(member.client),
       "--listen-peer-urls", url_of(member.peer), "--initial-advertise-peer-urls",
       url_of(member.peer), "--initial-cluster", cluster, "--initial-cluster-token", "test"},
      directory_.path(name + ".log"));
}

bool Etcd::serves(std::size_t i) const {
  const std::atomic<bool> never = false;
  fleet::Lock lock;
  lock.kind = fleet::LockKind::etcd;
  lock.urls = {url_of(members_[i]->client)};
  lock.access.proxy = "none";
  lock.access.timeout_usec = 2'000'000;
  const auto server = fleet::make_http_server(lock.access, never);
  fleet::LockClient client(lock, *server, never);
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  while (std::chrono::steady_clock::now() < until) {
    if (client.board()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

bool Etcd::start() {
  for (std::size_t i = 0; i < members_.size(); ++i) launch(i);
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (!serves(i)) return false;
  }
  return true;
}

bool Etcd::start_member(std::size_t i) {
  launch(i);
  return serves(i);
}

}  // namespace handover::test
