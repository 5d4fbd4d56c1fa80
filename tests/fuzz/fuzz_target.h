// What a fuzz target of this directory is: an entry for libFuzzer, and the inputs that mutation
// begins with. With clang and the preset `fuzz` libFuzzer drives it and is led by coverage; with
// any other compiler driver.cc does, without, so that a short run is an ordinary test.
#ifndef SEMAPHORE_TESTS_FUZZ_FUZZ_TARGET_H_
#define SEMAPHORE_TESTS_FUZZ_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace semaphore::fuzz {

std::vector<std::string> Seeds();

// Pieces that mutation puts in as they are, since bits alone seldom make them.
std::vector<std::string> Words();

}  // namespace semaphore::fuzz

#endif  // SEMAPHORE_TESTS_FUZZ_FUZZ_TARGET_H_
