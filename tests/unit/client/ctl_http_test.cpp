// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "ctl/http.h"

namespace handover::ctl {
namespace {

int status_of(const std::string& head) { return http_request_of(head).status; }

TEST(Http, AnswersEachRequestWithItsStatus) {
  const std::string host = "Host: localhost\r\n\r\n";
  EXPECT_EQ(status_of("GET /metrics HTTP/1.1\r\n" + host), 200);
  EXPECT_EQ(status_of("HEAD /metrics HTTP/1.1\r\n" + host), 200);
  EXPECT_EQ(status_of("GET /metrics?name=handover HTTP/1.1\r\n" + host), 200);
  EXPECT_EQ(status_of("GET http://localhost:9893/metrics HTTP/1.1\r\n" + host), 200);
  EXPECT_EQ(status_of("GET /metrics HTTP/1.0\r\n\r\n"), 200);
  EXPECT_EQ(status_of("GET /metrics HTTP/1.0\n\n"), 200);

  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n" + host), 404);
  EXPECT_EQ(status_of("GET http://localhost HTTP/1.1\r\n" + host), 404);
  EXPECT_EQ(status_of("GET /metrics/ HTTP/1.1\r\n" + host), 404);
  EXPECT_EQ(status_of("POST /metrics HTTP/1.1\r\n" + host), 405);
  EXPECT_EQ(status_of("GET /metrics HTTP/2.0\r\n" + host), 505);

  for (const std::string& wrong :
       {std::string(), std::string("\r\n\r\n"), std::string("GET /metrics\r\n\r\n"),
        std::string("GET  /metrics HTTP/1.1\r\n" + host),
        std::string("GET /metrics HTTP/1.1 \r\n" + host),
        std::string("G(T /metrics HTTP/1.1\r\n" + host),
        std::string("GET /metrics HTTP/1\r\n" + host),
        std::string("GET /metrics HTTP/x.y\r\n" + host),
        std::string("GET /metrics HTTP/1.1\r\n\r\n"),
        std::string("GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        std::string("GET /metrics HTTP/1.1\r\nHost: a\r\nno field\r\n\r\n"),
        std::string("GET /metrics HTTP/1.1\r\nHost : a\r\n\r\n"),
        std::string("GET /metrics HTTP/1.1\r\n folded\r\n" + host),
        std::string("GET /metrics HTTP/1.1\r\nHost: a\r\n"),
        std::string("\0\xff\x16\x03\x01\r\n\r\n", 9)}) {
    EXPECT_EQ(status_of(wrong), 400) << wrong;
  }
}

TEST(Http, WritesTheFormThatIsPreferred) {
  const auto format = [](const std::string& accept) {
    return http_request_of("GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: " + accept + "\r\n\r\n")
        .format;
  };
  // Prometheus 2.53
  EXPECT_EQ(format("application/openmetrics-text;version=1.0.0;q=0.5,"
                   "application/openmetrics-text;version=0.0.1;q=0.4,"
                   "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"),
            Exposition::openmetrics);
  EXPECT_EQ(format("text/plain;q=0.9, Application/OpenMetrics-Text; Q=0.4"), Exposition::text);
  EXPECT_EQ(format("application/openmetrics-text; q=0"), Exposition::text);
  EXPECT_EQ(format("application/openmetrics-text; q=much"), Exposition::text);
  EXPECT_EQ(format("*/*"), Exposition::text);
  EXPECT_EQ(format(""), Exposition::text);
}

TEST(Http, AnswersInFull) {
  EXPECT_EQ(http_response({200, false, Exposition::openmetrics}, "# EOF\n"),
            "HTTP/1.1 200 OK\r\n"
            "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
            "Content-Length: 6\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n# EOF\n");
  EXPECT_EQ(http_response({200, true, Exposition::text}, "# EOF\n"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            "Content-Length: 6\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n");
  const auto refused = http_response({405, false, Exposition::text}, "secret");
  EXPECT_NE(refused.find("\r\nAllow: GET, HEAD\r\n"), std::string::npos) << refused;
  EXPECT_EQ(refused.find("secret"), std::string::npos);
}

TEST(Http, KnowsTheEndOfAHead) {
  EXPECT_FALSE(http_head_complete("GET / HTTP/1.1\r\nHost: a\r\n"));
  EXPECT_TRUE(http_head_complete("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_TRUE(http_head_complete("GET / HTTP/1.0\n\n"));
}

}  // namespace
}  // namespace handover::ctl
