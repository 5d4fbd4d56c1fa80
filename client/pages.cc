#include "client/pages.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/string_view.h"

namespace semaphore::client {
namespace {

using upstream::v1::Dialect;

constexpr size_t kMaxPageSize = 1000;
constexpr char kTokenVersion[] = "2";
constexpr size_t kChecksumBytes = 8;
constexpr size_t kMaxTokenBytes = 1024;
constexpr size_t kMaxIdentityBytes = 256;          // longer ones are not remembered in a token
constexpr uint64_t kMaxCount = uint64_t{1} << 50;  // of items or pages; keeps sums from overflowing

// FNV-1a. It finds tokens that were cut, edited or mixed up; it is no secret, and a forged token
// shows its maker nothing that a list request would not.
uint64_t Fingerprint(std::string_view binding, std::string_view payload) {
  uint64_t hash = 14695981039346656037u;
  const auto mix = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    hash = (hash ^ 0xFF) * 1099511628211u;
  };
  mix(binding);
  mix(payload);
  return hash;
}

std::string ChecksumBytes(uint64_t hash) {
  std::string bytes(kChecksumBytes, '\0');
  for (size_t i = 0; i < kChecksumBytes; ++i) bytes[i] = static_cast<char>(hash >> (8 * i));
  return bytes;
}

absl::Status BadToken() {
  return absl::InvalidArgumentError(
      "page_token is not one that this list gave: pass next_page_token unchanged, with the same "
      "filters");
}

void AppendIf(bool wanted, std::string key, std::string value, PageQuery& query) {
  if (wanted) query.parameters.emplace_back(std::move(key), std::move(value));
}

PageVerdict Slice(size_t begin, const PageQuery& query, const PageFacts& facts) {
  PageVerdict verdict;
  verdict.begin = std::min(begin, facts.items);
  verdict.end = std::min(verdict.begin + query.page_size, facts.items);
  return verdict;
}

// Where the caller's page begins in the answer: behind the last item given if that is still there
// (and there once: promotions have but a name), whatever came or went before it; else at its index.
size_t Resume(const PageQuery& query, const PageFacts& facts) {
  const std::string& after = query.position.after;
  if (after.empty()) return query.position.offset;
  const auto last = std::find(facts.identities.begin(), facts.identities.end(), after);
  if (last == facts.identities.end() ||
      std::find(last + 1, facts.identities.end(), after) != facts.identities.end()) {
    return query.position.offset;
  }
  return static_cast<size_t>(last - facts.identities.begin()) + 1;
}

// The identity of the last item that the verdict gives, or of the one before if it gives none.
std::string LastGiven(const PageQuery& query, const PageFacts& facts, const PageVerdict& verdict) {
  if (verdict.begin == verdict.end) return query.position.after;
  if (verdict.end > facts.identities.size()) return "";
  const std::string& last = facts.identities[verdict.end - 1];
  return last.size() <= kMaxIdentityBytes ? last : "";
}

// Lists that upstream gives whole: the position is an index into it.
PageVerdict DecideWhole(const PageQuery& query, const PageFacts& facts) {
  PageVerdict verdict = Slice(Resume(query, facts), query, facts);
  if (verdict.end < facts.items) {
    verdict.next = query.position;
    verdict.next->offset = verdict.end;
    verdict.next->after = LastGiven(query, facts, verdict);
  }
  return verdict;
}

PageVerdict DecideLinkHeader(const upstream::v1::Pages& pages, const PageQuery& query,
                             const PageFacts& facts) {
  if (!facts.paged) return DecideWhole(query, facts);
  // Past the end upstream repeats its last page; its page number gives it away.
  if (facts.page_number != 0 && facts.page_number != query.upstream_page) return PageVerdict{};
  // Items that came or went since the position was taken have moved it.
  const int64_t moved =
      query.position.total >= 0 && facts.total >= 0 ? facts.total - query.position.total : 0;
  const uint64_t offset = static_cast<uint64_t>(
      std::max<int64_t>(0, static_cast<int64_t>(query.position.offset) + moved));
  PagePosition here = query.position;
  here.offset = offset;
  here.total = facts.total;
  if (offset / query.upstream_size + 1 != query.upstream_page) {
    PageVerdict verdict;
    verdict.again = here;
    return verdict;
  }
  PageVerdict verdict = Slice(offset % query.upstream_size, query, facts);
  if (verdict.end < facts.items || facts.has_next) {
    const uint64_t first = (query.upstream_page - 1) * query.upstream_size;
    verdict.next = here;
    verdict.next->offset =
        verdict.end < facts.items ? first + verdict.end : first + query.upstream_size;
    if (pages.pin_created_before() && here.pin_seconds == 0 && facts.newest_seconds >= 0 &&
        offset == 0) {
      verdict.next->pin_seconds = facts.newest_seconds + 1;
    }
  }
  return verdict;
}

// Pages by number or cursor, whose size may differ from the caller's: the offset counts within the
// upstream page.
absl::StatusOr<PageVerdict> DecideWithin(Dialect dialect, const PageQuery& query,
                                         const PageFacts& facts) {
  PageVerdict verdict = Slice(Resume(query, facts), query, facts);
  if (verdict.end < facts.items) {
    verdict.next = query.position;
    verdict.next->offset = verdict.end;
    verdict.next->after = LastGiven(query, facts, verdict);
    return verdict;
  }
  if (!facts.has_next) return verdict;
  verdict.next = PagePosition{};
  // The next upstream page may begin with what this one ended with: a cursor is a time that several
  // items can share, and new items shift numbered pages.
  verdict.next->after = LastGiven(query, facts, verdict);
  if (dialect == upstream::v1::DIALECT_PAGE_HEADER) {
    verdict.next->page = query.position.page + 1;
  } else if (facts.cursor == query.position.cursor) {
    return absl::InternalError("upstream's cursor does not advance");
  } else {
    verdict.next->cursor = facts.cursor;
  }
  // An upstream page may be empty, because upstream filters after paging; the caller's must not be
  // in mid-list.
  if (verdict.begin == verdict.end) {
    verdict.again = verdict.next;
    verdict.next.reset();
  }
  return verdict;
}

uint64_t NumberHeader(const HttpResponse& response, std::string_view name, uint64_t absent) {
  uint64_t number = 0;
  return absl::SimpleAtoi(ToAbsl(response.Header(name)), &number) ? number : absent;
}

}  // namespace

