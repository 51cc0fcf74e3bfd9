// SPDX-License-Identifier: LGPL-2.1-or-later
#include "http.h"

#include <curl/curl.h>
#include <strings.h>

#include <array>
#include <cstdlib>
#include <mutex>

#include "common/file.h"
#include "text.h"

namespace handover::fleet {
namespace {

constexpr std::size_t most_body = 16U << 20;

struct FreeEasy {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Headers = std::unique_ptr<curl_slist, FreeList>;

void add(Headers& headers, const std::string& line) {
  if (auto* longer = curl_slist_append(headers.get(), line.c_str())) {
    (void)headers.release();
    headers.reset(longer);
  }
}

/// Until then no server has seen anything of a try. On a connection that was kept, curl tries once
/// more on a new one by itself: what the first try has sent is to be asked for as well.
bool is_before_sending(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_PEER_FAILED_VERIFICATION:
      return true;
    default:
      return false;
  }
}

class HttpServer : public Server {
 public:
  HttpServer(Access access, const std::atomic<bool>& given_up)
      : access_(std::move(access)), given_up_(given_up), curl_(curl_easy_init()) {}

  Reply exchange(const std::string& url, const Request& request) override;

 private:
  void set_up(const std::string& url, const Request& request, curl_slist* headers);
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* userdata);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* userdata);
  static int on_progress(void* userdata, curl_off_t, curl_off_t, curl_off_t, curl_off_t);

  Access access_;
  const std::atomic<bool>& given_up_;
  std::unique_ptr<CURL, FreeEasy> curl_;
  std::array<char, CURL_ERROR_SIZE> error_ = {};
};

std::size_t HttpServer::on_body(char* data, std::size_t size, std::size_t count, void* userdata) {
  auto& body = *static_cast<std::string*>(userdata);
  if (body.size() + size * count > most_body) return 0;
  body.append(data, size * count);
  return size * count;
}

std::size_t HttpServer::on_header(char* data, std::size_t size, std::size_t count, void* userdata) {
  const std::string line(data, size * count);
  constexpr std::size_t title = 5;
  if (strncasecmp(line.c_str(), "date:", title) == 0) {
    const auto seconds = curl_getdate(line.c_str() + title, nullptr);
    if (seconds > 0) static_cast<Reply*>(userdata)->server_time = seconds;
  }
  return size * count;
}

int HttpServer::on_progress(void* userdata, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<HttpServer*>(userdata)->given_up_ ? 1 : 0;
}

void HttpServer::set_up(const std::string& url, const Request& request, curl_slist* headers) {
  auto* const curl = curl_.get();
  curl_easy_reset(curl);  // keeps its connections
  const auto text = [&](CURLoption option, const std::string& value) {
    if (!value.empty()) curl_easy_setopt(curl, option, value.c_str());
  };
  text(CURLOPT_URL, url + request.path);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
  curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, request.body.c_str());
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(access_.timeout_usec / 1000 + 1));
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_.data());
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &HttpServer::on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, this);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &HttpServer::on_body);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &HttpServer::on_header);
  text(CURLOPT_CAINFO, access_.ca);
  text(CURLOPT_SSLCERT, access_.certificate);
  text(CURLOPT_SSLKEY, access_.key);
  if (access_.proxy == "none") {
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
  } else {
    text(CURLOPT_PROXY, access_.proxy);
  }
}

Reply HttpServer::exchange(const std::string& url, const Request& request) {
  Reply reply;
  reply.sent = false;
  if (!curl_) {
    reply.failure = "no memory for the request";
    return reply;
  }
  auto token = read_token(access_);
  if (!token) {
    reply.failure = token.error().message;
    return reply;
  }
  Headers headers;
  add(headers, "Content-Type: application/json");
  add(headers, "Accept: application/json");
  add(headers, "Expect:");
  if (request.fleet_lock) add(headers, "fleet-lock-protocol: true");
  // etcd takes its tokens bare.
  const std::string scheme = request.fleet_lock ? "Bearer " : "";
  if (!token->empty()) add(headers, "Authorization: " + scheme + *token);

  error_.front() = '\0';
  set_up(url, request, headers.get());
  curl_easy_setopt(curl_.get(), CURLOPT_WRITEDATA, &reply.body);
  curl_easy_setopt(curl_.get(), CURLOPT_HEADERDATA, &reply);
  const CURLcode code = curl_easy_perform(curl_.get());
  if (code == CURLE_OK) {
    long status = 0;
    curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
    reply.status = static_cast<int>(status);
    reply.sent = true;
    return reply;
  }
  long sent_bytes = 0;  // of all tries
  curl_easy_getinfo(curl_.get(), CURLINFO_REQUEST_SIZE, &sent_bytes);
  reply.sent = sent_bytes > 0 || !is_before_sending(code);
  reply.body.clear();
  reply.failure = given_up_
                      ? "it was given up"
                      : one_line(error_.front() != '\0' ? error_.data() : curl_easy_strerror(code));
  return reply;
}

}  // namespace

std::unique_ptr<Server> make_http_server(const Access& access, const std::atomic<bool>& given_up) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  return std::make_unique<HttpServer>(access, given_up);
}

std::string credential_path(const std::string& name) {
  const char* directory = getenv("CREDENTIALS_DIRECTORY");  // NOLINT(concurrency-mt-unsafe)
  return std::string(directory ? directory : "/run/credentials/handover-fleet.service") + "/" +
         name;
}

client::Result<std::string> read_token(const Access& access) {
  if (access.token_file.empty() && access.token_credential.empty()) return std::string();
  auto text = common::read_file(access.token_file.empty() ? credential_path(access.token_credential)
                                                          : access.token_file);
  if (!text) return text.error();
  while (!text->empty() && static_cast<unsigned char>(text->back()) <= ' ') text->pop_back();
  for (const unsigned char c : *text) {
    if (c <= ' ' || c >= 0x7f) {
      return client::Error{"", "the token must be one word of printable characters", EINVAL};
    }
  }
  return text;
}

}  // namespace handover::fleet
