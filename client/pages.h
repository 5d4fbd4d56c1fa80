// One kind of page over upstream's five. Decisions only: which upstream page to ask for, what of
// the answer belongs to the caller's page, and where the next one starts. A page token is such a
// place, bound to method, organization and filters. Facts §4 says how each dialect behaves.
#ifndef SEMAPHORE_CLIENT_PAGES_H_
#define SEMAPHORE_CLIENT_PAGES_H_

#include <google/protobuf/message.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "client/http_client.h"
#include "client/method_table.h"

namespace semaphore::client {

// Where a page starts.
struct PagePosition {
  uint64_t offset =
      0;  // items before it: of the whole list, or of the upstream page named by `page` or `cursor`
  uint64_t page = 1;        // PAGE_HEADER
  std::string cursor;       // BODY_CURSOR, TIME_CURSOR
  int64_t pin_seconds = 0;  // created_before of the whole walk; 0: none
  int64_t total = -1;       // size of the list when `offset` was taken; -1: not told
  std::string after;        // identity of the last item given; empty: not known

  bool operator==(const PagePosition&) const = default;
};

// URL-safe. `binding` is what the token belongs to; see PageBinding.
std::string EncodePageToken(const PagePosition& position, std::string_view binding);
// INVALID_ARGUMENT for a token that is cut, edited, or belongs to something else.
absl::StatusOr<PagePosition> DecodePageToken(std::string_view token, std::string_view binding);

// Method, organization and filters of a list request: everything but page_size and page_token.
std::string PageBinding(const MethodSpec& spec, std::string_view organization,
                        const google::protobuf::Message& request);

// What to ask upstream for.
struct PageQuery {
  PagePosition position;
  size_t page_size = 0;      // the caller's page has at most this many items
  size_t upstream_size = 0;  // items of an upstream page; 0: upstream does not page
  uint64_t upstream_page = 1;
  std::vector<std::pair<std::string, std::string>> parameters;
};

// `requested_size` as the caller gave it: 0 means the default, too much means the most.
PageQuery PlanPage(const upstream::v1::Pages& pages, int32_t requested_size, PagePosition position);

// What upstream said about its page.
struct PageFacts {
  size_t items = 0;
  bool paged = false;           // any paging header was there
  bool has_next = false;        // rel="next", x-has-more, a body cursor
  uint64_t page_number = 0;     // 0: not told
  int64_t total = -1;           // -1: not told
  std::string cursor;           // BODY_CURSOR, TIME_CURSOR
  int64_t newest_seconds = -1;  // creation of the first item; -1: not known
  // What tells the items apart, in their order; empty where they have nothing of the kind. A list
  // that moved under the walk is taken up again behind the last item given.
  std::vector<std::string> identities;
};

// Facts that stand in the headers; `items` and the cursors come from the body.
PageFacts ReadPageHeaders(upstream::v1::Dialect dialect, const HttpResponse& response);

struct PageVerdict {
  // Ask again from here first: the list has moved so far that this answer holds nothing of the
  // caller's page.
  std::optional<PagePosition> again;
  size_t begin = 0;  // items [begin, end) of the answer are the caller's page
  size_t end = 0;
  std::optional<PagePosition> next;
};

// INTERNAL when upstream's cursor does not advance: following it would never end.
absl::StatusOr<PageVerdict> DecidePage(const upstream::v1::Pages& pages, const PageQuery& query,
                                       const PageFacts& facts);

// The URLs of a link header by relation: `<http://h/p?page=2>; rel="next", …` gives {"next",
// "http://h/p?page=2"}. What does not parse is left out.
std::vector<std::pair<std::string, std::string>> ParseLinkHeader(std::string_view header);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_PAGES_H_
