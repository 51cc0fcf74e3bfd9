/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* That the public header is C, and that its values are what a C program sees. */
#include <handover/handover.h>

int c_sees_error(const char* name, const char* wanted);

int c_sees_error(const char* name, const char* wanted) {
  handover_error error = HANDOVER_ERROR_NULL;
  error.name = (char*)name;
  return handover_error_is(&error, wanted);
}
