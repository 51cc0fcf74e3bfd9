// SPDX-License-Identifier: LGPL-2.1-or-later
#include "qmp_message.h"

#include <cerrno>

namespace handover::vmm {
namespace {

using nlohmann::json;

std::optional<std::uint64_t> id_of(const json& message) {
  const auto id = message.find("id");
  if (id == message.end() || !id->is_number_unsigned()) return std::nullopt;
  return id->get<std::uint64_t>();
}

/// `object`[`name`] if it is an object, else an empty one.
const json& inner(const json& object, const char* name) {
  static const json empty = json::object();
  const auto found = object.find(name);
  return found != object.end() && found->is_object() ? *found : empty;
}

std::optional<Version> version_of(const json& greeting) {
  const auto& numbers = inner(inner(greeting, "version"), "qemu");
  const auto major = numbers.find("major");
  const auto minor = numbers.find("minor");
  if (major == numbers.end() || minor == numbers.end() || !major->is_number_integer() ||
      !minor->is_number_integer()) {
    return std::nullopt;
  }
  return Version{major->get<int>(), minor->get<int>()};
}

}  // namespace

client::Result<Message> parse_message(std::string_view line) {
  constexpr std::size_t most_shown = 60;
  const client::Error strange{
      "", "QEMU's monitor says what is no QMP: " + std::string(line.substr(0, most_shown)),
      EBADMSG};
  const auto message = json::parse(line, nullptr, false);
  if (!message.is_object()) return strange;
  if (message.contains("QMP")) {
    const auto version = version_of(inner(message, "QMP"));
    if (!version) return strange;
    return Message(Greeting{*version});
  }
  if (message.contains("return")) return Message(Return{id_of(message), message["return"]});
  if (message.contains("error")) {
    const auto& error = inner(message, "error");
    const auto reason = error.find("desc");
    const bool said = reason != error.end() && reason->is_string();
    return Message(Refusal{id_of(message), said ? reason->get<std::string>() : "no reason given"});
  }
  const auto event = message.find("event");
  if (event == message.end() || !event->is_string()) return strange;
  return Message(Event{event->get<std::string>(), inner(message, "data")});
}

std::string make_command(std::uint64_t id, const std::string& name, const json& arguments) {
  json command = {{"execute", name}, {"id", id}};
  if (!arguments.is_null()) command["arguments"] = arguments;
  return command.dump() + "\n";
}

}  // namespace handover::vmm
