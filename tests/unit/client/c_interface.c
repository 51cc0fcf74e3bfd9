/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* That the public header is C, and that its values are what a C program sees. */
#include <handover/handover.h>

#if HANDOVER_VERSION_NUMBER < HANDOVER_MAKE_VERSION(0, 0, 1)
#error "The version is a number that the preprocessor compares."
#endif

int c_sees_error(const handover_error* error, const char* wanted);

int c_sees_error(const handover_error* error, const char* wanted) {
  return handover_error_is(error, wanted);
}
