# SPDX-License-Identifier: LGPL-2.1-or-later
# A boot sector that writes one word to the power management's PM1a control register: with 0x2000 the
# machine is off, with 0x2400 it sleeps (S3). The word is the sector's at 0x100.
.code16
.globl _start
_start: cli; xor %ax,%ax; mov %ax,%ds
 movw command,%ax; movw $0x604,%dx; outw %ax,%dx
stop: hlt; jmp stop
.org 0x100
command: .word 0x2000
.org 510
.word 0xaa55
