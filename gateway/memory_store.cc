#include "gateway/memory_store.h"

#include <algorithm>
#include <bit>
#include <deque>
#include <list>
#include <mutex>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/cord.h"
#include "client/string_view.h"

namespace semaphore::gateway {
namespace {

constexpr uint8_t kMaxFrequency = 3;

// So many Gets in the small queue earn a place in the main one. With 1 the ratio of hits is the
// same by Zipf (0.91), but a scan that reads each key twice running brings it down to 0.68 instead
// of leaving it (tests/bench/store_bench.cc).
constexpr uint8_t kWantedFrequency = 2;

// Of a shard's bytes, what is kept for entries not asked for again yet: one in this many.
constexpr size_t kSmallShare = 10;

// How many wanted entries an eviction may pass over, so that one Put among entries that are all
// wanted does not hold the lock for milliseconds.
constexpr int kMaxSecondChances = 1000;

struct Entry {
  size_t hash = 0;
  size_t bytes = 0;
  std::string key;
  std::shared_ptr<const CachedReply> reply;
  uint8_t frequency = 0;  // Gets since it came into its queue or was last passed over, at most 3
  bool in_main = false;
};

using Entries = std::list<Entry>;

// What glibc's malloc takes for an allocation: a header of 8 bytes, rounded up to 16, at least 32.
constexpr size_t Allocated(size_t size) { return std::max<size_t>(32, (size + 8 + 15) / 16 * 16); }

size_t AllocatedBy(const std::string& text) {
  constexpr size_t kInPlace = 15;
  return text.capacity() <= kInPlace ? 0 : Allocated(text.capacity() + 1);
}

// What one entry takes besides the bytes of its strings:
// - its list node, of two pointers and the Entry;
// - the blocks of its CachedReply and its reply string, each behind the two pointers of
//   make_shared;
// - its part of the index and of the ghosts, which are at most as many as the entries: each a slot
//   of 8 bytes and one of control in a table that is between 7/16 and 7/8 full, so at most 21, and
//   4 in the order of the ghosts.
// 334 bytes with the reply string, 270 without. Found by reading the containers and confirmed by
// the test that compares the sum with mallinfo2.
constexpr size_t kTableSlot = 21;
constexpr size_t kEntryOverhead = Allocated(2 * sizeof(void*) + sizeof(Entry)) +
                                  Allocated(2 * sizeof(void*) + sizeof(CachedReply)) +
                                  2 * kTableSlot + 4;
constexpr size_t kReplyOverhead = Allocated(2 * sizeof(void*) + sizeof(std::string));

// A status with a message or details is a block of its own: counter, code, message, and the address
// of the details. Those are a vector, with room for one, of a type's name and a cord each.
size_t AllocatedBy(const absl::Status& status) {
  constexpr size_t kDetail = sizeof(std::string) + sizeof(absl::Cord);
  size_t details = 0;
  size_t bytes = 0;
  status.ForEachPayload([&](absl::string_view type, const absl::Cord& detail) {
    if (++details == 1) bytes += Allocated(sizeof(size_t) + kDetail);
    bytes += Allocated(type.size() + 1) + detail.EstimatedMemoryUsage() - sizeof(absl::Cord);
  });
  if (details > 1) bytes += Allocated(std::bit_ceil(details) * kDetail);
  const size_t message = status.message().size();
  if (message + details == 0) return 0;
  return bytes + Allocated(2 * sizeof(uint32_t) + sizeof(std::string) + sizeof(void*)) +
         (message <= 15 ? 0 : Allocated(message + 1));
}

size_t BytesOf(const std::string& key, const CachedReply& reply) {
  return kEntryOverhead + AllocatedBy(key) + AllocatedBy(reply.status) +
         (reply.reply ? kReplyOverhead + AllocatedBy(*reply.reply) : 0);
}

// The fingerprints of the entries that the small queue let go, oldest first. Two keys of one
// fingerprint cost an undeserved place in the main queue, no more.
class Ghosts {
 public:
  void Add(size_t hash) {
    const auto fingerprint = static_cast<uint32_t>(hash);
    order_.push_back(fingerprint);
    numbers_[fingerprint] = next_number_++;
  }

