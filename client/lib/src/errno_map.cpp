// SPDX-License-Identifier: LGPL-2.1-or-later
// The errno of each error of the daemon's (docs/dbus.md, Errors). sd-bus knows them from when the
// library is loaded, and for good: the library is linked with -z nodelete, since sd-bus keeps the
// address.
#include <cerrno>

#include "handover/handover.h"
#include "sd.h"

namespace {

const sd_bus_error_map errors[] = {
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "InvalidArgument", EINVAL),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "InvalidName", EINVAL),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "NameTaken", EEXIST),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "NoSuchSession", ENOENT),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "NoSuchClient", ENOENT),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "NoSuchToken", ENOENT),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "TokenTaken", EEXIST),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "NoSuchBackend", ENODEV),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "Unsupported", EOPNOTSUPP),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "AlreadyPreserved", EALREADY),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "AlreadyRetrieved", EALREADY),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "NotIncoming", ENODATA),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "Incoming", EBUSY),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "AccessDenied", EACCES),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "Busy", EBUSY),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "NothingToCancel", ESRCH),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "LimitExceeded", EDQUOT),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "DependencyCycle", ELOOP),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "UnknownDependency", ENXIO),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "KernelNotFound", ENOENT),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "NotAKernel", ENOEXEC),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "KernelIncompatible", EPROTONOSUPPORT),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "ModuleMissing", ENOPKG),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "KexecLoadFailed", ENOEXEC),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "KexecFailed", EIO),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "Vetoed", EPERM),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "TimedOut", ETIMEDOUT),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "ClientGone", ESRCH),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "Cancelled", ECANCELED),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "ManifestInvalid", EBADMSG),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "StateLost", ESTALE),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "Io", EIO),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "NotSupported", EOPNOTSUPP),
    SD_BUS_ERROR_MAP(HANDOVER_ERROR_PREFIX "Internal", ENOTRECOVERABLE),
    SD_BUS_ERROR_MAP_END,
};

[[maybe_unused]] const int registered = sd_bus_error_add_map(errors);

}  // namespace

int handover_error_name_to_errno(const char* name) {
  const sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(name, nullptr);
  return sd_bus_error_get_errno(&error);
}
