// SPDX-License-Identifier: LGPL-2.1-or-later
// Every function of the C interface takes NULL for what it needs, and says so.
#include <cerrno>
#include <cstring>

#include "library_fixture.h"

namespace handover::client {
namespace {

void done(int, const handover_error*, void*) {}

TEST(LibraryNull, ConnectionIsRefused) {
  handover_connection* connection = nullptr;
  EXPECT_EQ(handover_connect(0, 0, nullptr, nullptr, nullptr), -EINVAL);
  EXPECT_EQ(handover_connect_async(0, 0, nullptr, nullptr, nullptr, &connection, nullptr), -EINVAL);
  EXPECT_EQ(handover_connect_async(0, 0, nullptr, done, nullptr, nullptr, nullptr), -EINVAL);
  EXPECT_EQ(handover_ref(nullptr), nullptr);
  EXPECT_EQ(handover_unref(nullptr), nullptr);
  EXPECT_EQ(handover_get_fd(nullptr), -EINVAL);
  EXPECT_EQ(handover_process(nullptr), -EINVAL);
  EXPECT_EQ(handover_wait(nullptr, 0), -EINVAL);
  EXPECT_EQ(handover_is_connected(nullptr), 0);
  EXPECT_EQ(handover_set_call_timeout(nullptr, 1), -EINVAL);
  EXPECT_EQ(handover_get_bus(nullptr), nullptr);
  EXPECT_EQ(handover_get_destination(nullptr), nullptr);
}

TEST(LibraryNull, WhatReadsGivesNothing) {
  EXPECT_STREQ(handover_error_name(nullptr), "");
  EXPECT_STREQ(handover_error_message(nullptr), "");
  EXPECT_EQ(handover_error_errno(nullptr), 0);
  EXPECT_EQ(handover_error_is(nullptr, "Busy"), 0);
  EXPECT_EQ(handover_error_free(nullptr), nullptr);
  EXPECT_EQ(handover_call_generation(nullptr), 0U);
  EXPECT_EQ(handover_call_timeout_usec(nullptr), 0U);
  EXPECT_STREQ(handover_call_kernel_release(nullptr), "");
  EXPECT_STREQ(handover_call_reason(nullptr), "");
  EXPECT_EQ(handover_call_quiesced(nullptr), 0);
  EXPECT_EQ(handover_call_rehearsal(nullptr), 0);
  EXPECT_EQ(handover_call_stays_prepared(nullptr), 0);
  EXPECT_EQ(handover_client_get_name(nullptr), nullptr);
  EXPECT_EQ(handover_client_get_state(nullptr), HANDOVER_CLIENT_NEW);
  EXPECT_EQ(handover_client_unref(nullptr), nullptr);
  EXPECT_EQ(handover_session_get_name(nullptr), nullptr);
  EXPECT_EQ(handover_session_unref(nullptr), nullptr);
  EXPECT_EQ(handover_operation_unref(nullptr), nullptr);
  EXPECT_EQ(handover_watch_unref(nullptr), nullptr);
  EXPECT_EQ(handover_token_list_count(nullptr), 0U);
  EXPECT_EQ(handover_token_list_get(nullptr, 0), nullptr);
  EXPECT_EQ(handover_token_list_free(nullptr), nullptr);
  EXPECT_EQ(handover_token_number(nullptr), 0U);
  EXPECT_EQ(handover_token_bytes(nullptr), 0U);
  EXPECT_EQ(handover_token_is_retrieved(nullptr), 0);
  EXPECT_STREQ(handover_token_kind(nullptr), "");
  EXPECT_STREQ(handover_token_backend(nullptr), "");
}

TEST_F(Library, NullIsRefusedWithASentence) {
  daemon_->start("new");
  auto opened = connect();
  ASSERT_TRUE(opened);
  auto made = opened->create_session("s");
  ASSERT_TRUE(made);
  handover_connection* const connection = opened->get();
  handover_session* const session = made->get();
  handover_client_callbacks callbacks = {};
  handover_watch_callbacks watched = {};
  handover_client* client = nullptr;
  handover_watch* watch = nullptr;
  handover_token_list* tokens = nullptr;
  handover_session* other = nullptr;
  int fd = -1;
  const auto refused = [](const std::string& what, const auto& call) {
    handover_error* error = nullptr;
    EXPECT_EQ(call(&error), -EINVAL) << what;
    EXPECT_NE(strstr(handover_error_message(error), what.c_str()), nullptr)
        << handover_error_message(error);
    handover_error_free(error);
  };
#define REFUSED(function, ...) \
  refused(#function, [&](handover_error** error) { return function(__VA_ARGS__, error); })
  REFUSED(handover_client_register, nullptr, "c", nullptr, &callbacks, nullptr, &client);
  REFUSED(handover_client_register, connection, nullptr, nullptr, &callbacks, nullptr, &client);
  REFUSED(handover_client_register, connection, "c", nullptr, nullptr, nullptr, &client);
  REFUSED(handover_client_register, connection, "c", nullptr, &callbacks, nullptr,
          &client);  // size
  REFUSED(handover_client_register_async, connection, nullptr, nullptr, &callbacks, nullptr,
          &client);
  REFUSED(handover_client_unregister, nullptr);
  REFUSED(handover_client_unregister_async, nullptr, done, nullptr, nullptr);
  REFUSED(handover_session_create, nullptr, "t", nullptr, nullptr, &other);
  REFUSED(handover_session_create, connection, nullptr, nullptr, nullptr, &other);
  REFUSED(handover_session_create, connection, "t", nullptr, nullptr, nullptr);
  REFUSED(handover_session_create_async, connection, "t", nullptr, nullptr, nullptr, nullptr,
          nullptr);
  REFUSED(handover_session_get, connection, nullptr, &other);
  REFUSED(handover_session_preserve, nullptr, 1, 0);
  REFUSED(handover_session_preserve, session, 1, -1);
  REFUSED(handover_session_preserve_async, session, 1, 0, nullptr, nullptr, nullptr);
  REFUSED(handover_session_preserve_blob, nullptr, 1, "x", 1);
  REFUSED(handover_session_preserve_blob, session, 1, nullptr, 1);
  REFUSED(handover_session_preserve_blob_async, session, 1, "x", 1, nullptr, nullptr, nullptr);
  REFUSED(handover_session_unpreserve, nullptr, 1);
  REFUSED(handover_session_unpreserve_async, nullptr, 1, done, nullptr, nullptr);
  REFUSED(handover_session_retrieve, nullptr, 1, &fd);
  REFUSED(handover_session_retrieve, session, 1, nullptr);
  REFUSED(handover_session_retrieve_async, nullptr, 1, done, nullptr, nullptr);
  REFUSED(handover_session_open_luo, nullptr, &fd);
  REFUSED(handover_session_open_luo_async, nullptr, done, nullptr, nullptr);
  REFUSED(handover_session_open_tracker, nullptr, &fd);
  REFUSED(handover_session_open_tracker_async, nullptr, done, nullptr, nullptr);
  REFUSED(handover_session_finish, nullptr);
  REFUSED(handover_session_finish_async, nullptr, done, nullptr, nullptr);
  REFUSED(handover_session_discard, nullptr);
  REFUSED(handover_session_discard_async, nullptr, done, nullptr, nullptr);
  REFUSED(handover_session_list_tokens, nullptr, &tokens);
  REFUSED(handover_session_list_tokens, session, nullptr);
  REFUSED(handover_session_list_tokens_async, session, nullptr, nullptr, nullptr);
  REFUSED(handover_watch_new, connection, nullptr, nullptr, &watch);
  REFUSED(handover_watch_new, connection, &watched, nullptr, &watch);  // without its size
#undef REFUSED
}

}  // namespace
}  // namespace handover::client
