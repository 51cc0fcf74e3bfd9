// SPDX-License-Identifier: LGPL-2.1-or-later
// D-Bus messages as bytes, little-endian (D-Bus specification, "Message Format"): for peers that
// say what a library would not, or that are too many for one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace handover::test::wire {

/// Marshals a body; what the signature says is the caller's business.
class Writer {
 public:
  Writer& align(std::size_t to);
  Writer& byte(char value);
  Writer& number(std::uint32_t value);    ///< u, h; b as 0 or 1
  Writer& number64(std::uint64_t value);  ///< t
  Writer& text(std::string_view value);   ///< s, o
  Writer& signature(std::string_view value);
  /// An array of elements that are aligned to `to`; `fill` writes them.
  template <typename Fill>
  Writer& array(std::size_t to, Fill fill) {
    number(0);
    const auto length_at = bytes_.size() - 4;
    align(to);
    const auto begin = bytes_.size();
    fill();
    return set_number(length_at, static_cast<std::uint32_t>(bytes_.size() - begin));
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  Writer& set_number(std::size_t at, std::uint32_t value);

  std::string bytes_;
};

/// Reads a body in the order that its signature says; "" and 0 behind its end.
class Reader {
 public:
  explicit Reader(std::string_view body) : body_(body) {}

  void align(std::size_t to);
  void skip(std::size_t size) { take(size); }
  char byte();
  std::uint32_t number();
  std::uint64_t number64();
  std::string_view text();
  std::string_view signature();
  [[nodiscard]] bool at_end() const { return at_ >= body_.size(); }

 private:
  std::string_view take(std::size_t size);

  std::string_view body_;
  std::size_t at_ = 0;
};

struct Message {
  enum class Type : char { method_call = 1, method_return = 2, error = 3, signal = 4 };

  Type type = Type::method_call;
  std::uint32_t serial = 0;
  std::uint32_t reply_to = 0;
  std::string path{}, interface {
  }, member{}, error{}, destination{}, sender{}, signature{};
  std::uint32_t descriptors = 0;
  std::string body{};
};

std::string to_bytes(const Message& message);
/// The size of the message that `bytes` begins with; nullopt: too little of it is there to say.
std::optional<std::size_t> size_of(std::string_view bytes);
/// `bytes` is one whole message.
Message from_bytes(std::string_view bytes);

}  // namespace handover::test::wire