  // Whether it was there; it is not any more.
  bool Take(size_t hash) { return numbers_.erase(static_cast<uint32_t>(hash)) > 0; }

  void ShrinkTo(size_t most) {
    for (; order_.size() > most; order_.pop_front()) {
      // Taken and added again since, it has a later number, and another place in the order.
      const auto found = numbers_.find(order_.front());
      const auto number = static_cast<uint32_t>(next_number_ - order_.size());
      if (found != numbers_.end() && found->second == number) numbers_.erase(found);
    }
  }

 private:
  std::deque<uint32_t> order_;
  absl::flat_hash_map<uint32_t, uint32_t> numbers_;  // by fingerprint; numbers wrap around
  uint32_t next_number_ = 0;
};

// A key with its hash, which is computed once for each call.
struct Sought {
  size_t hash = 0;
  std::string_view key;
};

struct HashOfEntry {
  using is_transparent = void;
  size_t operator()(const Sought& sought) const { return sought.hash; }
  size_t operator()(Entries::iterator entry) const { return entry->hash; }
};

struct SameKey {
  using is_transparent = void;
  static Sought Of(const Sought& sought) { return sought; }
  static Sought Of(Entries::iterator entry) { return {.hash = entry->hash, .key = entry->key}; }
  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const {
    return Of(a).hash == Of(b).hash && Of(a).key == Of(b).key;
  }
};

Sought Seek(std::string_view key) {
  return {.hash = absl::HashOf(client::ToAbsl(key)), .key = key};
}

}  // namespace

// Whatever leaves a queue is destroyed after the lock is released: freeing megabytes takes time.
class alignas(64) MemoryStore::Shard {
 public:
  explicit Shard(size_t max_bytes) : max_bytes_(max_bytes) {}

  std::shared_ptr<const CachedReply> Get(const Sought& sought) {
    const std::lock_guard lock(mutex_);
    const auto found = index_.find(sought);
    if (found == index_.end()) return nullptr;
    Entry& entry = **found;
    if (entry.frequency < kMaxFrequency) ++entry.frequency;
    return entry.reply;
  }

  void Put(const Sought& sought, std::shared_ptr<const CachedReply> reply) {
    Entries fresh;
    fresh.push_back(
        {.hash = sought.hash, .key = std::string(sought.key), .reply = std::move(reply)});
    fresh.front().bytes = BytesOf(fresh.front().key, *fresh.front().reply);

    Entries dropped;
    const std::lock_guard lock(mutex_);
    Replace(sought, fresh.front(), dropped);
    if (fresh.front().bytes > max_bytes_) {
      ++too_large_;
    } else {
      MakeRoom(fresh.front(), dropped);
      Insert(fresh);
    }
    ghosts_.ShrinkTo(index_.size());
  }

  void Remove(const Sought& sought) {
    Entries dropped;
    const std::lock_guard lock(mutex_);
    const auto found = index_.find(sought);
    if (found == index_.end()) return;
    Drop(*found, dropped);
    ghosts_.ShrinkTo(index_.size());
  }

  void AddTo(Stats& stats) const {
    const std::lock_guard lock(mutex_);
    stats.entries += index_.size();
    stats.bytes += small_.bytes + main_.bytes;
    stats.evictions += evictions_;
    stats.too_large += too_large_;
  }

 private:
  struct Queue {
    Entries entries;  // the newest first
    size_t bytes = 0;
  };

  Queue& QueueOf(const Entry& entry) { return entry.in_main ? main_ : small_; }

  // Takes out what has the key of `fresh`, which inherits how much that was wanted; or else decides
  // by the ghosts where `fresh` begins.
  void Replace(const Sought& sought, Entry& fresh, Entries& dropped) {
    const auto found = index_.find(sought);
    if (found == index_.end()) {
      fresh.in_main = ghosts_.Take(sought.hash);
      return;
    }
    fresh.frequency = (*found)->frequency;
    fresh.in_main = (*found)->in_main;
    Drop(*found, dropped);
  }

