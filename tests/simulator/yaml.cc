// POST /yaml (facts, section 5.2). A definition is valid here when no line is indented with a tab,
// its brackets and braces match outside quotes and comments, and it has the key "version" at the
// start of a line; the real service reads YAML and checks a schema. With a `pipeline_id` the call
// also runs a pipeline, as it does in the real service.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/resources.h"

namespace semaphore::simulator {
namespace {

std::string ParsingError(std::string_view what, size_t line, size_t column) {
  return absl::StrFormat("{:malformed, {:yamerl_parsing_error, :error, '%s', %d, %d}}", what, line,
                         column);
}

// The text of the line without comments and quoted parts, each replaced by spaces. Quotes that go
// on in the next line are beyond this reader.
std::string Bare(std::string_view line) {
  std::string bare(line);
  char quote = 0;
  for (size_t i = 0; i < bare.size(); i++) {
    const char c = bare[i];
    if (quote == 0 && c == '#' && (i == 0 || bare[i - 1] == ' ')) {
      bare.resize(i);
      break;
    }
    if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else if (quote == 0) {
      continue;
    }
    bare[i] = ' ';
  }
  return bare;
}

// What is wrong with the definition, in the manner of the real service; empty when it is valid.
std::string ErrorOf(const std::string& definition) {
  std::string open;  // brackets not closed yet
  bool has_version = false;
  const std::vector<std::string> lines = absl::StrSplit(definition, '\n');
  for (size_t i = 0; i < lines.size(); i++) {
    const size_t indent = std::min(lines[i].find_first_not_of(" \t"), lines[i].size());
    const size_t tab = lines[i].find('\t');
    if (tab < indent) return ParsingError("Invalid tab in indentation", i + 1, tab + 1);
    const std::string bare = Bare(lines[i]);
    has_version = has_version || bare.starts_with("version:");
    for (size_t j = 0; j < bare.size(); j++) {
      const char c = bare[j];
      if (c == '[' || c == '{') open += c;
      if (c != ']' && c != '}') continue;
      if (open.empty() || open.back() != (c == ']' ? '[' : '{')) {
        return ParsingError("Unexpected end of a flow collection", i + 1, j + 1);
      }
      open.pop_back();
    }
  }
  if (!open.empty()) {
    return ParsingError("Unfinished flow collection", lines.size(), lines.back().size() + 1);
  }
  if (!has_version) return R"({:malformed, [{"Required property version was not present.", "#"}]})";
  return {};
}

Reply Validate(Service& service, const Call& call) {
  const boost::json::value* definition = call.parameters.if_contains("yaml_definition");
  if (definition == nullptr || definition->is_null()) {
    return JsonStringReply(400, "Missing required post parameter yaml_definition.");
  }
  const std::string pipeline_id = call.Text("pipeline_id");
  if (!pipeline_id.empty() && service.world.FindPipeline(pipeline_id) == nullptr) {
    return RawTextReply(404, "Not Found");
  }
  const std::string error = ErrorOf(call.Text("yaml_definition"));
  if (!error.empty()) return JsonStringReply(400, error);
  boost::json::object json{{"message", "YAML definition is valid."}, {"pipeline_id", ""}};
  if (!pipeline_id.empty()) {
    const Pipeline* pipeline = service.world.RunAgain(pipeline_id, call.now);
    if (pipeline == nullptr) return JsonStringReply(500, "Internal error");
    json["pipeline_id"] = pipeline->id;
  }
  return JsonReply(json);
}

}  // namespace

void AddYamlRoutes(Router& router, Service& service) {
  router.Add("POST", "/api/v1alpha/yaml",
             [&service](const Call& call) { return Validate(service, call); });
}

}  // namespace semaphore::simulator