std::string EncodePageToken(const PagePosition& position, std::string_view binding) {
  const std::string payload = absl::StrCat(
      kTokenVersion, ":", position.offset, ":", position.page, ":", position.pin_seconds, ":",
      position.total, ":", position.cursor.size(), ":", position.cursor, position.after);
  return absl::WebSafeBase64Escape(
      absl::StrCat(ChecksumBytes(Fingerprint(binding, payload)), payload));
}

absl::StatusOr<PagePosition> DecodePageToken(std::string_view token, std::string_view binding) {
  std::string bytes;
  if (token.size() > kMaxTokenBytes || !absl::WebSafeBase64Unescape(ToAbsl(token), &bytes) ||
      bytes.size() < kChecksumBytes || absl::WebSafeBase64Escape(bytes) != ToAbsl(token)) {
    return BadToken();
  }
  const std::string_view payload = std::string_view(bytes).substr(kChecksumBytes);
  if (bytes.substr(0, kChecksumBytes) != ChecksumBytes(Fingerprint(binding, payload)))
    return BadToken();
  const std::vector<std::string> parts = absl::StrSplit(ToAbsl(payload), absl::MaxSplits(':', 6));
  PagePosition position;
  size_t cursor_size = 0;
  if (parts.size() != 7 || parts[0] != kTokenVersion ||
      !absl::SimpleAtoi(parts[1], &position.offset) ||
      !absl::SimpleAtoi(parts[2], &position.page) ||
      !absl::SimpleAtoi(parts[3], &position.pin_seconds) ||
      !absl::SimpleAtoi(parts[4], &position.total) || !absl::SimpleAtoi(parts[5], &cursor_size) ||
      position.offset > kMaxCount || position.page > kMaxCount || cursor_size > parts[6].size()) {
    return BadToken();
  }
  position.cursor = parts[6].substr(0, cursor_size);
  position.after = parts[6].substr(cursor_size);
  return position;
}

std::string PageBinding(const MethodSpec& spec, std::string_view organization,
                        const google::protobuf::Message& request) {
  const std::unique_ptr<google::protobuf::Message> filters(request.New());
  filters->CopyFrom(request);
  const google::protobuf::Reflection* reflection = filters->GetReflection();
  if (spec.page_size != nullptr) reflection->ClearField(filters.get(), spec.page_size);
  if (spec.page_token != nullptr) reflection->ClearField(filters.get(), spec.page_token);
  filters->DiscardUnknownFields();
  std::string binding = absl::StrCat(spec.full_name, "\n", ToAbsl(organization), "\n");
  google::protobuf::io::StringOutputStream stream(&binding);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  filters->SerializeToCodedStream(&coded);
  coded.Trim();
  return binding;
}

