// SPDX-License-Identifier: LGPL-2.1-or-later
// CRC32C as the kernel's crc32c() counts it, eight bytes at a time: the tests look at many pages.
#include "format_user.h"

static u32 table[8][256];

__attribute__((constructor)) static void fill_table(void) {
  for (u32 byte = 0; byte < 256; ++byte) {
    u32 crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
    table[0][byte] = crc;
  }
  for (int ahead = 1; ahead < 8; ++ahead) {
    for (u32 byte = 0; byte < 256; ++byte) {
      const u32 crc = table[ahead - 1][byte];
      table[ahead][byte] = crc >> 8 ^ table[0][crc & 0xff];
    }
  }
}

u32 crc32c(u32 crc, const void* data, size_t length) {
  const u8* bytes = data;
  for (; length >= 8; bytes += 8, length -= 8) {
    const u32 low =
        crc ^ (bytes[0] | (u32)bytes[1] << 8 | (u32)bytes[2] << 16 | (u32)bytes[3] << 24);
    crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^
          table[4][low >> 24] ^ table[3][bytes[4]] ^ table[2][bytes[5]] ^ table[1][bytes[6]] ^
          table[0][bytes[7]];
  }
  for (; length > 0; ++bytes, --length) crc = crc >> 8 ^ table[0][(crc ^ *bytes) & 0xff];
  return crc;
}
