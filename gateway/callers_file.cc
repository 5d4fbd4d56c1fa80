#include "gateway/callers_file.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/config_document.h"
#include "gateway/config_reader.h"

namespace semaphore::gateway {
namespace {

constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxTokensOfCaller = 16;
constexpr size_t kMaxCertificateNamesOfCaller = 16;
constexpr size_t kMaxCertificateNameBytes = 2048;
constexpr size_t kMaxMethodsOfCaller = 200;
constexpr size_t kMaxOrganizationsOfCaller = 100;
constexpr ConfigBounds kBounds = {.bytes = kMaxCallersFileBytes, .nodes = 400'000};

bool OnlyOf(std::string_view text, std::string_view marks) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           marks.find(c) != std::string_view::npos;
  });
}

bool HasUpper(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isupper(static_cast<unsigned char>(c)); });
}

// The two of them are the metrics' words for callers without a name of their own.
bool IsCallerName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes && OnlyOf(name, "._-") &&
         name != "anonymous" && name != "other";
}

// "dns:web.internal" in lower case, or "spiffe://corp/bot". A wildcard would make every host of a
// domain the same caller.
bool IsCertificateName(std::string_view name) {
  constexpr std::string_view kDns = "dns:";
  constexpr std::string_view kSpiffe = "spiffe://";
  if (name.size() > kMaxCertificateNameBytes) return false;
  if (name.starts_with(kDns)) {
    name.remove_prefix(kDns.size());
    return !name.empty() && OnlyOf(name, ".-_") && !HasUpper(name);
  }
  if (!name.starts_with(kSpiffe)) return false;
  name.remove_prefix(kSpiffe.size());
  const size_t slash = name.find('/');
  const std::string_view domain = name.substr(0, slash);
  return slash != std::string_view::npos && slash + 1 < name.size() && !domain.empty() &&
         OnlyOf(domain, ".-_") && !HasUpper(domain) && OnlyOf(name.substr(slash), "._-/");
}

// "semaphore.v1.PipelineService" is PipelineService.
std::string ShortService(const client::MethodSpec& method) {
  return method.service.substr(method.service.rfind('.') + 1);
}

// One file being read.
class Reader {
 public:
  Reader(const std::string& file, const CallersFileScope& scope) : errors_(file), scope_(scope) {}

  void ReadAll(const ConfigNode& document);
  absl::Status status() const { return errors_.status(); }
  std::vector<CallerEntry> TakeEntries() { return std::move(entries_); }

 private:
  // What has its place in the file and must be there only once.
  using Seen = absl::flat_hash_map<std::string, std::string>;  // to the caller's name

  void ReadEntry(const ConfigNode& node, const std::string& path);
  void ReadName(ConfigSection& section, Caller& caller);
  void ReadTokens(ConfigSection& section, CallerEntry& entry);
  void ReadCertificateNames(ConfigSection& section, CallerEntry& entry);
  void ReadMethods(ConfigSection& section, upstream::v1::Role role, Caller& caller);
  void ReadOrganizations(ConfigSection& section, Caller& caller);
  // Which methods a pattern of the list means; none: it is wrong, and told.
  std::vector<int> Matching(ConfigSection& section, const ConfigText& pattern, size_t index,
                            const std::vector<bool>& of_role);
  void Once(Seen& seen, const std::string& what, const std::string& caller, ConfigPosition at,
            const std::string& path);

  ConfigErrors errors_;
  const CallersFileScope& scope_;
  std::vector<CallerEntry> entries_;
  Seen names_;
  Seen hashes_;
  Seen certificates_;
};

void Reader::ReadAll(const ConfigNode& document) {
  if (document.kind != ConfigNode::Kind::kMapping) {
    errors_.Add(document.position, "",
                "expected `callers:` and a list of them (`callers: []` refuses everybody)");
    return;
  }
  ConfigSection root(&errors_, &document, "");
  const ConfigNode* list = root.Sequence("callers");
  if (list == nullptr && (!root.Has("callers") || root.IsNull("callers"))) {
    // Not taken for an empty list: a file cut short must lock nobody out.
    root.Error("callers", "expected a list of callers ([] refuses everybody)");
  }
  root.RefuseUnknownKeys();
  if (list == nullptr) return;
  if (list->items.size() > kMaxCallers) {
    root.Error("callers", absl::StrCat("expected at most ", kMaxCallers, " callers, got ",
                                       list->items.size()));
    return;
  }
  for (size_t i = 0; i < list->items.size(); ++i) {
    ReadEntry(list->items[i], absl::StrCat("callers[", i, "]"));
  }
}

void Reader::ReadEntry(const ConfigNode& node, const std::string& path) {
  if (node.kind != ConfigNode::Kind::kMapping) {
    errors_.Add(node.position, path, "expected a mapping with name, role and token_sha256");
    return;
  }
  ConfigSection section(&errors_, &node, path);
  CallerEntry entry;
  ReadName(section, entry.caller);
  std::string word;
  if (!section.Word("role", {"viewer", "operator", "admin"}, &word) && !section.Has("role")) {
    section.Error("role", "expected viewer, operator or admin");
  }
  const upstream::v1::Role role = word == "admin"      ? upstream::v1::ROLE_ADMIN
                                  : word == "operator" ? upstream::v1::ROLE_OPERATOR
                                                       : upstream::v1::ROLE_VIEWER;
  ReadTokens(section, entry);
  ReadCertificateNames(section, entry);
  ReadMethods(section, role, entry.caller);
  ReadOrganizations(section, entry.caller);
  section.RefuseUnknownKeys();
  entries_.push_back(std::move(entry));
}

