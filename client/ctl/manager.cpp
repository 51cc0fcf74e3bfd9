// SPDX-License-Identifier: LGPL-2.1-or-later
#include "manager.h"

#include <cerrno>
#include <utility>

#include "notice.h"

namespace handover::ctl {
namespace {

constexpr const char* manager_path = "/org/handover1";
constexpr const char* manager_interface = "org.handover1.Manager";

struct OwnedError {
  sd_bus_error value = SD_BUS_ERROR_NULL;
  OwnedError() = default;
  OwnedError(const OwnedError&) = delete;
  OwnedError& operator=(const OwnedError&) = delete;
  ~OwnedError() { sd_bus_error_free(&value); }
};

client::Result<Message> make_call(client::Connection& connection, const char* path,
                                  const char* interface, const char* method) {
  if (!connection.bus()) return bus_error(-ENOTCONN, nullptr);
  sd_bus_message* message = nullptr;
  int r = sd_bus_message_new_method_call(connection.bus(), &message, connection.destination(), path,
                                         interface, method);
  if (r < 0) return bus_error(r, nullptr);
  Message owned(message);
  return owned;
}

int append_option(sd_bus_message* message, const char* key,
                  const std::optional<std::string>& value) {
  return value ? sd_bus_message_append(message, "{sv}", key, "s", value->c_str()) : 0;
}

const char* method_of(UpdateRequest::Kind kind) {
  switch (kind) {
    case UpdateRequest::Kind::prepare:
      return "Prepare";
    case UpdateRequest::Kind::rehearse:
      return "Rehearse";
    case UpdateRequest::Kind::update:
      break;
  }
  return "Update";
}

client::Result<void> append_options(sd_bus_message* message, const UpdateRequest& request) {
  int r = sd_bus_message_open_container(message, SD_BUS_TYPE_ARRAY, "{sv}");
  for (const auto& [key, value] : {std::pair{"kernel", &request.kernel},
                                   {"initrd", &request.initrd},
                                   {"cmdline", &request.cmdline},
                                   {"mode", &request.mode},
                                   {"allow", &request.allow}}) {
    if (r >= 0) r = append_option(message, key, *value);
    if (r == -EINVAL) {
      return client::Error{
          HANDOVER_ERROR_PREFIX "InvalidArgument",
          std::string("The ") + key + " given is not UTF-8, which is all that D-Bus carries.",
          EINVAL};
    }
  }
  if (r >= 0 && request.at_most_usec) {
    r = sd_bus_message_append(message, "{sv}", "at-most-usec", "t", *request.at_most_usec);
  }
  if (r >= 0) r = sd_bus_message_close_container(message);
  if (r < 0) return bus_error(r, nullptr);
  return {};
}

/// Each struct of an array; `read` returns what sd_bus_message_read() did.
template <typename Row, typename Read>
client::Result<std::vector<Row>> read_rows(sd_bus_message* message, const char* signature,
                                           Read read) {
  std::vector<Row> rows;
  const std::string in_struct = std::string("(") + signature + ")";
  int r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, in_struct.c_str());
  while (r >= 0 &&
         (r = sd_bus_message_enter_container(message, SD_BUS_TYPE_STRUCT, signature)) > 0) {
    Row row;
    r = read(&row);
    if (r >= 0) r = sd_bus_message_exit_container(message);
    rows.push_back(std::move(row));
  }
  if (r < 0) return bus_error(r, nullptr);
  return rows;
}

}  // namespace

client::Result<Message> Manager::new_call(const char* method) {
  return make_call(connection_, manager_path, manager_interface, method);
}

client::Result<Message> Manager::call(const Message& message) {
  if (!connection_.bus()) return bus_error(-ENOTCONN, nullptr);
  OwnedError error;
  sd_bus_message* reply = nullptr;
  int r = sd_bus_message_set_auto_start(message.get(), start_ == Start::yes ? 1 : 0);
  if (r < 0) return bus_error(r, nullptr);
  {
    const Notice notice;
    r = sd_bus_call(connection_.bus(), message.get(), 0, &error.value, &reply);
  }
  // NoReply has that errno, too: the daemon went away before it answered.
  if (r == -ETIMEDOUT && sd_bus_error_has_name(&error.value, SD_BUS_ERROR_NO_REPLY) <= 0) {
    return client::Error{SD_BUS_ERROR_TIMEOUT,
                         "handoverd does not answer; 'systemctl status handoverd' shows what it "
                         "does, --timeout waits longer.",
                         ETIMEDOUT};
  }
  if (r < 0) return bus_error(r, &error.value);
  return Message(reply);
}