PageQuery PlanPage(const upstream::v1::Pages& pages, int32_t requested_size,
                   PagePosition position) {
  PageQuery query;
  const size_t wanted = requested_size == 0 ? pages.default_size() : requested_size;
  query.page_size = std::min(wanted, kMaxPageSize);
  if (pages.max() > 0) query.page_size = std::min<size_t>(query.page_size, pages.max());
  query.upstream_size = std::max<size_t>(query.page_size, pages.min());
  query.position = std::move(position);
  switch (pages.dialect()) {
    case upstream::v1::DIALECT_LINK_HEADER:
      query.upstream_page = query.position.offset / query.upstream_size + 1;
      query.parameters.emplace_back("page", absl::StrCat(query.upstream_page));
      query.parameters.emplace_back("page_size", absl::StrCat(query.upstream_size));
      break;
    case upstream::v1::DIALECT_PAGE_HEADER:
      query.parameters.emplace_back("page", absl::StrCat(query.position.page));
      break;
    case upstream::v1::DIALECT_BODY_CURSOR:
      // As much as upstream gives: its cursor is a time, and a page that holds less than all items
      // of one instant would never get past it.
      query.upstream_size = pages.max();
      query.parameters.emplace_back("page_size", absl::StrCat(query.upstream_size));
      AppendIf(!query.position.cursor.empty(), "cursor", query.position.cursor, query);
      break;
    case upstream::v1::DIALECT_TIME_CURSOR:
      AppendIf(!query.position.cursor.empty(), "cursor_type", "BEFORE", query);
      AppendIf(!query.position.cursor.empty(), "cursor_value", query.position.cursor, query);
      break;
    default:
      query.upstream_size = 0;
      break;
  }
  return query;
}

PageFacts ReadPageHeaders(Dialect dialect, const HttpResponse& response) {
  PageFacts facts;
  if (dialect == upstream::v1::DIALECT_PAGE_HEADER) {
    facts.paged = true;
    facts.has_next = absl::EqualsIgnoreCase(ToAbsl(response.Header("x-has-more")), "true");
    return facts;
  }
  if (dialect != upstream::v1::DIALECT_LINK_HEADER) return facts;
  const std::string_view link = response.Header("link");
  facts.page_number = NumberHeader(response, "page-number", 0);
  facts.paged = !link.empty() || facts.page_number != 0;
  constexpr uint64_t kAbsent = UINT64_MAX;
  const uint64_t total = NumberHeader(response, "total", kAbsent);
  if (total <= kMaxCount) facts.total = static_cast<int64_t>(total);
  const auto links = ParseLinkHeader(link);
  facts.has_next = std::any_of(links.begin(), links.end(),
                               [](const auto& entry) { return entry.first == "next"; });
  return facts;
}

absl::StatusOr<PageVerdict> DecidePage(const upstream::v1::Pages& pages, const PageQuery& query,
                                       const PageFacts& facts) {
  switch (pages.dialect()) {
    case upstream::v1::DIALECT_LINK_HEADER:
      return DecideLinkHeader(pages, query, facts);
    case upstream::v1::DIALECT_UNPAGED:
      return DecideWhole(query, facts);
    default:
      return DecideWithin(pages.dialect(), query, facts);
  }
}

std::vector<std::pair<std::string, std::string>> ParseLinkHeader(std::string_view header) {
  std::vector<std::pair<std::string, std::string>> links;
  while (!header.empty()) {
    const size_t open = header.find('<');
    const size_t close = header.find('>', open == std::string_view::npos ? 0 : open);
    if (open == std::string_view::npos || close == std::string_view::npos) break;
    const std::string url(header.substr(open + 1, close - open - 1));
    header.remove_prefix(close + 1);
    const std::string_view attributes = header.substr(0, header.find('<'));
    for (const absl::string_view attribute :
         absl::StrSplit(ToAbsl(attributes), absl::ByAnyChar(";,"))) {
      absl::string_view text = absl::StripAsciiWhitespace(attribute);
      if (!absl::StartsWithIgnoreCase(text, "rel=")) continue;
      text.remove_prefix(4);
      if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
        text = text.substr(1, text.size() - 2);
      for (const absl::string_view relation : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
        links.emplace_back(std::string(relation), url);
      }
    }
  }
  return links;
}

}  // namespace semaphore::client
