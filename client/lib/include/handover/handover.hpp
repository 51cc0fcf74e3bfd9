// SPDX-License-Identifier: LGPL-2.1-or-later
// The C++ face of libhandover: RAII and errors as values over the C interface, header only.
//
// Units, threads, fork() and the meaning of each call are those of handover.h. Needs C++17.
// Exceptions: no function here throws but for want of memory and Result's value(); what a callback
// throws does not leave the library: see exception_handler and Client.
#pragma once

#include "handover/client.hpp"
#include "handover/connection.hpp"
#include "handover/operation.hpp"
#include "handover/result.hpp"
#include "handover/session.hpp"
#include "handover/watch.hpp"
