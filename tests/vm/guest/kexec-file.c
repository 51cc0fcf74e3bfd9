// SPDX-License-Identifier: LGPL-2.1-or-later
// Loads a kernel by kexec_file_load(), the only way that KHO takes, and may go into it at once.
//
//   kexec-file load IMAGE COMMAND-LINE    load; systemctl kexec uses what is loaded
//   kexec-file unload
//   kexec-file now                        sync and go, stopping nothing
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

static int report(const char* what, long result) {
  if (result == 0) return 0;
  fprintf(stderr, "kexec-file: %s: %s\n", what, strerror(errno));
  return 1;
}

int main(int count, char** arguments) {
  if (count == 4 && strcmp(arguments[1], "load") == 0) {
    int image = open(arguments[2], O_RDONLY | O_CLOEXEC);
    if (image < 0) return report(arguments[2], -1);
    return report("kexec_file_load",
                  syscall(SYS_kexec_file_load, image, -1, strlen(arguments[3]) + 1, arguments[3],
                          (unsigned long)KEXEC_FILE_NO_INITRAMFS));
  }
  if (count == 2 && strcmp(arguments[1], "unload") == 0)
    return report("kexec_file_load",
                  syscall(SYS_kexec_file_load, -1, -1, 0L, NULL, (unsigned long)KEXEC_FILE_UNLOAD));
  if (count == 2 && strcmp(arguments[1], "now") == 0) {
    sync();
    return report("reboot", reboot((int)LINUX_REBOOT_CMD_KEXEC));
  }
  fprintf(stderr, "usage: kexec-file load IMAGE COMMAND-LINE | unload | now\n");
  return 2;
}
