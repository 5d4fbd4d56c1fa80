#include "gateway/active_pipelines.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace semaphore::gateway {
namespace {

// A pipeline may come into the list a little after one that was created later.
constexpr absl::Duration kSlack = absl::Minutes(2);

absl::Time CreatedAt(const v1::Pipeline& pipeline) {
  if (!pipeline.has_create_time()) return absl::InfinitePast();
  return absl::FromUnixSeconds(pipeline.create_time().seconds()) +
         absl::Nanoseconds(pipeline.create_time().nanos());
}

}  // namespace

absl::Time ActivePipelines::ListFrom() const {
  absl::Time from = newest_ - kSlack;
  for (const auto& [id, known] : known_) {
    if (!IsOld(id)) from = std::min(from, known.created - absl::Seconds(1));
  }
  return from;
}

std::vector<v1::Pipeline> ActivePipelines::Listed(const std::vector<v1::Pipeline>& pipelines,
                                                  bool whole) {
  std::vector<v1::Pipeline> finished;
  std::set<std::string> done;
  std::set<std::string> listed;
  const absl::Time young = newest_ - kSlack;
  for (const v1::Pipeline& pipeline : pipelines) {
    const std::string& id = pipeline.pipeline_id();
    if (id.empty() || !listed.insert(id).second) continue;
    const absl::Time created = CreatedAt(pipeline);
    newest_ = std::max(newest_, created);
    if (pipeline.state() == v1::PIPELINE_STATE_DONE) {
      done.insert(id);
      const bool unseen = done_.count(id) == 0 && (known_.count(id) > 0 || created >= young);
      if (looked_ && unseen) finished.push_back(pipeline);
      Forget(id);
    } else if (known_.size() < kMaxPipelines || known_.count(id) > 0) {
      known_[id] = {PipelineFile(pipeline), pipeline.state(), created};
    }
  }
  // What the list should have shown and did not is behind its last page, or gone; reading it alone
  // tells which.
  for (const auto& [id, known] : known_) {
    if (listed.count(id) > 0 || IsOld(id)) continue;
    old_.insert(id);
    read_next_.push_back(id);
  }
  done_ = std::move(done);
  cut_off_ = !whole && looked_;
  looked_ = true;
  return finished;
}

std::vector<std::string> ActivePipelines::ToRead() {
  std::vector<std::string> ids;
  for (size_t i = std::min(kMaxReads, read_next_.size()); i > 0; --i) {
    ids.push_back(read_next_.front());
    read_next_.push_back(std::move(read_next_.front()));
    read_next_.pop_front();
  }
  return ids;
}

bool ActivePipelines::Read(const v1::Pipeline& pipeline) {
  const auto found = known_.find(pipeline.pipeline_id());
  if (found == known_.end()) return false;
  found->second.state = pipeline.state();
  if (pipeline.state() != v1::PIPELINE_STATE_DONE) return false;
  Forget(pipeline.pipeline_id());
  return true;
}

void ActivePipelines::Forget(const std::string& id) {
  known_.erase(id);
  if (old_.erase(id) > 0) std::erase(read_next_, id);
}

std::string PipelineFile(const v1::Pipeline& pipeline) {
  if (pipeline.working_directory().empty()) return pipeline.yaml_file_name();
  return absl::StrCat(pipeline.working_directory(),
                      pipeline.working_directory().back() == '/' ? "" : "/",
                      pipeline.yaml_file_name());
}

}  // namespace semaphore::gateway
