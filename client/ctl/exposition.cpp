// SPDX-License-Identifier: LGPL-2.1-or-later
#include "exposition.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>

namespace handover::ctl {
namespace {

/// The upper bounds of the buckets, in seconds: from a standstill that nobody sees to one that is
/// an outage.
constexpr std::array<double, 18> bounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                           1,     2.5,    5,     10,   20,    30,   60,  120,  300};

std::string number(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

/// A bound: OpenMetrics has each as a float, "1.0".
std::string bound_text(double bound) {
  std::string text = number(bound);
  return text.find('.') == std::string::npos ? text + ".0" : text;
}

const char* word(MetricType type, Exposition format) {
  switch (type) {
    case MetricType::counter:
      return "counter";
    case MetricType::histogram:
      return "histogram";
    case MetricType::info:
      return format == Exposition::openmetrics ? "info" : "gauge";
    case MetricType::gauge:
      break;
  }
  return "gauge";
}

/// "seconds" of "handover_blackout_seconds"; "" if the name ends in no unit.
std::string_view unit_of(std::string_view name) {
  constexpr std::array<std::string_view, 3> units = {"seconds", "bytes", "ratio"};
  for (const auto unit : units) {
    if (name.size() > unit.size() && name.substr(name.size() - unit.size()) == unit &&
        name[name.size() - unit.size() - 1] == '_') {
      return unit;
    }
  }
  return {};
}

/// Names are whatever a client chose: each byte is there again behind a parser. JSON's library
/// knows what is UTF-8.
std::string utf8(const std::string& text) {
  const auto dumped =
      nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return nlohmann::json::parse(dumped).get<std::string>();
}

std::string escaped(const std::string& text, bool quote) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\\' || (c == '"' && quote)) {
      out += '\\';
      out += c;
    } else {
      out += c;
    }
  }
  return out;
}

std::string labels_text(const Labels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    text += (text.empty() ? "{" : ",") + name + "=\"" + escaped(utf8(value), true) + "\"";
  }
  return text.empty() ? text : text + "}";
}

std::string line(const std::string& name, const Labels& labels, const std::string& value) {
  return name + labels_text(labels) + " " + value + "\n";
}

std::string histogram_text(const std::string& name, const Observations& observed) {
  std::string text;
  const auto& values = observed.values;
  const auto bucket = [&](const std::string& bound, std::size_t count) {
    Labels labels = observed.labels;
    labels.emplace_back("le", bound);
    text += line(name + "_bucket", labels, std::to_string(count));
  };
  for (const double bound : bounds) {
    const auto within = std::count_if(values.begin(), values.end(),
                                      [bound](double value) { return value <= bound; });
    bucket(bound_text(bound), static_cast<std::size_t>(within));
  }
  bucket("+Inf", values.size());
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  text += line(name + "_sum", observed.labels, number(sum));
  text += line(name + "_count", observed.labels, std::to_string(values.size()));
  return text;
}

}  // namespace

std::string sample_name(const std::string& family, MetricType type) {
  return family + (type == MetricType::counter ? "_total"
                   : type == MetricType::info  ? "_info"
                                               : "");
}

std::string exposition_of(const std::vector<Family>& families, Exposition format) {
  const bool openmetrics = format == Exposition::openmetrics;
  std::string text;
  for (const auto& family : families) {
    if (family.samples.empty() && family.observations.empty()) continue;
    const auto sample = sample_name(family.name, family.type);
    // In the older format a family is called as its samples are.
    const auto& name = openmetrics ? family.name : sample;
    text += "# HELP " + name + " " + escaped(family.help, openmetrics) + "\n";
    text += "# TYPE " + name + " " + word(family.type, format) + "\n";
    if (const auto unit = unit_of(family.name); openmetrics && !unit.empty()) {
      text += "# UNIT " + name + " " + std::string(unit) + "\n";
    }
    for (const auto& one : family.samples) text += line(sample, one.labels, number(one.value));
    for (const auto& one : family.observations) text += histogram_text(sample, one);
  }
  // A comment in the older format.
  return text + "# EOF\n";
}

const char* content_type(Exposition format) {
  return format == Exposition::openmetrics
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

}  // namespace handover::ctl
