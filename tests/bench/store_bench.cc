// What the store of the cache is worth: the hit ratio of reads by Zipf 1.0 over 10 000 keys, of
// which half fit, before and after a scan of 100 000 others, against a plain LRU of the same number
// of entries; the same when the scan reads each key twice; and the time of a Get.
#include <benchmark/benchmark.h>

#include <list>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gateway/memory_store.h"

namespace semaphore::gateway {
namespace {

constexpr int kKeys = 10'000;
constexpr int kScanned = 100'000;
constexpr size_t kReplyBytes = 700;
constexpr size_t kMaxBytes = kKeys / 2 * 1'136;  // 5 000 entries, as the LRU has

std::string Key(int number) {
  return "acme/PipelineService.GetPipeline/2f0c5d5e-bb66-4507-afe1-" + std::to_string(number);
}

std::shared_ptr<const CachedReply> NewReply() {
  auto reply = std::make_shared<CachedReply>();
  reply->reply = std::make_shared<const std::string>(kReplyBytes, 'x');
  return reply;
}

class S3Fifo {
 public:
  // Whether it was there; it is now.
  bool Read(const std::string& key) {
    if (store_.Get(key) != nullptr) return true;
    store_.Put(key, NewReply());
    return false;
  }
  size_t size() const { return store_.GetStats().entries; }

 private:
  MemoryStore store_{{.max_bytes = kMaxBytes}};
};

class Lru {
 public:
  bool Read(const std::string& key) {
    const auto found = by_key_.find(key);
    if (found != by_key_.end()) {
      keys_.splice(keys_.begin(), keys_, found->second);
      return true;
    }
    if (keys_.size() >= kMost) {
      by_key_.erase(keys_.back());
      keys_.pop_back();
    }
    keys_.push_front(key);
    by_key_.emplace(key, keys_.begin());
    return false;
  }
  size_t size() const { return keys_.size(); }

 private:
  static constexpr size_t kMost = kKeys / 2;
  std::list<std::string> keys_;
  std::unordered_map<std::string, std::list<std::string>::iterator> by_key_;
};

std::discrete_distribution<int> Zipf() {
  std::vector<double> weights;
  for (int rank = 1; rank <= kKeys; ++rank) weights.push_back(1.0 / rank);
  return {weights.begin(), weights.end()};
}

// The counters are the result; the time is that of reads, fills and scan together.
template <typename Store>
void Scan(benchmark::State& state) {
  std::discrete_distribution<int> zipf = Zipf();
  for (auto _ : state) {
    std::mt19937 random(1);
    Store store;
    const auto hit_ratio = [&](int reads) {
      int hits = 0;
      for (int i = 0; i < reads; ++i) hits += store.Read(Key(zipf(random))) ? 1 : 0;
      return static_cast<double>(hits) / reads;
    };
    hit_ratio(100'000);
    state.counters["before"] = hit_ratio(10'000);
    for (int i = 0; i < kScanned; ++i) {
      for (int time = 0; time < state.range(0); ++time) store.Read("scanned/" + Key(i));
    }
    state.counters["after"] = hit_ratio(10'000);
    hit_ratio(100'000);
    state.counters["later"] = hit_ratio(100'000);
    state.counters["entries"] = static_cast<double>(store.size());
  }
}
BENCHMARK(Scan<S3Fifo>)
    ->ArgName("reads_of_each")
    ->Arg(1)
    ->Arg(2)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1);
BENCHMARK(Scan<Lru>)
    ->ArgName("reads_of_each")
    ->Arg(1)
    ->Arg(2)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1);

// All there; by Zipf, as the hits of the gateway are. Every thread reads the same store.
void Get(benchmark::State& state) {
  static MemoryStore* store = nullptr;
  static std::vector<std::string>* keys = nullptr;
  if (state.thread_index() == 0) {
    store = new MemoryStore({});
    keys = new std::vector<std::string>;
    std::discrete_distribution<int> zipf = Zipf();
    std::mt19937 random(1);
    for (int i = 0; i < kKeys; ++i) store->Put(Key(i), NewReply());
    for (int i = 0; i < 1 << 16; ++i) keys->push_back(Key(zipf(random)));
  }
  size_t next = static_cast<size_t>(state.thread_index()) * 1'000;
  for (auto _ : state) benchmark::DoNotOptimize(store->Get((*keys)[next++ & 0xffff]));
  if (state.thread_index() == 0) {
    delete std::exchange(store, nullptr);
    delete std::exchange(keys, nullptr);
  }
}
BENCHMARK(Get)->ThreadRange(1, 4);

// A new key each time into a full store: one entry made, about one let go.
void PutNew(benchmark::State& state) {
  MemoryStore store({.max_bytes = kMaxBytes});
  int next = 0;
  for (; next < kKeys; ++next) store.Put(Key(next), NewReply());
  for (auto _ : state) store.Put(Key(next++), NewReply());
}
BENCHMARK(PutNew);

}  // namespace
}  // namespace semaphore::gateway

BENCHMARK_MAIN();
