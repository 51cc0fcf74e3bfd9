// SPDX-License-Identifier: LGPL-2.1-or-later
// As much of HTTP/1.1 as somebody who reads metrics needs: one request, one answer. Pure.
#pragma once

#include <string>
#include <string_view>

#include "exposition.h"

namespace handover::ctl {

/// A request's head may be so long.
inline constexpr std::size_t longest_http_head = 8192;

/// What a request asks for.
struct HttpRequest {
  int status = 200;        ///< with which it is answered; 200: with the metrics
  bool head_only = false;  ///< HEAD: as GET, without the body
  Exposition format = Exposition::text;
};

/// Whether the empty line that ends a request's head is in it.
bool http_head_complete(std::string_view text);

/// `head`: all up to the empty line, and maybe more. GET and HEAD of /metrics are answered, in the
/// form that Accept prefers; 400, 404, 405 and 505 are what they are for.
HttpRequest http_request_of(std::string_view head);

/// The whole answer. Of a status other than 200 the body is a sentence of our own.
std::string http_response(const HttpRequest& request, const std::string& metrics);

}  // namespace handover::ctl
