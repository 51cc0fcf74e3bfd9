// SPDX-License-Identifier: LGPL-2.1-or-later
#include "wire.h"

#include <cstring>

namespace handover::test::wire {

namespace {

// Codes of the header's fields.
enum Field : char {
  path_field = 1,
  interface_field,
  member_field,
  error_field,
  reply_to_field,
  destination_field,
  sender_field,
  signature_field,
  descriptors_field,
};

constexpr std::size_t fixed_header = 16;

std::size_t aligned(std::size_t size, std::size_t to) { return (size + to - 1) / to * to; }

std::uint32_t number_at(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

void write_field(Writer& to, Field code, char type, std::string_view value) {
  if (value.empty()) return;
  to.align(8).byte(code).signature(std::string_view(&type, 1));
  if (type == 'g') {
    to.signature(value);
  } else {
    to.text(value);
  }
}

void write_field(Writer& to, Field code, std::uint32_t value) {
  if (value != 0) to.align(8).byte(code).signature("u").number(value);
}

}  // namespace

Writer& Writer::align(std::size_t to) {
  bytes_.resize(aligned(bytes_.size(), to), '\0');
  return *this;
}

Writer& Writer::byte(char value) {
  bytes_ += value;
  return *this;
}

Writer& Writer::number(std::uint32_t value) {
  align(sizeof value);
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  return *this;
}

Writer& Writer::number64(std::uint64_t value) {
  align(sizeof value);
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  return *this;
}

Writer& Writer::text(std::string_view value) {
  number(static_cast<std::uint32_t>(value.size()));
  bytes_.append(value);
  return byte('\0');
}

Writer& Writer::signature(std::string_view value) {
  byte(static_cast<char>(value.size()));
  bytes_.append(value);
  return byte('\0');
}

Writer& Writer::set_number(std::size_t at, std::uint32_t value) {
  std::memcpy(bytes_.data() + at, &value, sizeof value);
  return *this;
}

void Reader::align(std::size_t to) { at_ = aligned(at_, to); }

std::string_view Reader::take(std::size_t size) {
  if (at_ > body_.size() || size > body_.size() - at_) {
    at_ = body_.size();
    return {};
  }
  at_ += size;
  return body_.substr(at_ - size, size);
}

char Reader::byte() {
  const auto bytes = take(1);
  return bytes.empty() ? '\0' : bytes[0];
}

std::uint32_t Reader::number() {
  align(sizeof(std::uint32_t));
  const auto bytes = take(sizeof(std::uint32_t));
  return bytes.empty() ? 0 : number_at(bytes, 0);
}

std::uint64_t Reader::number64() {
  align(sizeof(std::uint64_t));
  const auto bytes = take(sizeof(std::uint64_t));
  std::uint64_t value = 0;
  if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

std::string_view Reader::text() {
  const auto value = take(number());
  skip(1);
  return value;
}

std::string_view Reader::signature() {
  const auto value = take(static_cast<unsigned char>(byte()));
  skip(1);
  return value;
}

std::string to_bytes(const Message& message) {
  Writer writer;
  writer.byte('l').byte(static_cast<char>(message.type)).byte(0).byte(1);
  writer.number(static_cast<std::uint32_t>(message.body.size())).number(message.serial);
  writer.array(8, [&] {
    write_field(writer, path_field, 'o', message.path);
    write_field(writer, interface_field, 's', message.interface);
    write_field(writer, member_field, 's', message.member);
    write_field(writer, error_field, 's', message.error);
    write_field(writer, reply_to_field, message.reply_to);
    write_field(writer, destination_field, 's', message.destination);
    write_field(writer, sender_field, 's', message.sender);
    write_field(writer, signature_field, 'g', message.signature);
    write_field(writer, descriptors_field, message.descriptors);
  });
  writer.align(8);
  return writer.bytes() + message.body;
}

std::optional<std::size_t> size_of(std::string_view bytes) {
  if (bytes.size() < fixed_header) return std::nullopt;
  return aligned(fixed_header + number_at(bytes, 12), 8) + number_at(bytes, 4);
}

Message from_bytes(std::string_view bytes) {
  Message message;
  message.type = static_cast<Message::Type>(bytes[1]);
  message.serial = number_at(bytes, 8);
  const auto fields_end = fixed_header + number_at(bytes, 12);
  message.body = bytes.substr(aligned(fields_end, 8));
  Reader reader(bytes.substr(0, fields_end));
  reader.skip(fixed_header);
  for (reader.align(8); !reader.at_end(); reader.align(8)) {
    const auto code = reader.byte();
    const auto type = reader.signature();
    if (type == "u") {
      (code == reply_to_field ? message.reply_to : message.descriptors) = reader.number();
      continue;
    }
    const auto value = type == "g" ? reader.signature() : reader.text();
    switch (code) {
      case path_field:
        message.path = value;
        break;
      case interface_field:
        message.interface = value;
        break;
      case member_field:
        message.member = value;
        break;
      case error_field:
        message.error = value;
        break;
      case destination_field:
        message.destination = value;
        break;
      case sender_field:
        message.sender = value;
        break;
      case signature_field:
        message.signature = value;
        break;
      default:
        break;
    }
  }
  return message;
}

}  // namespace handover::test::wire