client::Result<Properties> Manager::get_all(const char* path, const char* interface) {
  auto message = make_call(connection_, path, "org.freedesktop.DBus.Properties", "GetAll");
  if (!message) return message.error();
  int r = sd_bus_message_append(message->get(), "s", interface);
  if (r < 0) return bus_error(r, nullptr);
  auto reply = call(*message);
  if (!reply) return reply.error();
  Properties properties;
  r = read_properties(reply->get(), &properties);
  if (r < 0) return bus_error(r, nullptr);
  return properties;
}

client::Result<Status> Manager::status() {
  auto all = get_all(manager_path, manager_interface);
  if (!all) return all.error();
  Status status;
  status.version = property<std::string>(*all, "Version");
  status.state = property<std::string>(*all, "State");
  status.generation = property<std::uint64_t>(*all, "Generation");
  status.backend = property<std::string>(*all, "Backend");
  status.backends = property<std::vector<std::string>>(*all, "Backends");
  status.emulated = property<bool>(*all, "Emulated");
  status.module = property<bool>(*all, "Module");
  status.module_abi = property<std::uint64_t>(*all, "ModuleABI");
  status.module_format = property<std::uint64_t>(*all, "ModuleFormat");
  status.module_lost = property<std::uint64_t>(*all, "ModuleLost");
  status.current_job = property<std::string>(*all, "CurrentJob");
  return status;
}

client::Result<Properties> Manager::statistics() {
  auto message = make_call(connection_, manager_path, "org.freedesktop.DBus.Properties", "Get");
  if (!message) return message.error();
  int r = sd_bus_message_append(message->get(), "ss", manager_interface, "Statistics");
  if (r < 0) return bus_error(r, nullptr);
  auto reply = call(*message);
  if (!reply && reply.error().is(SD_BUS_ERROR_UNKNOWN_PROPERTY)) return Properties();
  if (!reply) return reply.error();
  Properties statistics;
  r = sd_bus_message_enter_container(reply->get(), SD_BUS_TYPE_VARIANT, "a{sv}");
  if (r >= 0) r = read_properties(reply->get(), &statistics);
  if (r < 0) return bus_error(r, nullptr);
  return statistics;
}

client::Result<JobStatus> Manager::job(const std::string& path) {
  auto all = get_all(path.c_str(), "org.handover1.Job");
  if (!all) return all.error();
  JobStatus job;
  job.type = property<std::string>(*all, "Type");
  job.phase = property<std::string>(*all, "Phase");
  job.detail = property<std::string>(*all, "Detail");
  job.progress = property<std::uint64_t>(*all, "Progress");
  return job;
}

client::Result<std::vector<ClientRow>> Manager::clients() {
  auto message = new_call("ListClients");
  if (!message) return message.error();
  auto reply = call(*message);
  if (!reply) return reply.error();
  sd_bus_message* m = reply->get();
  return read_rows<ClientRow>(m, "sosuasbs", [m](ClientRow* row) {
    const char* name = nullptr;
    const char* path = nullptr;
    const char* bus_name = nullptr;
    int r = sd_bus_message_read(m, "sosu", &name, &path, &bus_name, &row->uid);
    if (r < 0) return r;
    row->name = name;
    row->path = path;
    row->bus_name = bus_name;
    r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "s");
    const char* need = nullptr;
    while (r >= 0 && (r = sd_bus_message_read_basic(m, 's', &need)) > 0) {
      row->needs.emplace_back(need);
    }
    if (r >= 0) r = sd_bus_message_exit_container(m);
    int required = 0;
    const char* phase = nullptr;
    if (r >= 0) r = sd_bus_message_read(m, "bs", &required, &phase);
    if (r < 0) return r;
    row->required = required != 0;
    row->phase = phase;
    return r;
  });
}

client::Result<std::vector<SessionRow>> Manager::sessions() {
  auto message = new_call("ListSessions");
  if (!message) return message.error();
  auto reply = call(*message);
  if (!reply) return reply.error();
  sd_bus_message* m = reply->get();
  return read_rows<SessionRow>(m, "sosusbut", [m](SessionRow* row) {
    const char* name = nullptr;
    const char* path = nullptr;
    const char* backend = nullptr;
    const char* client = nullptr;
    int incoming = 0;
    const int r = sd_bus_message_read(m, "sosusbut", &name, &path, &backend, &row->uid, &client,
                                      &incoming, &row->descriptors, &row->bytes);
    if (r < 0) return r;
    row->name = name;
    row->path = path;
    row->backend = backend;
    row->client = client;
    row->incoming = incoming != 0;
    return r;
  });
}

