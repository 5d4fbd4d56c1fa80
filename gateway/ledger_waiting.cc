#include "gateway/ledger_waiting.h"

namespace semaphore::gateway {
namespace {

// What is stored of a deployment: what counting needs, and none of its variables, which may be
// secret.
std::string Stored(v1::Deployment deployment) {
  deployment.clear_env_vars();
  deployment.clear_state_message();
  return deployment.SerializeAsString();
}

bool IsPending(const v1::Deployment& deployment) {
  return deployment.pipeline_id().empty() && deployment.state() != v1::DEPLOYMENT_STATE_FAILED;
}

}  // namespace

const std::array<const char*, 4> LedgerWaiting::kSchema = {
    "CREATE TABLE waiting_promotions (organization TEXT NOT NULL, project_id TEXT NOT NULL, "
    "pipeline_id BLOB NOT NULL, since INTEGER NOT NULL, due INTEGER NOT NULL, until INTEGER NOT "
    "NULL, tries INTEGER NOT NULL, PRIMARY KEY (organization, project_id, pipeline_id)) "
    "WITHOUT ROWID",
    "CREATE INDEX waiting_promotions_by_due ON waiting_promotions (organization, project_id, due)",
    "CREATE TABLE waiting_deployments (organization TEXT NOT NULL, project_id TEXT NOT NULL, "
    "deployment_id BLOB NOT NULL, deployment BLOB NOT NULL, pending INTEGER NOT NULL, due INTEGER "
    "NOT NULL, tries INTEGER NOT NULL, PRIMARY KEY (organization, project_id, deployment_id)) "
    "WITHOUT ROWID",
    "CREATE INDEX waiting_deployments_pending ON waiting_deployments (organization, project_id, "
    "due) WHERE pending = 1",
};

absl::StatusOr<std::vector<WaitingPromotion>> LedgerWaiting::DuePromotions(
    const std::string& organization, const std::string& project_id, absl::Time now) {
  Sqlite::Query query = file_.Prepare(
      "SELECT pipeline_id, since, due, until, tries FROM waiting_promotions WHERE organization = ? "
      "AND project_id = ? AND due <= ? ORDER BY due, pipeline_id LIMIT ?");
  query.Text(organization)
      .Text(project_id)
      .Integer(absl::ToUnixMicros(now))
      .Integer(CollectorLedger::kDueAtOnce);
  std::vector<WaitingPromotion> due;
  while (true) {
    const absl::StatusOr<bool> row = query.Next();
    if (!row.ok()) return row.status();
    if (!*row) return due;
    due.push_back({query.Column(0), absl::FromUnixMicros(query.IntegerColumn(1)),
                   absl::FromUnixMicros(query.IntegerColumn(2)),
                   absl::FromUnixMicros(query.IntegerColumn(3)),
                   static_cast<int>(query.IntegerColumn(4))});
  }
}

absl::StatusOr<std::vector<WaitingDeployment>> LedgerWaiting::DueDeployments(
    const std::string& organization, const std::string& project_id, absl::Time now,
    const std::string& after) {
  Sqlite::Query query = file_.Prepare(
      "SELECT deployment, due, tries FROM waiting_deployments WHERE organization = ? AND "
      "project_id = ? AND deployment_id > ? AND pending = 0 AND due <= ? ORDER BY deployment_id "
      "LIMIT ?");
  query.Text(organization)
      .Text(project_id)
      .Bytes(after)
      .Integer(absl::ToUnixMicros(now))
      .Integer(CollectorLedger::kDueAtOnce);
  return ReadDeployments(query);
}

absl::StatusOr<std::vector<WaitingDeployment>> LedgerWaiting::PendingDeployments(
    const std::string& organization, const std::string& project_id, absl::Time now) {
  Sqlite::Query query = file_.Prepare(
      "SELECT deployment, due, tries FROM waiting_deployments WHERE organization = ? AND "
      "project_id = ? AND pending = 1 AND due <= ? ORDER BY due, deployment_id LIMIT ?");
  query.Text(organization)
      .Text(project_id)
      .Integer(absl::ToUnixMicros(now))
      .Integer(CollectorLedger::kMaxPending);
  return ReadDeployments(query);
}

absl::StatusOr<std::vector<WaitingDeployment>> LedgerWaiting::ReadDeployments(
    Sqlite::Query& query) {
  std::vector<WaitingDeployment> out;
  while (true) {
    const absl::StatusOr<bool> row = query.Next();
    if (!row.ok()) return row.status();
    if (!*row) return out;
    WaitingDeployment& each = out.emplace_back();
    if (!each.deployment.ParseFromString(query.Column(0))) {
      return CorruptLedger(file_.path(), "holds a deployment that cannot be read back");
    }
    each.due = absl::FromUnixMicros(query.IntegerColumn(1));
    each.tries = static_cast<int>(query.IntegerColumn(2));
  }
}

absl::StatusOr<uint64_t> LedgerWaiting::Apply(const CollectedBatch& batch) {
  const absl::StatusOr<uint64_t> promotions = AddPromotions(batch);
  if (!promotions.ok()) return promotions;
  absl::Status status = PostponePromotions(batch);
  if (!status.ok()) return status;
  const absl::StatusOr<uint64_t> deployments = AddDeployments(batch);
  if (!deployments.ok()) return deployments;
  status = PostponeDeployments(batch);
  if (!status.ok()) return status;
  return *promotions + *deployments;
}

absl::StatusOr<int64_t> LedgerWaiting::Room(const CollectedBatch& batch, const char* count) {
  Sqlite::Query query = file_.Prepare(count);
  const absl::StatusOr<bool> row = query.Text(batch.organization).Text(batch.project_id).Next();
  if (!row.ok()) return row.status();
  return kMaxRows - (*row ? query.IntegerColumn(0) : 0);
}

absl::StatusOr<uint64_t> LedgerWaiting::AddPromotions(const CollectedBatch& batch) {
  if (batch.promotions_to_read.empty()) return 0;
  absl::StatusOr<int64_t> room = Room(
      batch, "SELECT count(*) FROM waiting_promotions WHERE organization = ? AND project_id = ?");
  if (!room.ok()) return room.status();
  uint64_t dropped = 0;
  for (const WaitingPromotion& each : batch.promotions_to_read) {
    absl::Status status =
        file_
            .Prepare(
                "UPDATE waiting_promotions SET since = min(since, ?), due = min(due, ?), until = "
                "max(until, ?) WHERE organization = ? AND project_id = ? AND pipeline_id = ?")
            .Integer(absl::ToUnixMicros(each.since))
            .Integer(absl::ToUnixMicros(each.due))
            .Integer(absl::ToUnixMicros(each.until))
            .Text(batch.organization)
            .Text(batch.project_id)
            .Bytes(each.pipeline_id)
            .Run();
    if (!status.ok()) return status;
    if (file_.changes() > 0) continue;
    if (*room <= 0) {
      ++dropped;
      continue;
    }
    --*room;
    status = file_
                 .Prepare(
                     "INSERT INTO waiting_promotions (organization, project_id, pipeline_id, "
                     "since, due, until, tries) VALUES (?, ?, ?, ?, ?, ?, ?)")
                 .Text(batch.organization)
                 .Text(batch.project_id)
                 .Bytes(each.pipeline_id)
                 .Integer(absl::ToUnixMicros(each.since))
                 .Integer(absl::ToUnixMicros(each.due))
                 .Integer(absl::ToUnixMicros(each.until))
                 .Integer(each.tries)
                 .Run();
    if (!status.ok()) return status;
  }
  return dropped;
}

absl::Status LedgerWaiting::PostponePromotions(const CollectedBatch& batch) {
  for (const WaitingPromotion& each : batch.promotions_postponed) {
    absl::Status status = file_
                              .Prepare(
                                  "UPDATE waiting_promotions SET due = ?, tries = ? WHERE "
                                  "organization = ? AND project_id = ? AND pipeline_id = ?")
                              .Integer(absl::ToUnixMicros(each.due))
                              .Integer(each.tries)
                              .Text(batch.organization)
                              .Text(batch.project_id)
                              .Bytes(each.pipeline_id)
                              .Run();
    if (!status.ok()) return status;
  }
  for (const std::string& id : batch.promotions_read) {
    absl::Status status = file_
                              .Prepare(
                                  "DELETE FROM waiting_promotions WHERE organization = ? AND "
                                  "project_id = ? AND pipeline_id = ?")
                              .Text(batch.organization)
                              .Text(batch.project_id)
                              .Bytes(id)
                              .Run();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> LedgerWaiting::AddDeployments(const CollectedBatch& batch) {
  if (batch.deployments_found.empty()) return 0;
  absl::StatusOr<int64_t> room = Room(
      batch, "SELECT count(*) FROM waiting_deployments WHERE organization = ? AND project_id = ?");
  if (!room.ok()) return room.status();
  uint64_t dropped = 0;
  for (const WaitingDeployment& each : batch.deployments_found) {
    if (*room <= 0) {
      ++dropped;
      continue;
    }
    absl::Status status =
        file_
            .Prepare(
                "INSERT INTO waiting_deployments (organization, project_id, deployment_id, "
                "deployment, pending, due, tries) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT "
                "EXISTS (SELECT 1 FROM seen WHERE organization = ?1 AND kind = 'deployment' AND "
                "key = ?3) ON CONFLICT DO UPDATE SET deployment = excluded.deployment, pending = "
                "excluded.pending, due = excluded.due, tries = excluded.tries WHERE pending = 1 "
                "AND excluded.pending = 0")
            .Text(batch.organization)
            .Text(batch.project_id)
            .Bytes(each.deployment.deployment_id())
            .Bytes(Stored(each.deployment))
            .Integer(IsPending(each.deployment) ? 1 : 0)
            .Integer(absl::ToUnixMicros(each.due))
            .Integer(each.tries)
            .Run();
    if (!status.ok()) return status;
    *room -= file_.changes();
  }
  return dropped;
}

absl::Status LedgerWaiting::PostponeDeployments(const CollectedBatch& batch) {
  for (const WaitingDeployment& each : batch.deployments_postponed) {
    absl::Status status =
        file_
            .Prepare(
                "UPDATE waiting_deployments SET deployment = ?, pending = ?, due = ?, tries = ? "
                "WHERE organization = ? AND project_id = ? AND deployment_id = ?")
            .Bytes(Stored(each.deployment))
            .Integer(IsPending(each.deployment) ? 1 : 0)
            .Integer(absl::ToUnixMicros(each.due))
            .Integer(each.tries)
            .Text(batch.organization)
            .Text(batch.project_id)
            .Bytes(each.deployment.deployment_id())
            .Run();
    if (!status.ok()) return status;
  }
  for (const CollectedDeployment& each : batch.deployments) {
    absl::Status status = file_
                              .Prepare(
                                  "DELETE FROM waiting_deployments WHERE organization = ? AND "
                                  "project_id = ? AND deployment_id = ?")
                              .Text(batch.organization)
                              .Text(batch.project_id)
                              .Bytes(each.deployment.deployment_id())
                              .Run();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace semaphore::gateway
