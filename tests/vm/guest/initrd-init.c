// SPDX-License-Identifier: LGPL-2.1-or-later
// /init of an initrd: mounts the root file system and goes on with its init, as switch_root(8)
// does. What fails is said in the kernel's log, before it panics.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void say(const char* text) {
  int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
  if (log >= 0) dprintf(log, "handover-test initrd: %s\n", text);
  if (log >= 0) close(log);
}

static void fail(const char* what) {
  char text[200];
  snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
  say(text);
  _exit(1);
}

int main(int count, char** arguments) {
  (void)count;
  mkdir("/root", 0755);
  if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) != 0 && errno != EBUSY) fail("/dev");
  // The disk's driver may still look for it.
  int mounted = -1;
  for (int tries = 0; mounted != 0 && tries < 100; ++tries) {
    mounted = mount("/dev/vda", "/root", "ext4", 0, NULL);
    if (mounted != 0) usleep(100000);
  }
  if (mounted != 0) fail("/dev/vda");
  if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) != 0) fail("/root/dev");
  if (chdir("/root") != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0) fail("move");
  if (chroot(".") != 0 || chdir("/") != 0) fail("chroot");
  arguments[0] = "/sbin/init";
  execv(arguments[0], arguments);
  fail(arguments[0]);
}
