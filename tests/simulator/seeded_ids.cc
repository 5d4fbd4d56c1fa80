#include "tests/simulator/seeded_ids.h"

#include "absl/strings/str_format.h"

namespace semaphore::simulator {
namespace {

// The finalizer of SplitMix64: every input bit reaches every output bit.
uint64_t Mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

}  // namespace

uint64_t SeededIds::Number(std::string_view kind, uint64_t index) const {
  uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : kind) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return Mix(Mix(hash ^ Mix(seed_)) ^ index);
}

std::string SeededIds::Uuid(std::string_view kind, uint64_t index) const {
  const uint64_t high = Number(kind, index);
  const uint64_t low = Mix(high);
  return absl::StrFormat("%08x-%04x-4%03x-%04x-%012x", high >> 32, (high >> 16) & 0xffff,
                         high & 0xfff, ((low >> 48) & 0x3fff) | 0x8000, low & 0xffffffffffffU);
}

std::string SeededIds::CommitSha(uint64_t index) const {
  const uint64_t first = Number("commit", index);
  const uint64_t second = Mix(first);
  return absl::StrFormat("%016x%016x%08x", first, second, Mix(second) >> 32);
}

}  // namespace semaphore::simulator
