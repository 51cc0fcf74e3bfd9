// SPDX-License-Identifier: LGPL-2.1-or-later
// What the daemon tells without being asked: signals and property changes, to those who want them.
#pragma once

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <set>
#include <string>

#include "bus/link.h"
#include "bus/objects.h"
#include "bus/sd_bus.h"

namespace handover::bus {

/// On the system bus, what happens often is sent only while somebody has subscribed, as systemd's
/// manager does it; a peer of the private socket gets signals only if it has. The bus gives each
/// signal to those who match it; direct peers get the same bytes, which are made once.
class Signals {
 public:
  enum class Kind {
    rare,   ///< on the bus always
    often,  ///< for each client, token and step of an update
  };

  explicit Signals(const Links& links) : links_(links) {}
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// Who sent `call` wants signals, or no more. Until it leaves; more than once is once.
  void subscribe(Link& link, sd_bus_message* call);
  void unsubscribe(Link& link, sd_bus_message* call);
  void left_bus(const std::string& name) { on_bus_.erase(name); }
  void bus_lost() { on_bus_.clear(); }
  /// Before the link of a direct peer goes.
  void left(Link& peer) { direct_.erase(&peer); }
  [[nodiscard]] std::size_t subscribers() const;
  /// Whether somebody gets it: where nobody does, it is not worth making.
  [[nodiscard]] bool heard(Kind kind) const {
    return !direct_.empty() || (links_.bus && (kind == Kind::rare || !on_bus_.empty()));
  }

  /// A signal of the Manager, or of another object. The rest is as sd_bus_message_append(3).
  template <typename... Arguments>
  void emit(Kind kind, const char* member, const char* types, Arguments... arguments) const {
    if (heard(kind)) emit_from(manager_path, manager_interface, kind, member, types, arguments...);
  }
  template <typename... Arguments>
  void emit_from(const std::string& path, const Interface& interface, Kind kind, const char* member,
                 const char* types, Arguments... arguments) const {
    if (!heard(kind)) return;
    send(path.c_str(), interface.name, member, kind, [&](Link&, sd_bus_message* signal) {
      return sd_bus_message_append(signal, types, arguments...);
    });
  }

  /// PropertiesChanged with the new values of those properties that emit changes, and the names of
  /// those that are invalidated. Nothing if the object is gone.
  void properties_changed(const std::string& path, const Interface& interface, Kind kind,
                          std::initializer_list<const char*> properties) const;

 private:
  using Append = std::function<int(Link&, sd_bus_message*)>;
  void send(const char* path, const char* interface, const char* member, Kind kind,
            const Append& append) const;

  const Links& links_;
  std::set<std::string> on_bus_;  ///< unique names
  std::set<Link*> direct_;        ///< who has subscribed, of thousands perhaps
};

}  // namespace handover::bus
