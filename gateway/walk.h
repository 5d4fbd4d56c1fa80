// One walk over the pipelines of a project that finished between two moments: which question to ask
// next, and when an answer is whole. Upstream numbers its pages and orders them by creation, so a
// pipeline that finishes or is deleted while pages are read shifts the rest and can hide between
// two of them. A single page cannot shift; so time is cut into slices of one page each, and only a
// second so busy that it fills more is read page by page until nothing new turns up. Pure: no I/O,
// no clock.
#ifndef SEMAPHORE_GATEWAY_WALK_H_
#define SEMAPHORE_GATEWAY_WALK_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace semaphore::gateway {

class Walk {
 public:
  static constexpr int kPageSize = 200;

  // What to list; both ends are a second wider than the slice, whether upstream counts a bound in
  // or out.
  struct Query {
    absl::Time done_after;
    absl::Time done_before;
    std::string page_token;
    bool operator==(const Query&) const = default;
  };

  struct Item {
    std::string id;  // what tells pipelines apart
    // Its creation where upstream does not say when it was done, which is never later.
    absl::Time done;
  };

  struct Answer {
    std::vector<Item> items;
    int64_t total = -1;  // of the list; -1: not told
    std::string next_page_token;
  };

  enum class Verdict {
    kDiscard,    // more than a page: a shorter slice is asked for instead
    kKeep,       // these pipelines finished; others of the slice are to come
    kSliceDone,  // these too, and there are no others up to slice_end
  };

  // From the earlier to the later moment, in whole seconds around both.
  Walk(absl::Time from, absl::Time to);

  // Nothing once the walk is complete.
  std::optional<Query> Next() const;

  // The answer to Next(). UNAVAILABLE when the list changes faster than it can be read: the walk
  // has failed, and what is not complete by then must be walked again.
  absl::StatusOr<Verdict> OnAnswer(const Answer& answer);

  bool complete() const { return begin_ >= to_; }

  // The largest moment at which a pipeline of a complete slice was done; the infinite past before
  // there is one. Upstream's clock, so it is where the next walk may start.
  absl::Time newest_done() const { return newest_done_; }

 private:
  void Shorten(const Answer& answer);
  absl::StatusOr<Verdict> OnDensePage(const Answer& answer);
  void Finish(size_t items);
  void Remember(const Answer& answer);

  const int64_t from_;  // unix seconds, as all below
  const int64_t to_;
  int64_t begin_;  // of the slice at hand
  int64_t end_;
  int requests_ = 0;
  absl::Time newest_in_slice_ = absl::InfinitePast();
  absl::Time newest_done_ = absl::InfinitePast();

  // A slice that cannot be shortened, read in passes over its pages.
  bool dense_ = false;
  std::string page_token_;
  int pass_ = 0;
  bool found_new_ = false;
  std::unordered_set<std::string> seen_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_WALK_H_
