#include "gateway/metrics_catalog.h"

#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/ci_catalog.h"
#include "gateway/json_text.h"
#include "gateway/metrics.h"

namespace semaphore::gateway {
namespace {

std::string JsonText(std::string_view text) {
  std::string out;
  AppendJsonString(&out, text);
  return out;
}

template <typename Strings>
std::string JsonList(const Strings& texts) {
  return absl::StrCat(
      "[",
      absl::StrJoin(texts, ", ",
                    [](std::string* out, std::string_view text) { AppendJsonString(out, text); }),
      "]");
}

// What both kinds of families have; the object is left open. `spec` is a CiFamilySpec or a
// Metrics::Description.
template <typename Spec>
std::string Begin(const Spec& spec, std::string_view type) {
  return absl::StrCat("{\"name\": ", JsonText(spec.name), ", \"type\": ", JsonText(type),
                      ", \"unit\": ", JsonText(spec.unit), ", \"help\": ", JsonText(spec.help),
                      ", \"labels\": ", JsonList(spec.labels), ", \"buckets\": [",
                      absl::StrJoin(spec.buckets, ", "), "]");
}

}  // namespace

std::string MetricsCatalogJson() {
  std::vector<std::string> lines;
  for (const CiFamilySpec& spec : CiCatalog()) {
    std::string line = absl::StrCat(
        Begin(spec, ToWord(spec.type)),
        ", \"scope\": \"ci\", \"level\": ", JsonText(ToWord(spec.level)),
        ", \"event\": ", spec.event ? "true" : "false", ", \"max_series\": ", spec.max_series);
    if (spec.expiry != absl::InfiniteDuration()) {
      absl::StrAppend(&line, ", \"expiry_seconds\": ", absl::ToInt64Seconds(spec.expiry));
    }
    lines.push_back(line + "}");
  }
  for (const Metrics::Description& family : Metrics::Catalog()) {
    lines.push_back(Begin(family, family.type) + ", \"scope\": \"gateway\"}");
  }
  return absl::StrCat("[\n ", absl::StrJoin(lines, ",\n "), "\n]\n");
}

}  // namespace semaphore::gateway
