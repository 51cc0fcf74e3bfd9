# SPDX-License-Identifier: LGPL-2.1-or-later
# A boot sector that notices a disk that went back: it writes a growing number to its disk, reads it
# back, and prints K on the serial port while the disk holds the last number written, L for ever once
# it does not, F if the disk fails.
.code16
.globl _start
_start: cli; xor %ax,%ax; mov %ax,%ds; mov %ax,%es; mov %ax,%ss; mov $0x7c00,%sp; sti
 movb %dl, drive
 movl $1, count
again:
 movl count,%eax; movl %eax,0x8000
 movb $0x43,%ah; movb $0,%al; movw $dap,%si; movb drive,%dl; int $0x13
 jc fail
check:
 movl $0,0x8000
 movb $0x42,%ah; movw $dap,%si; movb drive,%dl; int $0x13
 jc fail
 movl 0x8000,%eax; cmpl count,%eax; jne lost
 movb $'K',%al; call put
 movw $0x0fff,%cx
2: push %cx; movw $0x00ff,%cx
3: pause; loop 3b
 pop %cx; loop 2b
# the next number is written only if the last is still there
 movl $0,0x8000
 movb $0x42,%ah; movw $dap,%si; movb drive,%dl; int $0x13
 jc fail
 movl 0x8000,%eax; cmpl count,%eax; jne lost
 incl count; jmp again
lost: movb $'L',%al; call put
 movw $0x0fff,%cx
4: push %cx; movw $0x00ff,%cx
5: pause; loop 5b
 pop %cx; loop 4b
 jmp check
fail: movb $'F',%al; call put; jmp fail
put: movw $0x3f8,%dx; outb %al,%dx; ret
drive: .byte 0
.align 4
count: .long 0
dap: .byte 16,0; .word 1; .word 0x8000,0; .quad 100
.org 510
.word 0xaa55
