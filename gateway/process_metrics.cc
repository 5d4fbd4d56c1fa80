#include "gateway/process_metrics.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>
#include <utility>

namespace semaphore::gateway {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Single(const char* name, const char* help, MetricType type, double value) {
  MetricFamily family{name, help, type, std::vector<prometheus::ClientMetric>(1)};
  family.metric[0].counter.value = value;
  family.metric[0].gauge.value = value;
  return family;
}

// Fields of /proc/self/stat, counted from 1 as in proc(5).
struct ProcessStat {
  double user_ticks = 0;      // 14
  double system_ticks = 0;    // 15
  double start_ticks = 0;     // 22, since boot
  double virtual_bytes = 0;   // 23
  double resident_pages = 0;  // 24
};

std::optional<ProcessStat> ReadStat(const std::string& proc) {
  std::ifstream file(proc + "/self/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  // The second field is the program's name in parentheses and may hold spaces and parentheses
  // itself.
  const size_t close = line.rfind(')');
  if (close == std::string::npos) return std::nullopt;
  std::istringstream rest(line.substr(close + 1));
  ProcessStat stat;
  std::string word;
  for (int field = 3; field <= 24; ++field) {
    if (!(rest >> word)) return std::nullopt;
    double* const target = field == 14   ? &stat.user_ticks
                           : field == 15 ? &stat.system_ticks
                           : field == 22 ? &stat.start_ticks
                           : field == 23 ? &stat.virtual_bytes
                           : field == 24 ? &stat.resident_pages
                                         : nullptr;
    if (target == nullptr) continue;
    std::istringstream number(word);
    if (!(number >> *target)) return std::nullopt;
  }
  return stat;
}

// The number after `key` in a file of lines "key value…".
std::optional<double> ReadKey(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind(key, 0) != 0) continue;
    std::istringstream rest(line.substr(key.size()));
    double value = 0;
    if (rest >> value) return value;
    return std::nullopt;
  }
  return std::nullopt;
}

std::optional<double> CountEntries(const std::string& path) {
  std::error_code error;
  std::filesystem::directory_iterator entries(path, error);
  double count = 0;
  while (!error && entries != std::filesystem::directory_iterator()) {
    ++count;
    entries.increment(error);
  }
  if (error) return std::nullopt;
  return count;
}

}  // namespace

std::vector<MetricFamily> CollectProcessMetrics(const std::string& proc) {
  std::vector<MetricFamily> out;
  if (const std::optional<ProcessStat> stat = ReadStat(proc)) {
    const double ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
    out.push_back(Single("process_cpu_seconds_total",
                         "Total user and system CPU time spent in seconds.", MetricType::Counter,
                         (stat->user_ticks + stat->system_ticks) / ticks_per_second));
    out.push_back(Single("process_resident_memory_bytes", "Resident memory size in bytes.",
                         MetricType::Gauge,
                         stat->resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE))));
    out.push_back(Single("process_virtual_memory_bytes", "Virtual memory size in bytes.",
                         MetricType::Gauge, stat->virtual_bytes));
    if (const std::optional<double> boot = ReadKey(proc + "/stat", "btime ")) {
      out.push_back(Single("process_start_time_seconds",
                           "Start time of the process since unix epoch in seconds.",
                           MetricType::Gauge, *boot + stat->start_ticks / ticks_per_second));
    }
  }
  if (const std::optional<double> open = CountEntries(proc + "/self/fd")) {
    out.push_back(
        Single("process_open_fds", "Number of open file descriptors.", MetricType::Gauge, *open));
  }
  if (const std::optional<double> limit = ReadKey(proc + "/self/limits", "Max open files ")) {
    out.push_back(Single("process_max_fds", "Maximum number of open file descriptors.",
                         MetricType::Gauge, *limit));
  }
  return out;
}

}  // namespace semaphore::gateway
