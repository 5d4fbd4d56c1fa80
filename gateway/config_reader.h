// Typed reading of a configuration tree: each call names a key, what is allowed there and where the
// value goes; what does not fit becomes one error line, and reading goes on, so that one run tells
// all errors. Unknown and duplicate keys are found here too. It knows the grammar of values
// (durations, sizes, addresses), not the keys of the program.
#ifndef SEMAPHORE_GATEWAY_CONFIG_READER_H_
#define SEMAPHORE_GATEWAY_CONFIG_READER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "gateway/config_document.h"

namespace semaphore::gateway {

struct HostPort;

// Collects error lines, in the order found, at most 50.
class ConfigErrors {
 public:
  explicit ConfigErrors(std::string file) : file_(std::move(file)) {}

  void Add(ConfigPosition at, const std::string& path, const std::string& text);
  // `FILE:LINE:COLUMN: PATH: TEXT`; without a line, `FILE: PATH: TEXT`.
  std::string Line(ConfigPosition at, const std::string& path, const std::string& text) const;
  // OK, or INVALID_ARGUMENT with one error per line.
  absl::Status status() const;

 private:
  const std::string file_;
  std::vector<std::string> lines_;
  size_t dropped_ = 0;
};

struct ConfigText {
  std::string text;
  ConfigPosition position;
};

// One mapping being read. A missing mapping (null node) reads as an empty one: every key keeps its
// default. Each reader leaves `*out` alone and returns false when the key is absent or wrong. A key
// written without a value is absent for a section and wrong for a value. `node` outlives the
// section.
class ConfigSection {
 public:
  ConfigSection(ConfigErrors* errors, const ConfigNode* node, std::string path);
  ConfigSection(const ConfigSection&) = delete;
  ConfigSection& operator=(const ConfigSection&) = delete;

  bool Integer(std::string_view key, int64_t min, int64_t max, int64_t* out);
  bool Number(std::string_view key, double min, double max, double* out);
  bool Boolean(std::string_view key, bool* out);
  // Whole milliseconds, written `500ms`, `30s`, `5m`, `1h` or joined: `1m30s`.
  bool Duration(std::string_view key, std::chrono::milliseconds min, std::chrono::milliseconds max,
                std::chrono::milliseconds* out);
  // A number of bytes, bare or with KiB, MiB or GiB.
  bool Bytes(std::string_view key, int64_t min, int64_t max, int64_t* out);
  bool Word(std::string_view key, std::initializer_list<std::string_view> words, std::string* out);
  // 1 to `max_bytes` bytes without control characters. Never quoted in an error: it may be a secret
  // put in the wrong place.
  bool Text(std::string_view key, size_t max_bytes, std::string* out);
  bool TextList(std::string_view key, size_t max_items, size_t max_bytes,
                std::vector<ConfigText>* out);
  // An IP address or `localhost`, and a port: `127.0.0.1:50051`, `[::1]:0`.
  bool Address(std::string_view key, HostPort* out);

  // The mapping or sequence under `key`; null when absent, empty or of the wrong kind (the last is
  // an error).
  const ConfigNode* Mapping(std::string_view key);
  const ConfigNode* Sequence(std::string_view key);

  bool Has(std::string_view key) const { return Find(key).has_value(); }
  // Written, but without a value.
  bool IsNull(std::string_view key) const;
  // Of the key; of the section when the key is absent.
  ConfigPosition PositionOf(std::string_view key) const;
  std::string PathOf(std::string_view key) const;
  void Error(std::string_view key, const std::string& text);

  // Call last: every key that no reader asked for is an error that names the nearest one that was.
  void RefuseUnknownKeys();

 private:
  std::optional<size_t> Find(std::string_view key) const;
  const ConfigNode* Value(std::string_view key);
  // The text of a scalar; an error saying what was `expected` when it is not one.
  const ConfigNode* Scalar(std::string_view key, const std::string& expected);
  bool Refuse(const ConfigNode& node, std::string_view key, const std::string& expected);

  ConfigErrors* const errors_;
  const ConfigNode* const node_;  // null: every key is absent
  const std::string path_;
  std::vector<std::string> known_;
};

// What stands there, for an error: `"many"` (at most 64 bytes), `a list`, `nothing`.
std::string DescribeNode(const ConfigNode& node);

// "30s", "500ms", "1m30s": the shortest text that Duration reads back.
std::string FormatDuration(std::chrono::milliseconds duration);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CONFIG_READER_H_
