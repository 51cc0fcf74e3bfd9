// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/signals.h"

#include <string_view>

#include "system/log.h"

namespace handover::bus {

namespace {

/// A subscriber that does not read misses what comes when so much waits for it already.
constexpr std::uint64_t most_unread = 4096;

constexpr const char* properties_interface = "org.freedesktop.DBus.Properties";

const sd_bus_vtable* find_property(const Interface& interface, std::string_view name) {
  for (const auto* entry = interface.vtable; entry->type != _SD_BUS_VTABLE_END; ++entry) {
    if (entry->type == _SD_BUS_VTABLE_PROPERTY && name == entry->x.property.member) return entry;
  }
  return nullptr;
}

bool is_invalidated(const sd_bus_vtable& property) {
  return (property.flags & SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION) != 0;
}

int append_value(sd_bus_message* signal, const char* path, const Interface& interface,
                 const sd_bus_vtable& property, Link& link) {
  const auto& served = property.x.property;
  int result = sd_bus_message_open_container(signal, 'e', "sv");
  if (result >= 0) result = sd_bus_message_append_basic(signal, 's', served.member);
  if (result >= 0) result = sd_bus_message_open_container(signal, 'v', served.signature);
  if (result >= 0) {
    sd_bus_error error = SD_BUS_ERROR_NULL;
    result = served.get(link.bus.get(), path, interface.name, served.member, signal, &link, &error);
    if (sd_bus_error_is_set(&error) != 0) result = -ENOENT;
    sd_bus_error_free(&error);
  }
  if (result >= 0) result = sd_bus_message_close_container(signal);
  return result < 0 ? result : sd_bus_message_close_container(signal);
}

}  // namespace

void Signals::subscribe(Link& link, sd_bus_message* call) {
  if (link.direct) {
    direct_.insert(&link);
  } else if (const char* name = sd_bus_message_get_sender(call)) {
    on_bus_.insert(name);
  }
}

void Signals::unsubscribe(Link& link, sd_bus_message* call) {
  if (link.direct) {
    direct_.erase(&link);
  } else if (const char* name = sd_bus_message_get_sender(call)) {
    on_bus_.erase(name);
  }
}

std::size_t Signals::subscribers() const { return on_bus_.size() + direct_.size(); }

void Signals::send(const char* path, const char* interface, const char* member, Kind kind,
                   const Append& append) const {
  const auto make = [&](Link& link) {
    sd_bus_message* made = nullptr;
    int result = sd_bus_message_new_signal(link.bus.get(), &made, path, interface, member);
    MessagePtr signal(made);
    if (result >= 0) result = append(link, made);
    if (result < 0) signal.reset();
    return signal;
  };
  if (links_.bus && (kind == Kind::rare || !on_bus_.empty())) {
    if (const auto signal = make(*links_.bus)) sd_bus_send(nullptr, signal.get(), nullptr);
  }
  MessagePtr shared;
  for (auto* const peer : direct_) {
    std::uint64_t unread = 0;
    sd_bus_get_n_queued_write(peer->bus.get(), &unread);
    if (unread > most_unread) continue;
    // The first one seals it; it can be sent on other connections then (sd_bus_send(3)).
    if (!shared) shared = make(*peer);
    if (!shared) return;
    sd_bus_send(peer->bus.get(), shared.get(), nullptr);
  }
}

void Signals::properties_changed(const std::string& path, const Interface& interface, Kind kind,
                                 std::initializer_list<const char*> properties) const {
  send(path.c_str(), properties_interface, "PropertiesChanged", kind,
       [&](Link& link, sd_bus_message* signal) {
         int result = sd_bus_message_append_basic(signal, 's', interface.name);
         if (result >= 0) result = sd_bus_message_open_container(signal, 'a', "{sv}");
         for (const auto* name : properties) {
           const auto* property = find_property(interface, name);
           if (property == nullptr) return log::error("There is no property ", name, "."), -ENOENT;
           if (result >= 0 && !is_invalidated(*property)) {
             result = append_value(signal, path.c_str(), interface, *property, link);
           }
         }
         if (result >= 0) result = sd_bus_message_close_container(signal);
         if (result >= 0) result = sd_bus_message_open_container(signal, 'a', "s");
         for (const auto* name : properties) {
           if (result >= 0 && is_invalidated(*find_property(interface, name))) {
             result = sd_bus_message_append_basic(signal, 's', name);
           }
         }
         return result < 0 ? result : sd_bus_message_close_container(signal);
       });
}

}  // namespace handover::bus
