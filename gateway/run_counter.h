// What a finished pipeline, promotion or deployment adds to the event families of the catalogue.
// Pure: the facts and what is remembered of earlier ones go in, increments and changes of memory
// come out. That each is counted once is the ledger's part, as is which series are published.
#ifndef SEMAPHORE_GATEWAY_RUN_COUNTER_H_
#define SEMAPHORE_GATEWAY_RUN_COUNTER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/ci_catalog.h"
#include "gateway/ci_series.h"
#include "gateway/collector_ledger.h"
#include "semaphore/v1/pipeline.pb.h"

namespace re2 {
class RE2;
}

namespace semaphore::gateway {

// What tells finished pipelines apart: the id, else workflow, YAML path and creation.
std::string PipelineKey(const v1::Pipeline& pipeline);

// The refs that get a label of their own. Linear in the length of a name, whatever the name.
class RefRules {
 public:
  struct Ref {
    std::string label;      // clean; "other" where no rule matches
    std::string_view type;  // branch, tag, pull_request, unknown
    bool listed = false;
  };

  // Each pattern (RE2) must match the whole of what Semaphore calls the ref: "main",
  // "refs/tags/v1.0", "pull-request-12". INVALID_ARGUMENT names the pattern that is none.
  static absl::StatusOr<RefRules> Create(const std::vector<std::string>& patterns);

  Ref Classify(std::string_view branch_name) const;

 private:
  std::vector<std::shared_ptr<const re2::RE2>> patterns_;
};

// One event of a counter (value is the amount) or of a histogram (value is what was observed).
struct Increment {
  std::string_view family;          // as in the catalogue
  std::vector<std::string> labels;  // clean values, in the catalogue's order
  double value = 1;
  std::optional<Exemplar> exemplar;
};

// An empty value forgets the key.
struct MemoryChange {
  std::string key;
  std::string value;
  absl::Time expires;
};

struct Counted {
  std::vector<Increment> increments;
  std::vector<MemoryChange> memory;
};

// A series to exist at zero before anything happened to it.
struct ZeroSeries {
  std::string_view family;
  std::vector<std::string> labels;
};

class RunCounter {
 public:
  // What was remembered under a key; nothing if nothing is.
  using Memory = std::function<std::optional<std::string>(const std::string& key)>;

  struct Project {
    std::string organization;
    std::string project_id;
    std::string name;
  };

  // Families above `level` are left out.
  RunCounter(RefRules refs, CiLevel level) : refs_(std::move(refs)), level_(level) {}

  // A done pipeline, not counted before. `now` dates what is remembered.
  //
  // Durations, each left out when one of its ends is missing, and 0 when clocks disagree:
  //   run                 created -> done
  //   phase "pending"     created -> running; if it never ran, -> stopping, else -> done
  //   phase "executing"   running -> stopping; if nobody stopped it, -> done
  //   phase "finalizing"  stopping -> done; none if nobody stopped it
  //   recovery            end of the first failed run since the last passed one -> end of the
  //   passed
  //                       run, on a listed ref. Stopped and canceled runs say nothing.
  //
  // Recoveries go by the order in which pipelines were done. What arrives late finds its place
  // among the last kMaxOutcomes; a recovery that it completes is counted then, one that was counted
  // already is never changed.
  Counted CountPipeline(const Project& project, const CollectedPipeline& collected,
                        const Memory& memory, absl::Time now) const;
  Counted CountPromotion(const Project& project, const CollectedPromotion& collected) const;
  Counted CountDeployment(const Project& project, const CollectedDeployment& collected) const;

  // Every series of closed sets of words that a pipeline on a listed ref may come to have; none
  // for a ref that is not listed. `pipeline` is what PipelineFile says.
  std::vector<ZeroSeries> PipelineZeros(const Project& project, std::string_view pipeline,
                                        std::string_view branch_name) const;
  // The same with the pipeline's blocks and jobs, as far as they are in it.
  std::vector<ZeroSeries> PipelineZeros(const Project& project,
                                        const CollectedPipeline& collected) const;
  std::vector<ZeroSeries> TargetZeros(const Project& project, std::string_view target) const;

  const RefRules& refs() const { return refs_; }
  CiLevel level() const { return level_; }

  // Finished runs of one pipeline on one ref that are remembered for recoveries.
  static constexpr size_t kMaxOutcomes = 32;
  // How long it is remembered that a workflow was counted, what a commit's runs were, and the
  // outcomes on a ref.
  static constexpr absl::Duration kWorkflowMemory = absl::Hours(24 * 14);
  static constexpr absl::Duration kCommitMemory = absl::Hours(24 * 14);
  static constexpr absl::Duration kOutcomeMemory = absl::Hours(24 * 90);

 private:
  class Counting;

  bool Exports(std::string_view family) const;

  const RefRules refs_;
  const CiLevel level_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_RUN_COUNTER_H_
