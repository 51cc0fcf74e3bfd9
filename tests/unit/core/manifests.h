// SPDX-License-Identifier: LGPL-2.1-or-later
// Manifests for tests, and texts made of them.
#pragma once

#include <string>

#include "core/manifest.h"

namespace handover::test {

/// Something in every field that version 1 has, and a value that is not its default.
Manifest full_of_version_1();
/// The same of every field.
Manifest full();

/// A first line that fits to `body`: what parse_manifest() says is then about the body.
std::string wrapped(const std::string& body, const std::string& version = "2");

nlohmann::json body_of(const Manifest& manifest);

/// The bytes of tests/unit/fixtures/NAME.
std::string fixture(const std::string& name);

}  // namespace handover::test
