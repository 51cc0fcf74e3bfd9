// SPDX-License-Identifier: LGPL-2.1-or-later
// org.handover1.Job (docs/dbus.md): the running update, at /org/handover1/job/ID.
#include <cstdlib>

#include "bus/method.h"
#include "bus/server.h"

namespace handover::bus {

namespace {

int find_job(sd_bus*, const char* path, const char*, void* userdata, void** found, sd_bus_error*) {
  const auto& job = engine_of(userdata).job();
  if (!job || job_path(job->id) != path) return 0;
  *found = userdata;
  return 1;
}

int enumerate_jobs(sd_bus*, const char*, void* userdata, char*** nodes, sd_bus_error*) {
  const auto& job = engine_of(userdata).job();
  // sd-bus frees the list and its strings with free().
  auto** list = static_cast<char**>(std::calloc(2, sizeof(char*)));  // NOLINT
  if (list == nullptr) return -ENOMEM;
  if (job) list[0] = strdup(job_path(job->id).c_str());
  *nodes = list;
  return 0;
}

int get(sd_bus*, const char*, const char*, const char* property, sd_bus_message* reply,
        void* userdata, sd_bus_error*) {
  const auto& job = engine_of(userdata).job();
  if (!job) return -ENOENT;
  const std::string_view wanted = property;
  if (wanted == "Id") {
    return sd_bus_message_append(reply, "u", static_cast<std::uint32_t>(job->id));
  }
  if (wanted == "Progress") return sd_bus_message_append(reply, "u", job->progress);
  if (wanted == "Phase") return sd_bus_message_append(reply, "s", word_of(job->phase));
  if (wanted == "Detail") return sd_bus_message_append(reply, "s", job->detail.c_str());
  return sd_bus_message_append(reply, "s", word_of(job->type));
}

const sd_bus_vtable job_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Id", "u", safe<get>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Type", "s", safe<get>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Phase", "s", safe<get>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Progress", "u", safe<get>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Detail", "s", safe<get>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_METHOD_WITH_ARGS("Cancel", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, safe<cancel_update>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END};

}  // namespace

std::string job_path(std::uint64_t id) { return std::string(job_root) + "/" + std::to_string(id); }

const Interface job_interface{"org.handover1.Job", job_vtable};

Result<void> add_job_objects(Link& link) {
  sd_bus_slot* slot = nullptr;
  int result = sd_bus_add_fallback_vtable(link.bus.get(), &slot, job_root, job_interface.name,
                                          job_interface.vtable, safe<find_job>, &link);
  if (result >= 0) {
    link.slots.emplace_back(slot);
    result =
        sd_bus_add_node_enumerator(link.bus.get(), &slot, job_root, safe<enumerate_jobs>, &link);
  }
  if (result >= 0) link.slots.emplace_back(slot);
  return check(result, "serving org.handover1.Job");
}

}  // namespace handover::bus