  // Before the insertion, so that an entry larger than the small queue does not evict itself.
  void MakeRoom(const Entry& fresh, Entries& dropped) {
    while (small_.bytes + main_.bytes + fresh.bytes > max_bytes_) {
      const size_t small_bytes = small_.bytes + (fresh.in_main ? 0 : fresh.bytes);
      const bool from_small = small_bytes > max_bytes_ / kSmallShare && !small_.entries.empty();
      if (from_small || main_.entries.empty()) {
        LeaveSmall(dropped);
      } else {
        EvictFromMain(dropped);
      }
    }
  }

  // The oldest of the small queue goes on to the main queue if it is wanted, else away.
  void LeaveSmall(Entries& dropped) {
    const auto oldest = std::prev(small_.entries.end());
    if (oldest->frequency >= kWantedFrequency) {
      Move(oldest, main_);
      return;
    }
    ghosts_.Add(oldest->hash);
    ++evictions_;
    Drop(oldest, dropped);
  }

  void EvictFromMain(Entries& dropped) {
    auto oldest = std::prev(main_.entries.end());
    for (int chances = 0; oldest->frequency > 0 && chances < kMaxSecondChances; ++chances) {
      --oldest->frequency;
      main_.entries.splice(main_.entries.begin(), main_.entries, oldest);
      oldest = std::prev(main_.entries.end());
    }
    ++evictions_;
    Drop(oldest, dropped);
  }

  void Move(Entries::iterator entry, Queue& to) {
    Queue& from = QueueOf(*entry);
    from.bytes -= entry->bytes;
    to.bytes += entry->bytes;
    entry->in_main = &to == &main_;
    entry->frequency = 0;
    to.entries.splice(to.entries.begin(), from.entries, entry);
  }

  void Insert(Entries& fresh) {
    Queue& queue = QueueOf(fresh.front());
    queue.bytes += fresh.front().bytes;
    index_.insert(fresh.begin());
    queue.entries.splice(queue.entries.begin(), fresh);
  }

  void Drop(Entries::iterator entry, Entries& dropped) {
    Queue& queue = QueueOf(*entry);
    queue.bytes -= entry->bytes;
    index_.erase(entry);
    dropped.splice(dropped.begin(), queue.entries, entry);
  }

  const size_t max_bytes_;
  mutable std::mutex mutex_;
  absl::flat_hash_set<Entries::iterator, HashOfEntry, SameKey> index_;
  Queue small_;
  Queue main_;
  Ghosts ghosts_;
  uint64_t evictions_ = 0;
  uint64_t too_large_ = 0;
};

MemoryStore::MemoryStore(const Options& options) : enabled_(options.max_bytes > 0) {
  const size_t shards = std::bit_ceil(std::max<size_t>(1, options.shards));
  shards_.reserve(shards);
  for (size_t i = 0; i < shards; ++i) {
    shards_.push_back(std::make_unique<Shard>(options.max_bytes / shards));
  }
}

MemoryStore::~MemoryStore() = default;

std::shared_ptr<const CachedReply> MemoryStore::Get(std::string_view key) {
  const Sought sought = Seek(key);
  return ShardOf(sought.hash).Get(sought);
}

void MemoryStore::Put(std::string_view key, std::shared_ptr<const CachedReply> reply) {
  if (!enabled_) return;
  const Sought sought = Seek(key);
  ShardOf(sought.hash).Put(sought, std::move(reply));
}

void MemoryStore::Remove(std::string_view key) {
  const Sought sought = Seek(key);
  ShardOf(sought.hash).Remove(sought);
}

CacheStore::Stats MemoryStore::GetStats() const {
  Stats stats;
  for (const std::unique_ptr<Shard>& shard : shards_) shard->AddTo(stats);
  return stats;
}

// By other bits than those that place an entry in the shard's index, which are the lowest.
MemoryStore::Shard& MemoryStore::ShardOf(size_t hash) const {
  return *shards_[(hash >> 48) & (shards_.size() - 1)];
}

}  // namespace semaphore::gateway
