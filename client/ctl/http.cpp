// SPDX-License-Identifier: LGPL-2.1-or-later
#include "http.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <vector>

namespace handover::ctl {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string lowered(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/// A token of RFC 9110: methods and names of fields are.
bool is_token(std::string_view text) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return std::isalnum(c) != 0 || others.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

/// The lines up to the empty one, which end in CR LF or, as RFC 9112 lets us, in LF.
std::vector<std::string_view> lines_of(std::string_view head) {
  std::vector<std::string_view> lines;
  for (auto line : split(head, '\n')) {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) break;
    lines.push_back(line);
  }
  return lines;
}

/// How much that media type is wanted: 0 if it is not named.
double quality_of(std::string_view accept, std::string_view type) {
  double best = 0;
  for (const auto range : split(accept, ',')) {
    const auto parts = split(range, ';');
    if (lowered(trimmed(parts.front())) != type) continue;
    double quality = 1;
    for (const auto part : parts) {
      const auto parameter = trimmed(part);
      if (lowered(parameter.substr(0, 2)) != "q=") continue;
      const auto* end = parameter.data() + parameter.size();
      if (std::from_chars(parameter.data() + 2, end, quality).ptr != end) quality = 0;
    }
    best = std::max(best, quality);
  }
  return best;
}

Exposition format_of(std::string_view accept) {
  const double openmetrics = quality_of(accept, "application/openmetrics-text");
  const bool wanted = openmetrics > 0 && openmetrics >= quality_of(accept, "text/plain");
  return wanted ? Exposition::openmetrics : Exposition::text;
}

/// "/metrics" of "/metrics?a=b" and of "http://localhost/metrics".
std::string_view path_of(std::string_view target) {
  constexpr std::string_view scheme = "http://";
  if (lowered(target.substr(0, scheme.size())) == scheme) {
    target.remove_prefix(scheme.size());
    const auto path = target.find('/');
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  return target.substr(0, target.find('?'));
}

/// Reads the fields into `request`. False if one is none, or if Host is not there once.
bool take_fields(const std::vector<std::string_view>& lines, bool needs_host,
                 HttpRequest* request) {
  int hosts = 0;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto colon = lines[i].find(':');
    if (colon == std::string_view::npos || !is_token(lines[i].substr(0, colon))) return false;
    const auto name = lowered(lines[i].substr(0, colon));
    if (name == "host") ++hosts;
    if (name == "accept") request->format = format_of(lines[i].substr(colon + 1));
  }
  return hosts == 1 || (hosts == 0 && !needs_host);
}

const char* reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Bad Request";
  }
}

}  // namespace

bool http_head_complete(std::string_view text) {
  return text.find("\r\n\r\n") != std::string_view::npos ||
         text.find("\n\n") != std::string_view::npos;
}

HttpRequest http_request_of(std::string_view head) {
  HttpRequest request;
  const auto refuse = [&request](int status) {
    request.status = status;
    return request;
  };
  const auto lines = lines_of(head);
  if (!http_head_complete(head) || lines.empty()) return refuse(400);
  const auto words = split(lines.front(), ' ');
  if (words.size() != 3 || !is_token(words[0]) || words[1].empty()) return refuse(400);
  const auto version = words[2];
  if (version.size() != 8 || version.substr(0, 5) != "HTTP/" || version[6] != '.' ||
      std::isdigit(static_cast<unsigned char>(version[5])) == 0 ||
      std::isdigit(static_cast<unsigned char>(version[7])) == 0) {
    return refuse(400);
  }
  if (version[5] != '1') return refuse(505);
  if (!take_fields(lines, version[7] != '0', &request)) return refuse(400);
  request.head_only = words[0] == "HEAD";
  if (path_of(words[1]) != "/metrics") return refuse(404);
  if (words[0] != "GET" && words[0] != "HEAD") return refuse(405);
  return request;
}

std::string http_response(const HttpRequest& request, const std::string& metrics) {
  const bool good = request.status == 200;
  const std::string status = std::to_string(request.status) + " " + reason_of(request.status);
  const std::string body = good ? metrics : status + ": GET /metrics is all there is.\n";
  std::string text = "HTTP/1.1 " + status + "\r\n";
  text += "Content-Type: ";
  text += good ? content_type(request.format) : "text/plain; charset=utf-8";
  text += "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  if (request.status == 405) text += "Allow: GET, HEAD\r\n";
  text += "Cache-Control: no-store\r\nConnection: close\r\n\r\n";
  return request.head_only ? text : text + body;
}

}  // namespace handover::ctl
