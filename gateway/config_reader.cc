#include "gateway/config_reader.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "gateway/config.h"
#include "gateway/json_text.h"

namespace semaphore::gateway {
namespace {

constexpr size_t kMaxErrors = 50;
constexpr size_t kMaxQuotedBytes = 64;

std::string Quote(std::string_view text) {
  const std::string repaired = RepairUtf8(text, kMaxQuotedBytes);
  std::string out;
  AppendJsonString(&out, repaired.size() < text.size() ? repaired + "..." : repaired);
  return out;
}

// Levenshtein distance, for "did you mean". Keys are short; longer texts are cut by the caller.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

bool OnlyOf(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

std::optional<int64_t> ParseBytes(std::string_view text) {
  constexpr std::pair<std::string_view, int64_t> kUnits[] = {
      {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"", 1}};
  for (const auto& [unit, factor] : kUnits) {
    if (!text.ends_with(unit)) continue;
    text.remove_suffix(unit.size());
    int64_t count = 0;
    // Twelve digits times a GiB still fit.
    if (text.size() > 9 + 6 || !OnlyOf(text, "0123456789")) return std::nullopt;
    if (!absl::SimpleAtoi(std::string(text), &count)) return std::nullopt;
    if (count > INT64_MAX / factor) return std::nullopt;
    return count * factor;
  }
  return std::nullopt;
}

std::optional<HostPort> ParseAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view port_text = text.substr(colon + 1);
  std::string host(text.substr(0, colon));
  uint32_t port = 0;
  if (port_text.size() > 5 || !OnlyOf(port_text, "0123456789") ||
      !absl::SimpleAtoi(std::string(port_text), &port) || port > 65535) {
    return std::nullopt;
  }
  in6_addr scratch;
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const bool good = bracketed
                        ? inet_pton(AF_INET6, host.c_str(), &scratch) == 1
                        : host == "localhost" || inet_pton(AF_INET, host.c_str(), &scratch) == 1;
  if (!good) return std::nullopt;
  return HostPort{std::move(host), static_cast<uint16_t>(port)};
}

bool IsPlainText(const ConfigNode& node, size_t max_bytes) {
  if (node.kind != ConfigNode::Kind::kScalar) return false;
  if (node.scalar.empty() || node.scalar.size() > max_bytes) return false;
  return std::none_of(node.scalar.begin(), node.scalar.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7F;
  });
}

}  // namespace

std::string DescribeNode(const ConfigNode& node) {
  switch (node.kind) {
    case ConfigNode::Kind::kNull:
      return "nothing";
    case ConfigNode::Kind::kScalar:
      return Quote(node.scalar);
    case ConfigNode::Kind::kSequence:
      return "a list";
    case ConfigNode::Kind::kMapping:
      return "a mapping";
  }
  return "nothing";
}

std::string FormatDuration(std::chrono::milliseconds duration) {
  if (duration.count() == 0) return "0s";
  return absl::FormatDuration(absl::FromChrono(duration));
}

void ConfigErrors::Add(ConfigPosition at, const std::string& path, const std::string& text) {
  if (lines_.size() < kMaxErrors) {
    lines_.push_back(Line(at, path, text));
  } else {
    ++dropped_;
  }
}

std::string ConfigErrors::Line(ConfigPosition at, const std::string& path,
                               const std::string& text) const {
  std::string line = file_;
  if (at.line > 0) absl::StrAppend(&line, ":", at.line, ":", at.column);
  if (!path.empty()) absl::StrAppend(&line, ": ", path);
  return absl::StrCat(line, ": ", text);
}

absl::Status ConfigErrors::status() const {
  if (lines_.empty()) return absl::OkStatus();
  std::string text = absl::StrJoin(lines_, "\n");
  if (dropped_ > 0) absl::StrAppend(&text, "\n", file_, ": and ", dropped_, " more");
  return absl::InvalidArgumentError(text);
}

ConfigSection::ConfigSection(ConfigErrors* errors, const ConfigNode* node, std::string path)
    : errors_(errors), node_(node), path_(std::move(path)) {
  if (node_ == nullptr) return;
  for (size_t i = 0; i < node_->keys.size(); ++i) {
    const auto begin = node_->keys.begin();
    const auto first = std::find(begin, begin + static_cast<ptrdiff_t>(i), node_->keys[i]);
    if (first == begin + static_cast<ptrdiff_t>(i)) continue;
    const int line = node_->key_positions[static_cast<size_t>(first - begin)].line;
    errors_->Add(node_->key_positions[i], PathOf(RepairUtf8(node_->keys[i], kMaxQuotedBytes)),
                 absl::StrCat("given twice, first on line ", line));
  }
}