client::Result<nlohmann::json> Manager::history(std::uint32_t most) {
  auto message = new_call("GetHistory");
  if (!message) return message.error();
  int r = sd_bus_message_append(message->get(), "u", most);
  if (r < 0) return bus_error(r, nullptr);
  auto reply = call(*message);
  if (!reply) return reply.error();
  const char* text = nullptr;
  r = sd_bus_message_read(reply->get(), "s", &text);
  if (r < 0) return bus_error(r, nullptr);
  auto json = nlohmann::json::parse(text, nullptr, false);
  bool understood = json.is_array();
  if (understood) {
    for (const auto& entry : json) understood = understood && entry.is_object();
  }
  if (!understood) return client::Error{"", "The daemon's history is not as documented.", EBADMSG};
  return json;
}

client::Result<std::vector<FindingRow>> Manager::preflight(const UpdateRequest& request) {
  auto message = new_call("Preflight");
  if (!message) return message.error();
  if (auto appended = append_options(message->get(), request); !appended) return appended.error();
  auto reply = call(*message);
  if (!reply) return reply.error();
  return read_rows<FindingRow>(reply->get(), "ssss", [&reply](FindingRow* row) {
    const char* texts[4] = {};
    const int r =
        sd_bus_message_read(reply->get(), "ssss", &texts[0], &texts[1], &texts[2], &texts[3]);
    if (r >= 0) *row = {texts[0], texts[1], texts[2], texts[3]};
    return r;
  });
}

client::Result<std::vector<KernelRow>> Manager::kernels() {
  auto message = new_call("ListKernels");
  if (!message) return message.error();
  auto reply = call(*message);
  if (!reply) return reply.error();
  return read_rows<KernelRow>(reply->get(), "sssssb", [&reply](KernelRow* row) {
    const char* texts[5] = {};
    int running = 0;
    const int r = sd_bus_message_read(reply->get(), "sssssb", &texts[0], &texts[1], &texts[2],
                                      &texts[3], &texts[4], &running);
    if (r >= 0) *row = {texts[0], texts[1], texts[2], texts[3], texts[4], running != 0};
    return r;
  });
}

client::Result<void> Manager::allow_kernel(const std::string& release) {
  auto message = new_call("AllowKernel");
  if (!message) return message.error();
  const int r = sd_bus_message_append(message->get(), "s", release.c_str());
  if (r < 0) return bus_error(r, nullptr);
  auto reply = call(*message);
  if (!reply) return reply.error();
  return {};
}

client::Result<void> Manager::cancel() {
  auto message = new_call("Cancel");
  if (!message) return message.error();
  auto reply = call(*message);
  if (!reply) return reply.error();
  return {};
}

client::Result<void> Manager::unregister_client(const std::string& name) {
  auto message = new_call("UnregisterClient");
  if (!message) return message.error();
  const int r = sd_bus_message_append(message->get(), "s", name.c_str());
  if (r < 0) return bus_error(r, nullptr);
  auto reply = call(*message);
  if (!reply) return reply.error();
  return {};
}

client::Result<Slot> Manager::request(const UpdateRequest& request,
                                      std::function<void(client::Result<std::string>)>* done) {
  auto message = new_call(method_of(request.kind));
  if (!message) return message.error();
  sd_bus_message* m = message->get();
  if (auto appended = append_options(m, request); !appended) return appended.error();
  const auto answered = [](sd_bus_message* reply, void* userdata, sd_bus_error*) {
    auto& told = *static_cast<std::function<void(client::Result<std::string>)>*>(userdata);
    const char* path = nullptr;
    if (const sd_bus_error* error = sd_bus_message_get_error(reply)) {
      told(bus_error(-sd_bus_message_get_errno(reply), error));
    } else if (const int result = sd_bus_message_read(reply, "o", &path); result < 0) {
      told(bus_error(result, nullptr));
    } else {
      told(std::string(path));
    }
    return 0;
  };
  sd_bus_slot* slot = nullptr;
  const int r = sd_bus_call_async(connection_.bus(), &slot, m, answered, done, 0);
  if (r < 0) return bus_error(r, nullptr);
  return Slot(slot);
}

}  // namespace handover::ctl
