// The pipelines of one project that are not done yet. Upstream cannot be asked for them, so they
// are found in the list by creation: from the oldest one known, as long as that is a few pages;
// older ones are read one by one, a few each time. Pure bookkeeping; every set in it is bounded.
#ifndef SEMAPHORE_GATEWAY_ACTIVE_PIPELINES_H_
#define SEMAPHORE_GATEWAY_ACTIVE_PIPELINES_H_

#include <cstddef>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "semaphore/v1/pipeline.pb.h"

namespace semaphore::gateway {

class ActivePipelines {
 public:
  static constexpr int kPageSize = 200;
  static constexpr int kMaxPages = 2;            // of one look
  static constexpr size_t kMaxReads = 5;         // of old ones, with each look
  static constexpr size_t kMaxPipelines = 5000;  // known at a time; more are not shown

  struct Known {
    std::string file;
    v1::PipelineState state;
    absl::Time created;
  };

  // From where the list by creation is to be read; the infinite past at first: everything, as far
  // as the pages go.
  absl::Time ListFrom() const;

  // The pages of one look together, newest first; `whole`: the list ended there. Returns the ones
  // that are done and were not when last seen, in their order; none the first time.
  std::vector<v1::Pipeline> Listed(const std::vector<v1::Pipeline>& pipelines, bool whole);

  // Ids of old ones to read now.
  std::vector<std::string> ToRead();
  // The answer to one of them; false as above when it is not done or was not known.
  bool Read(const v1::Pipeline& pipeline);
  // There is none of that id (any more), or it was found done elsewhere.
  void Forget(const std::string& id);

  const std::map<std::string, Known>& known() const { return known_; }
  // Whether the last look was cut off at kMaxPages.
  bool cut_off() const { return cut_off_; }

 private:
  bool IsOld(const std::string& id) const { return old_.count(id) > 0; }

  bool looked_ = false;
  bool cut_off_ = false;
  absl::Time newest_ = absl::InfinitePast();  // creation of the newest one ever listed
  std::map<std::string, Known> known_;
  std::set<std::string> old_;          // of them, those that the list no longer reaches
  std::deque<std::string> read_next_;  // the same in rotation
  std::set<std::string> done_;         // those in the last look that were done
};

// "semaphore.yml" in ".semaphore" is ".semaphore/semaphore.yml": the label `pipeline`, uncleaned.
std::string PipelineFile(const v1::Pipeline& pipeline);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_ACTIVE_PIPELINES_H_
