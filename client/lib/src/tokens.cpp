// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tokens.h"

#include <memory>

#include "error.h"
#include "session.h"

int handover_session::take_tokens(sd_bus_message* reply, handover_token_list** ret,
                                  handover_error** error) {
  auto list = std::make_unique<handover_token_list>();
  int r = sd_bus_message_enter_container(reply, SD_BUS_TYPE_VARIANT, "a(tstbs)");
  if (r >= 0) r = sd_bus_message_enter_container(reply, SD_BUS_TYPE_ARRAY, "(tstbs)");
  while (r >= 0) {
    handover_token token;
    int retrieved = 0;
    const char* kind = nullptr;
    const char* backend = nullptr;
    r = sd_bus_message_read(reply, "(tstbs)", &token.number, &kind, &token.bytes, &retrieved,
                            &backend);
    if (r <= 0) break;
    token.retrieved = retrieved != 0;
    token.kind = kind;
    token.backend = backend;
    list->tokens.push_back(std::move(token));
  }
  if (r < 0) return handover::client::report_errno(error, r, "Reading the daemon's answer");
  *ret = list.release();
  return 0;
}

size_t handover_token_list_count(const handover_token_list* list) {
  return list ? list->tokens.size() : 0;
}
const handover_token* handover_token_list_get(const handover_token_list* list, size_t index) {
  return list && index < list->tokens.size() ? &list->tokens[index] : nullptr;
}
handover_token_list* handover_token_list_free(handover_token_list* list) {
  delete list;
  return nullptr;
}

uint64_t handover_token_number(const handover_token* token) { return token ? token->number : 0; }
uint64_t handover_token_bytes(const handover_token* token) { return token ? token->bytes : 0; }
int handover_token_is_retrieved(const handover_token* token) {
  return token && token->retrieved ? 1 : 0;
}
const char* handover_token_kind(const handover_token* token) {
  return token ? token->kind.c_str() : "";
}
const char* handover_token_backend(const handover_token* token) {
  return token ? token->backend.c_str() : "";
}
