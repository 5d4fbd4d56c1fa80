#include "gateway/walk.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace semaphore::gateway {
namespace {

// A slice is planned to fill this part of a page, so that the next one seldom overflows.
constexpr double kFill = 0.7;
constexpr int64_t kMaxGrowth = 8;
// Of one walk; a hundred times what 100 000 pipelines need.
constexpr int kMaxRequests = 100'000;
constexpr int kMaxPasses = 5;
// In one second. Their ids are held until the second is read.
constexpr size_t kMaxSeen = 200'000;

int64_t FloorSeconds(absl::Time time) { return absl::ToUnixSeconds(time); }

int64_t CeilingSeconds(absl::Time time) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  return absl::FromUnixSeconds(seconds) == time ? seconds : seconds + 1;
}

}  // namespace

Walk::Walk(absl::Time from, absl::Time to)
    : from_(FloorSeconds(from)),
      to_(std::max(CeilingSeconds(to), from_)),
      begin_(from_),
      end_(to_) {}

std::optional<Walk::Query> Walk::Next() const {
  if (complete()) return std::nullopt;
  return Query{.done_after = absl::FromUnixSeconds(begin_ - 1),
               .done_before = absl::FromUnixSeconds(end_ + 1),
               .page_token = page_token_};
}

absl::StatusOr<Walk::Verdict> Walk::OnAnswer(const Answer& answer) {
  if (++requests_ > kMaxRequests) {
    return absl::UnavailableError(
        absl::StrCat("the walk needed more than ", kMaxRequests, " requests"));
  }
  if (dense_) return OnDensePage(answer);
  const bool whole =
      answer.next_page_token.empty() && answer.total <= static_cast<int64_t>(answer.items.size());
  if (whole) {
    Remember(answer);
    Finish(answer.items.size());
    return Verdict::kSliceDone;
  }
  if (end_ - begin_ > 1) {
    Shorten(answer);
    return Verdict::kDiscard;
  }
  dense_ = true;
  return OnDensePage(answer);
}

// The sample at hand says where in the slice its pipelines finished. It holds the youngest ones,
// which tend to finish late, so the slice gets shorter whatever it says.
void Walk::Shorten(const Answer& answer) {
  const int64_t length = end_ - begin_;
  std::vector<int64_t> done;
  done.reserve(answer.items.size());
  for (const Item& item : answer.items) done.push_back(FloorSeconds(item.done));
  int64_t wanted = length / 2;
  if (answer.total > 0 && !done.empty()) {
    const double share = std::min(1.0, kFill * kPageSize / static_cast<double>(answer.total));
    const size_t rank =
        std::min(done.size() - 1, static_cast<size_t>(share * static_cast<double>(done.size())));
    std::nth_element(done.begin(), done.begin() + static_cast<std::ptrdiff_t>(rank), done.end());
    wanted = done[rank] - begin_;
  }
  end_ = begin_ + std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, length * 3 / 4));
}

// Passes over the pages until one finds nothing new, or as many were found as upstream says there
// are. An upstream that cannot count must not stop the walk for ever, hence the first of the two.
absl::StatusOr<Walk::Verdict> Walk::OnDensePage(const Answer& answer) {
  Remember(answer);
  for (const Item& item : answer.items) found_new_ |= seen_.insert(item.id).second;
  if (seen_.size() > kMaxSeen) {
    return absl::UnavailableError(
        absl::StrCat("more than ", kMaxSeen, " pipelines finished within one second"));
  }
  page_token_ = answer.next_page_token;
  if (!page_token_.empty()) return Verdict::kKeep;
  const bool all = answer.total >= 0 && static_cast<int64_t>(seen_.size()) >= answer.total;
  const bool settled = pass_ > 0 && !found_new_;
  if (all || settled) {
    Finish(seen_.size());
    return Verdict::kSliceDone;
  }
  if (++pass_ >= kMaxPasses) {
    return absl::UnavailableError("the list of finished pipelines changes faster than it is read");
  }
  found_new_ = false;
  return Verdict::kKeep;
}

void Walk::Finish(size_t items) {
  newest_done_ = std::max(newest_done_, newest_in_slice_);
  newest_in_slice_ = absl::InfinitePast();
  const int64_t length = end_ - begin_;
  const auto room = static_cast<int64_t>(kFill * kPageSize / static_cast<double>(items + 1));
  begin_ = end_;
  end_ = std::min(to_, begin_ + length * std::clamp<int64_t>(room, 1, kMaxGrowth));
  dense_ = false;
  pass_ = 0;
  found_new_ = false;
  page_token_.clear();
  seen_.clear();
}

// A date beyond the walk was not asked for and would make the next one start too late.
void Walk::Remember(const Answer& answer) {
  for (const Item& item : answer.items) {
    if (FloorSeconds(item.done) <= to_) newest_in_slice_ = std::max(newest_in_slice_, item.done);
  }
}

}  // namespace semaphore::gateway
