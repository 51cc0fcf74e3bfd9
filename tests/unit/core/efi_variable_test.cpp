// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/efi_variable.h"

#include <gtest/gtest.h>

namespace handover {
namespace {

std::string variable(std::u16string_view text) {
  std::string bytes("\x07\0\0\0", 4);
  for (const char16_t unit : text) {
    bytes += static_cast<char>(unit & 0xff);
    bytes += static_cast<char>(unit >> 8);
  }
  return bytes;
}

TEST(EfiVariable, IsText) {
  EXPECT_EQ(text_of_efi_variable(variable(u"debian-7.3.4.conf")), "debian-7.3.4.conf");
  using namespace std::string_view_literals;
  EXPECT_EQ(text_of_efi_variable(variable(u"@saved\0behind"sv)), "@saved");
  EXPECT_EQ(text_of_efi_variable(variable(u"Gr\u00fc\u00dfe \u20ac")), "Gr\u00fc\u00dfe \u20ac");
}

TEST(EfiVariable, MayBeSomethingElse) {
  EXPECT_EQ(text_of_efi_variable(""), "");
  EXPECT_EQ(text_of_efi_variable("\x07"), "");
  EXPECT_EQ(text_of_efi_variable(std::string(4, '\0')), "");
  EXPECT_EQ(text_of_efi_variable(variable(u"odd") + "x"), "");
  EXPECT_EQ(text_of_efi_variable(variable(u"a\U0001f600")), "") << "a pair of surrogates";
}

}  // namespace
}  // namespace handover
