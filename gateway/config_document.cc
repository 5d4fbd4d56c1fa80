#include "gateway/config_document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/quote.h"
#include "gateway/regular_file.h"

namespace semaphore::gateway {
namespace {

// Carries the first refusal of the builder through yaml-cpp; never leaves this file.
struct Refusal {
  ConfigPosition position;
  std::string text;
};

ConfigPosition At(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

absl::Status ErrorAt(const std::string& file, ConfigPosition at, const std::string& text) {
  return absl::InvalidArgumentError(absl::StrCat(file, ":", at.line, ":", at.column, ": ", text));
}

// Builds the tree from the parser's events, so that nothing is expanded and every bound is checked
// on the way.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(size_t max_nodes) : max_nodes_(max_nodes) {}
  void OnDocumentStart(const YAML::Mark& mark) override { start_ = At(mark); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    RefuseAnchor(mark, anchor);
    Add({.kind = ConfigNode::Kind::kNull, .position = At(mark)});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refusal{At(mark), "aliases (*name) are not supported; write the value out"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    RefuseAnchor(mark, anchor);
    if (tag != "?" && tag != "!" && !tag.empty()) RefuseTag(mark);
    Add({.kind = ConfigNode::Kind::kScalar,
         .position = At(mark),
         .quoted = tag == "!",
         .scalar = value});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(ConfigNode::Kind::kSequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(ConfigNode::Kind::kMapping, mark, tag, anchor);
  }
  void OnMapEnd() override { Close(); }

  ConfigPosition start() const { return start_; }
  ConfigNode TakeRoot() { return std::move(root_); }

 private:
  // A container under construction; a mapping alternates between expecting a key and expecting its
  // value.
  struct Frame {
    ConfigNode node;
    bool expects_value = false;
  };

  void Open(ConfigNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    RefuseAnchor(mark, anchor);
    if (tag != "?" && !tag.empty()) RefuseTag(mark);
    if (open_.size() >= kMaxConfigDepth) {
      throw Refusal{At(mark), absl::StrCat("nested deeper than ", kMaxConfigDepth, " levels")};
    }
    if (!open_.empty() && WantsKey(open_.back())) {
      throw Refusal{At(mark), "expected a plain key, got a list or mapping"};
    }
    open_.push_back({.node = {.kind = kind, .position = At(mark)}});
  }

  void Close() {
    ConfigNode node = std::move(open_.back().node);
    open_.pop_back();
    Add(std::move(node));
  }

  void Add(ConfigNode node) {
    if (++nodes_ > max_nodes_) {
      throw Refusal{node.position, absl::StrCat("more than ", max_nodes_, " values")};
    }
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = open_.back();
    if (!WantsKey(frame)) {
      frame.node.items.push_back(std::move(node));
      frame.expects_value = false;
      return;
    }
    if (node.kind != ConfigNode::Kind::kScalar) throw Refusal{node.position, "expected a key"};
    frame.node.keys.push_back(std::move(node.scalar));
    frame.node.key_positions.push_back(node.position);
    frame.expects_value = true;
  }

  static bool WantsKey(const Frame& frame) {
    return frame.node.kind == ConfigNode::Kind::kMapping && !frame.expects_value;
  }
  static void RefuseAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) throw Refusal{At(mark), "anchors (&name) are not supported"};
  }
  static void RefuseTag(const YAML::Mark& mark) {
    throw Refusal{At(mark), "tags (!name) are not supported"};
  }

  const size_t max_nodes_;
  ConfigPosition start_;
  ConfigNode root_;
  std::vector<Frame> open_;
  size_t nodes_ = 0;
};

// yaml-cpp is lenient about bytes and its asserts are on in Debian, so what cannot be YAML never
// reaches it.
absl::Status CheckBytes(const std::string& text, const std::string& file) {
  ConfigPosition at{1, 1};
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t length = client::Utf8CharacterLength(rest);
    const unsigned char c = static_cast<unsigned char>(rest.front());
    const bool control = (c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7F;
    if (length == 0 || control) {
      return ErrorAt(file, at, "expected YAML in UTF-8, got a byte that cannot be text");
    }
    at = c == '\n' ? ConfigPosition{at.line + 1, 1} : ConfigPosition{at.line, at.column + 1};
    rest.remove_prefix(length);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ConfigNode> ParseConfigDocument(const std::string& text, const std::string& file,
                                               ConfigBounds bounds) {
  if (text.size() > bounds.bytes) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": longer than ", bounds.bytes, " bytes"));
  }
  absl::Status bytes = CheckBytes(text, file);
  if (!bytes.ok()) return bytes;
  TreeBuilder builder(bounds.nodes);
  try {
    // yaml-cpp 0.7 takes a line end before the end of the file for the end of an open quote, and
    // with it every key that the quote swallowed; without trailing line ends it sees the mistake.
    std::istringstream stream(text.substr(0, text.find_last_not_of(" \t\r\n") + 1));
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return ConfigNode{};
    TreeBuilder second(bounds.nodes);
    if (parser.HandleNextDocument(second)) {
      return ErrorAt(file, second.start(), "expected one YAML document, got a second");
    }
    return builder.TakeRoot();
  } catch (const Refusal& refusal) {
    return ErrorAt(file, refusal.position, refusal.text);
  } catch (const YAML::Exception& error) {
    return ErrorAt(file, At(error.mark), absl::StrCat("not YAML: ", error.msg));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": not YAML: ", error.what()));
  }
}

absl::StatusOr<std::string> ReadConfigFile(const std::string& path) {
  absl::StatusOr<RegularFile> file = RegularFile::Open(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<std::string> text = file->Read(kMaxConfigBytes + 1);
  if (text.ok() && text->size() > kMaxConfigBytes) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": longer than ", kMaxConfigBytes, " bytes"));
  }
  return text;
}

}  // namespace semaphore::gateway