void Reader::ReadName(ConfigSection& section, Caller& caller) {
  const bool given = section.Text("name", 256, &caller.name);
  if (given ? !IsCallerName(caller.name) : !section.Has("name")) {
    section.Error("name", absl::StrCat("expected 1 to ", kMaxNameBytes,
                                       " of A-Z, a-z, 0-9, '.', '_' and '-', not \"anonymous\" or "
                                       "\"other\""));
    return;
  }
  if (given)
    Once(names_, caller.name, caller.name, section.PositionOf("name"), section.PathOf("name"));
}

// By hand, because TextList quotes what it refuses.
void Reader::ReadTokens(ConfigSection& section, CallerEntry& entry) {
  const ConfigNode* list = section.Sequence("token_sha256");
  if (list == nullptr) return;
  if (list->items.size() > kMaxTokensOfCaller) {
    section.Error("token_sha256", absl::StrCat("expected at most ", kMaxTokensOfCaller, " hashes"));
    return;
  }
  for (size_t i = 0; i < list->items.size(); ++i) {
    const ConfigNode& item = list->items[i];
    const std::string path = section.PathOf(absl::StrCat("token_sha256[", i, "]"));
    const std::optional<TokenHash> hash =
        item.kind == ConfigNode::Kind::kScalar ? ParseTokenHash(item.scalar) : std::nullopt;
    if (!hash.has_value()) {
      errors_.Add(item.position, path,
                  "expected 64 hexadecimal digits, as `semaphore-gateway hash-token` prints them "
                  "(never the token itself)");
      continue;
    }
    Once(hashes_, FormatTokenHash(*hash), entry.caller.name, item.position, path);
    entry.tokens.push_back(*hash);
  }
}

void Reader::ReadCertificateNames(ConfigSection& section, CallerEntry& entry) {
  std::vector<ConfigText> names;
  if (!section.TextList("certificate_names", kMaxCertificateNamesOfCaller, kMaxCertificateNameBytes,
                        &names)) {
    return;
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string path = section.PathOf(absl::StrCat("certificate_names[", i, "]"));
    if (!IsCertificateName(names[i].text)) {
      errors_.Add(names[i].position, path,
                  "expected dns:NAME in lower case and without '*', or spiffe://DOMAIN/PATH");
      continue;
    }
    Once(certificates_, names[i].text, entry.caller.name, names[i].position, path);
    entry.certificate_names.push_back(std::move(names[i].text));
  }
}

void Reader::ReadMethods(ConfigSection& section, upstream::v1::Role role, Caller& caller) {
  std::vector<bool> of_role;
  for (const auto& method : scope_.methods->methods()) of_role.push_back(method->role <= role);
  std::vector<ConfigText> patterns;
  const bool given = section.TextList("methods", kMaxMethodsOfCaller, 256, &patterns);
  if (!section.Has("methods")) {
    caller.methods = std::move(of_role);
    return;
  }
  caller.methods.assign(of_role.size(), false);
  if (given && patterns.empty()) {
    section.Error("methods", "expected at least one (leave the key out for all of the role)");
  }
  for (size_t i = 0; i < patterns.size(); ++i) {
    for (const int index : Matching(section, patterns[i], i, of_role)) {
      caller.methods[static_cast<size_t>(index)] = true;
    }
  }
}

std::vector<int> Reader::Matching(ConfigSection& section, const ConfigText& pattern, size_t index,
                                  const std::vector<bool>& of_role) {
  bool exists = false;
  std::vector<int> found;
  for (const auto& method : scope_.methods->methods()) {
    const std::string service = ShortService(*method);
    if (pattern.text != absl::StrCat(service, ".", method->name) && pattern.text != service + ".*")
      continue;
    exists = true;
    if (of_role[static_cast<size_t>(method->index)]) found.push_back(method->index);
  }
  if (found.empty()) {
    errors_.Add(pattern.position, section.PathOf(absl::StrCat("methods[", index, "]")),
                exists ? "the role may not call it; this list narrows the role and cannot widen it"
                       : "expected SERVICE.METHOD or SERVICE.* of the gateway's API, such as "
                         "PipelineService.GetPipeline");
  }
  return found;
}

void Reader::ReadOrganizations(ConfigSection& section, Caller& caller) {
  std::vector<ConfigText> names;
  const bool given =
      section.TextList("organizations", kMaxOrganizationsOfCaller, kMaxNameBytes, &names);
  if (given && names.empty()) {
    section.Error("organizations", "expected at least one (leave the key out for all)");
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const bool known = std::find(scope_.organizations.begin(), scope_.organizations.end(),
                                 names[i].text) != scope_.organizations.end();
    if (!known) {
      errors_.Add(names[i].position, section.PathOf(absl::StrCat("organizations[", i, "]")),
                  absl::StrCat("expected a configured organization: ",
                               absl::StrJoin(scope_.organizations, ", ")));
    }
    caller.organizations.push_back(std::move(names[i].text));
  }
}

void Reader::Once(Seen& seen, const std::string& what, const std::string& caller, ConfigPosition at,
                  const std::string& path) {
  const auto [first, fresh] = seen.emplace(what, caller);
  if (fresh) return;
  errors_.Add(at, path,
              first->second.empty() || first->second == caller
                  ? std::string("is here a second time")
                  : absl::StrCat("is also one of the caller ", first->second));
}

}  // namespace

absl::StatusOr<std::vector<CallerEntry>> ParseCallers(const std::string& text,
                                                      const std::string& file,
                                                      const CallersFileScope& scope) {
  absl::StatusOr<ConfigNode> document = ParseConfigDocument(text, file, kBounds);
  if (!document.ok()) return document.status();
  Reader reader(file, scope);
  reader.ReadAll(*document);
  if (absl::Status status = reader.status(); !status.ok()) return status;
  return reader.TakeEntries();
}

}  // namespace semaphore::gateway