std::optional<size_t> ConfigSection::Find(std::string_view key) const {
  if (node_ == nullptr) return std::nullopt;
  const auto at = std::find(node_->keys.begin(), node_->keys.end(), key);
  if (at == node_->keys.end()) return std::nullopt;
  return static_cast<size_t>(at - node_->keys.begin());
}

bool ConfigSection::IsNull(std::string_view key) const {
  const std::optional<size_t> index = Find(key);
  return index.has_value() && node_->items[*index].kind == ConfigNode::Kind::kNull;
}

const ConfigNode* ConfigSection::Value(std::string_view key) {
  known_.emplace_back(key);
  const std::optional<size_t> index = Find(key);
  return index.has_value() ? &node_->items[*index] : nullptr;
}

ConfigPosition ConfigSection::PositionOf(std::string_view key) const {
  const std::optional<size_t> index = Find(key);
  if (index.has_value()) return node_->key_positions[*index];
  return node_ != nullptr ? node_->position : ConfigPosition{};
}

std::string ConfigSection::PathOf(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

void ConfigSection::Error(std::string_view key, const std::string& text) {
  errors_->Add(PositionOf(key), PathOf(key), text);
}

bool ConfigSection::Refuse(const ConfigNode& node, std::string_view key,
                           const std::string& expected) {
  errors_->Add(node.position, PathOf(key),
               absl::StrCat("expected ", expected, ", got ", DescribeNode(node)));
  return false;
}

const ConfigNode* ConfigSection::Scalar(std::string_view key, const std::string& expected) {
  const ConfigNode* node = Value(key);
  if (node == nullptr || node->kind == ConfigNode::Kind::kScalar) return node;
  Refuse(*node, key, expected);
  return nullptr;
}

bool ConfigSection::Integer(std::string_view key, int64_t min, int64_t max, int64_t* out) {
  const std::string expected = absl::StrCat("an integer from ", min, " to ", max);
  const ConfigNode* node = Scalar(key, expected);
  if (node == nullptr) return false;
  int64_t value = 0;
  const bool good = !node->quoted && OnlyOf(node->scalar, "-0123456789") &&
                    absl::SimpleAtoi(node->scalar, &value) && value >= min && value <= max;
  if (!good) return Refuse(*node, key, expected);
  *out = value;
  return true;
}

bool ConfigSection::Number(std::string_view key, double min, double max, double* out) {
  // "%.15g" and not StrCat, which writes a million as 1e+06.
  const std::string expected = absl::StrFormat("a number from %.15g to %.15g", min, max);
  const ConfigNode* node = Scalar(key, expected);
  if (node == nullptr) return false;
  double value = 0;
  // The comparison also refuses NaN.
  const bool good = !node->quoted && OnlyOf(node->scalar, "-+.eE0123456789") &&
                    absl::SimpleAtod(node->scalar, &value) && value >= min && value <= max;
  if (!good) return Refuse(*node, key, expected);
  *out = value;
  return true;
}

bool ConfigSection::Boolean(std::string_view key, bool* out) {
  const ConfigNode* node = Scalar(key, "true or false");
  if (node == nullptr) return false;
  const bool good = !node->quoted && (node->scalar == "true" || node->scalar == "false");
  if (!good) return Refuse(*node, key, "true or false");
  *out = node->scalar == "true";
  return true;
}

bool ConfigSection::Duration(std::string_view key, std::chrono::milliseconds min,
                             std::chrono::milliseconds max, std::chrono::milliseconds* out) {
  const std::string expected = absl::StrCat("a duration from ", FormatDuration(min), " to ",
                                            FormatDuration(max), " with its unit (ms, s, m or h)");
  const ConfigNode* node = Scalar(key, expected);
  if (node == nullptr) return false;
  absl::Duration parsed;
  const bool shape = node->scalar.size() <= 32 && OnlyOf(node->scalar, ".0123456789hms") &&
                     absl::ParseDuration(node->scalar, &parsed);
  if (!shape || parsed < absl::FromChrono(min) || parsed > absl::FromChrono(max) ||
      absl::Trunc(parsed, absl::Milliseconds(1)) != parsed) {
    return Refuse(*node, key, expected);
  }
  *out = absl::ToChronoMilliseconds(parsed);
  return true;
}

bool ConfigSection::Bytes(std::string_view key, int64_t min, int64_t max, int64_t* out) {
  const std::string expected = absl::StrCat("a number of bytes from ", min, " to ", max,
                                            " (KiB, MiB and GiB are understood)");
  const ConfigNode* node = Scalar(key, expected);
  if (node == nullptr) return false;
  const std::optional<int64_t> value = ParseBytes(node->scalar);
  if (!value.has_value() || *value < min || *value > max) return Refuse(*node, key, expected);
  *out = *value;
  return true;
}

bool ConfigSection::Word(std::string_view key, std::initializer_list<std::string_view> words,
                         std::string* out) {
  std::string expected;
  for (const std::string_view word : words) {
    if (!expected.empty()) expected += " | ";
    expected += word;
  }
  const ConfigNode* node = Scalar(key, expected);
  if (node == nullptr) return false;
  if (std::find(words.begin(), words.end(), node->scalar) == words.end()) {
    return Refuse(*node, key, expected);
  }
  *out = node->scalar;
  return true;
}

bool ConfigSection::Text(std::string_view key, size_t max_bytes, std::string* out) {
  const ConfigNode* node = Value(key);
  if (node == nullptr) return false;
  if (!IsPlainText(*node, max_bytes)) {
    errors_->Add(node->position, PathOf(key),
                 absl::StrCat("expected a text of 1 to ", max_bytes, " bytes on one line, got ",
                              node->kind == ConfigNode::Kind::kScalar ? "another text"
                                                                      : DescribeNode(*node)));
    return false;
  }
  *out = node->scalar;
  return true;
}

bool ConfigSection::TextList(std::string_view key, size_t max_items, size_t max_bytes,
                             std::vector<ConfigText>* out) {
  const std::string expected = absl::StrCat("a list of at most ", max_items, " texts");
  const ConfigNode* node = Value(key);
  if (node == nullptr) return false;
  if (node->kind != ConfigNode::Kind::kSequence) return Refuse(*node, key, expected);
  if (node->items.size() > max_items) {
    errors_->Add(node->position, PathOf(key),
                 absl::StrCat("expected ", expected, ", got ", node->items.size()));
    return false;
  }
  bool good = true;
  for (size_t i = 0; i < node->items.size(); ++i) {
    const ConfigNode& item = node->items[i];
    if (IsPlainText(item, max_bytes)) {
      out->push_back({item.scalar, item.position});
    } else {
      good = Refuse(item, absl::StrCat(std::string(key), "[", i, "]"),
                    absl::StrCat("a text of 1 to ", max_bytes, " bytes on one line"));
    }
  }
  return good;
}

bool ConfigSection::Address(std::string_view key, HostPort* out) {
  const std::string expected =
      "IP:PORT or localhost:PORT, such as 127.0.0.1:50051 or [::1]:50051 (port 0: any free one)";
  const ConfigNode* node = Scalar(key, expected);
  if (node == nullptr) return false;
  std::optional<HostPort> address = ParseAddress(node->scalar);
  if (!address.has_value()) return Refuse(*node, key, expected);
  *out = *std::move(address);
  return true;
}

const ConfigNode* ConfigSection::Mapping(std::string_view key) {
  const ConfigNode* node = Value(key);
  if (node == nullptr || node->kind == ConfigNode::Kind::kMapping) return node;
  if (node->kind != ConfigNode::Kind::kNull) {
    errors_->Add(node->position, PathOf(key), "expected a mapping of keys to values");
  }
  return nullptr;
}

const ConfigNode* ConfigSection::Sequence(std::string_view key) {
  const ConfigNode* node = Value(key);
  if (node == nullptr || node->kind == ConfigNode::Kind::kSequence) return node;
  if (node->kind != ConfigNode::Kind::kNull) {
    errors_->Add(node->position, PathOf(key), "expected a list");
  }
  return nullptr;
}

void ConfigSection::RefuseUnknownKeys() {
  if (node_ == nullptr) return;
  for (size_t i = 0; i < node_->keys.size(); ++i) {
    const std::string& key = node_->keys[i];
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const std::string shown = RepairUtf8(key, kMaxQuotedBytes);
    std::string nearest;
    size_t best = std::max<size_t>(1, shown.size() / 3) + 1;
    for (const std::string& known : known_) {
      const size_t distance = EditDistance(shown, known);
      if (distance < best) best = distance, nearest = known;
    }
    std::string text = "unknown key; ";
    if (nearest.empty()) {
      absl::StrAppend(&text, "expected one of ", absl::StrJoin(known_, ", "));
    } else {
      absl::StrAppend(&text, "did you mean ", nearest, "?");
    }
    errors_->Add(node_->key_positions[i], PathOf(shown), text);
  }
}

}  // namespace semaphore::gateway
