#include "gateway/accept.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace semaphore::gateway {
namespace {

// One member of an Accept or Accept-Encoding list: "text/plain;version=0.0.4;q=0.5".
struct Choice {
  std::string name;     // in lower case
  std::string version;  // "" without
  double quality = 1;   // 0 when it is malformed
};

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\"";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Cuts off and returns what is before the first `separator`, or all of it.
std::string_view Take(std::string_view* text, char separator) {
  const size_t end = text->find(separator);
  const std::string_view piece = text->substr(0, end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  return piece;
}

std::vector<Choice> ParseChoices(std::string_view header) {
  std::vector<Choice> out;
  while (!header.empty()) {
    std::string_view member = Take(&header, ',');
    Choice choice{Lower(Trimmed(Take(&member, ';'))), ""};
    while (!member.empty()) {
      std::string_view value = Take(&member, ';');
      const std::string key = Lower(Trimmed(Take(&value, '=')));
      value = Trimmed(value);
      if (key == "version") choice.version = value;
      if (key != "q") continue;
      double quality = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), quality);
      const bool whole = error == std::errc() && end == value.data() + value.size();
      choice.quality = whole && quality >= 0 && quality <= 1 ? quality : 0;
    }
    out.push_back(std::move(choice));
  }
  return out;
}

}  // namespace

std::optional<double> AcceptedQuality(std::string_view header,
                                      std::initializer_list<std::string_view> names,
                                      std::string_view version) {
  const std::vector<Choice> choices = ParseChoices(header);
  for (const std::string_view name : names) {
    std::optional<double> best;
    for (const Choice& choice : choices) {
      if (choice.name != name) continue;
      if (!version.empty() && !choice.version.empty() && choice.version != version) continue;
      best = std::max(best.value_or(0), choice.quality);
    }
    if (best.has_value()) return best;
  }
  return std::nullopt;
}

bool AcceptsGzip(std::string_view accept_encoding) {
  return AcceptedQuality(accept_encoding, {"gzip", "x-gzip", "*"}).value_or(0) > 0;
}

}  // namespace semaphore::gateway
