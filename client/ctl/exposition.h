// SPDX-License-Identifier: LGPL-2.1-or-later
// Metrics as text: OpenMetrics 1.0, and the older text format of Prometheus. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace handover::ctl {

enum class MetricType {
  gauge,
  counter,    ///< its samples' names end in _total
  info,       ///< 1, and what is told is in the labels; its samples' names end in _info
  histogram,  ///< classic: with buckets
};

using Labels = std::vector<std::pair<std::string, std::string>>;

struct Sample {
  Labels labels;
  double value = 0;
};

/// What was observed under the same labels. Values are of the family's unit.
struct Observations {
  Labels labels;
  std::vector<double> values;
};

struct Family {
  std::string name;  ///< without _total and _info; ends in its unit, if it has one
  MetricType type = MetricType::gauge;
  std::string help;
  std::vector<Sample> samples;
  std::vector<Observations> observations;  ///< of a histogram
};

enum class Exposition {
  openmetrics,  ///< application/openmetrics-text; version=1.0.0
  text,         ///< text/plain; version=0.0.4: all that node_exporter's textfiles may be in
};

/// The name that the samples of that family have; of a histogram, what its _bucket, _sum and _count
/// begin with.
std::string sample_name(const std::string& family, MetricType type);

/// Families without samples are left out. Bytes in labels that are not UTF-8 come out as U+FFFD.
std::string exposition_of(const std::vector<Family>& families, Exposition format);

/// As HTTP's Content-Type names it.
const char* content_type(Exposition format);

}  // namespace handover::ctl
