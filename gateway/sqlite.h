// One SQLite file as the ledger uses it: statements that are prepared once, errors as statuses that
// name the file and say what to do. For one thread; every call may block.
#ifndef SEMAPHORE_GATEWAY_SQLITE_H_
#define SEMAPHORE_GATEWAY_SQLITE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

struct sqlite3;
struct sqlite3_stmt;

namespace semaphore::gateway {

class Sqlite {
 public:
  // One use of a prepared statement. Parameters are bound in their order.
  class Query {
   public:
    ~Query();
    Query(Query&& other) noexcept;
    Query& operator=(Query&&) = delete;

    Query& Text(std::string_view text);
    Query& Bytes(std::string_view bytes);
    Query& Integer(int64_t value);
    Query& Real(double value);

    // True: there is a row, whose columns count from 0. False: no more.
    absl::StatusOr<bool> Next();
    // Runs it for its effect.
    absl::Status Run();
    std::string Column(int index) const;
    int64_t IntegerColumn(int index) const;
    double RealColumn(int index) const;

   private:
    friend class Sqlite;
    Query(Sqlite& owner, std::string_view sql, sqlite3_stmt* statement, int code)
        : owner_(owner), sql_(sql), statement_(statement), code_(code) {}

    Sqlite& owner_;
    const std::string_view sql_;
    sqlite3_stmt* statement_;
    int code_;
    int bound_ = 0;
    bool told_ = false;
  };

  // `on_statement` may be empty.
  static absl::StatusOr<std::unique_ptr<Sqlite>> Open(
      std::string path, absl::Duration busy_timeout,
      std::function<void(std::string_view statement)> on_statement);
  ~Sqlite();
  Sqlite(const Sqlite&) = delete;
  Sqlite& operator=(const Sqlite&) = delete;

  // Kept prepared under its text. A mistake in it is told by the first Next or Run. One use at a
  // time.
  Query Prepare(std::string_view sql);
  absl::Status Run(std::string_view sql) { return Prepare(sql).Run(); }
  absl::StatusOr<int64_t> Integer(std::string_view sql);
  absl::StatusOr<std::string> Text(std::string_view sql);

  // Rows changed by the last statement.
  int64_t changes() const;
  // Ends whatever transaction is open.
  void Rollback();
  const std::string& path() const { return path_; }

 private:
  Sqlite(std::string path, std::function<void(std::string_view)> on_statement)
      : path_(std::move(path)), on_statement_(std::move(on_statement)) {}
  absl::Status ToStatus(int code) const;

  const std::string path_;
  const std::function<void(std::string_view)> on_statement_;
  sqlite3* connection_ = nullptr;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;
};

// What to say of a file that cannot be trusted.
absl::Status CorruptLedger(std::string_view path, std::string_view what);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_SQLITE_H_
