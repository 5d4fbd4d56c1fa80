// Writes metrics pages: Prometheus's text format 0.0.4 and OpenMetrics 1.0.0 with exemplars, which
// prometheus-cpp cannot write. Whatever it is given, the page is lawful: valid UTF-8, one line per
// sample, no label set twice, no family over its cap. Pages come in pieces, so that a big one is
// never held in memory whole. It does no I/O.
#ifndef SEMAPHORE_GATEWAY_EXPOSITION_H_
#define SEMAPHORE_GATEWAY_EXPOSITION_H_

#include <prometheus/metric_family.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/ci_catalog.h"
#include "gateway/ci_series.h"

namespace semaphore::gateway {

enum class Exposition { kText, kOpenMetrics };

// "text/plain; version=0.0.4; charset=utf-8".
std::string_view ContentTypeOf(Exposition format);

// What to send to whom says `accept` (the header's value; several headers joined by commas).
// OpenMetrics only to those who name it and like it no less than text; text to everyone else, also
// to those who take neither:
//   Prometheus's own header -> kOpenMetrics; "*/*", "" and "image/png" -> kText.
Exposition NegotiateExposition(std::string_view accept);

// The page of a snapshot, in the catalogue's order of families and sorted by label values within
// each. Left out are families that are not in the catalogue, series that do not fit its
// declaration, and those beyond the cap of a family of states, the last guard against a flood.
class CiPage {
 public:
  CiPage(std::shared_ptr<const CiSnapshot> snapshot, Exposition format);

  // Appends the next lines, `bytes` of them and a series more at most. False when the page is
  // complete.
  bool Append(size_t bytes, std::string* out);

  // Series left out so far, also before they came here.
  uint64_t dropped() const { return dropped_; }

 private:
  void OpenFamily(const CiFamilySpec& spec, std::string* out);
  const CiFamily* Find(std::string_view name) const;

  const std::shared_ptr<const CiSnapshot> snapshot_;
  const Exposition format_;
  size_t next_family_ = 0;
  const CiFamilySpec* open_ = nullptr;
  std::vector<const CiSeries*> rows_;  // of the open family, sorted
  size_t next_row_ = 0;
  std::deque<CiSeries> cleaned_;  // what had to be changed, of the open family
  std::string scratch_;
  uint64_t dropped_ = 0;
  bool complete_ = false;
};

// "seconds" for "process_cpu_seconds_total", "bytes" likewise; else "".
std::string_view UnitOf(std::string_view name);

// The page of what prometheus-cpp collected: counters, gauges and histograms, in the given order of
// families and sorted by labels within each.
std::string WriteFamilies(std::vector<prometheus::MetricFamily> families, Exposition format);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_EXPOSITION_H_
