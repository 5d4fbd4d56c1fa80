#include "tests/simulator/paging.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "tests/simulator/parameters.h"

namespace semaphore::simulator {
namespace {

int64_t PositiveOr(const std::string& text, int64_t otherwise) {
  int64_t number = 0;
  return absl::SimpleAtoi(text, &number) && number > 0 ? number : otherwise;
}

// The scheme is the one the service itself sees behind its proxy: plain http.
std::string Link(const Call& call, int64_t page, std::string_view relation) {
  std::map<std::string, std::string> query;  // sorted, repeated names collapse
  for (const auto& [name, value] : ParseForm(QueryOf(call.request.target))) query[name] = value;
  query["page"] = std::to_string(page);
  std::string link = "<http://" + call.authority + call.path;
  char separator = '?';
  for (const auto& [name, value] : query) {
    link += separator + EncodeFormText(name) + "=" + EncodeFormText(value);
    separator = '&';
  }
  return link + ">; rel=\"" + std::string(relation) + "\"";
}

Headers HeadersOf(const Call& call, Dialect dialect, int64_t page, int64_t size, int64_t pages,
                  size_t total) {
  std::string link;
  if (page < pages) link += Link(call, page + 1, "next") + ", ";
  if (page > 1) link += Link(call, page - 1, "prev") + ", ";
  link += Link(call, 1, "first");
  if (dialect == Dialect::kReference) return {{"link", link}};
  link += ", " + Link(call, pages, "last");
  return {{"link", link},
          {"total", std::to_string(total)},
          {"per-page", std::to_string(size)},
          {"total-pages", std::to_string(pages)},
          {"page-number", std::to_string(page)}};
}

}  // namespace

Page PageOf(const Call& call, size_t total, int64_t default_size, Dialect dialect) {
  // Bounded, so that the arithmetic below cannot overflow.
  const int64_t size = std::min<int64_t>(PositiveOr(call.Text("page_size"), default_size), 1 << 30);
  const auto count = static_cast<int64_t>(total);
  const int64_t pages = std::max<int64_t>((count + size - 1) / size, 1);
  const int64_t page = std::min(PositiveOr(call.Text("page"), 1), pages);
  return {.begin = static_cast<size_t>(std::min((page - 1) * size, count)),
          .end = static_cast<size_t>(std::min(page * size, count)),
          .headers = HeadersOf(call, dialect, page, size, pages, total)};
}

Page FailedPage(const Call& call, Dialect dialect) {
  return {.begin = 0, .end = 0, .headers = HeadersOf(call, dialect, 0, 0, 0, 0)};
}

}  // namespace semaphore::simulator
