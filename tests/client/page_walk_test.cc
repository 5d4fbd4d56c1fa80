// Whole walks over a simulated upstream list, in each of upstream's dialects (facts §4): whatever
// page sizes a caller asks for, every item comes exactly once.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "client/pages.h"
#include "tests/client/method_fixture.h"

namespace semaphore::client {
namespace {

constexpr int kItems = 3000;
const int32_t kSizes[] = {1, 2, 3, 5, 7, 30, 99, 100, 200, 499, 1000, 5000};

struct Item {
  int id;
  int64_t created_seconds;
};

// Upstream's side of a list: newest first, except for agents, who stand in the order of connection.
class SimulatedList {
 public:
  explicit SimulatedList(upstream::v1::Pages pages) : pages_(std::move(pages)) {
    for (int i = 0; i < kItems; ++i) items_.push_back({i, 1000000 - i / 3});
  }

  void InsertAtFront(Item item) { items_.insert(items_.begin(), item); }
  void Remove(int id) {
    std::erase_if(items_, [id](const Item& item) { return item.id == id; });
  }
  int64_t NewestSeconds() const { return items_.front().created_seconds; }

  // Upstream's answer: the items of its page, and what it says about it.
  std::vector<Item> Answer(const PageQuery& query, PageFacts& facts) const {
    switch (pages_.dialect()) {
      case upstream::v1::DIALECT_LINK_HEADER:
        return LinkHeader(query, facts);
      case upstream::v1::DIALECT_PAGE_HEADER: {
        const size_t page = std::stoul(Parameter(query, "page"));
        facts.paged = true;
        facts.has_next = page * 500 < items_.size();
        return Cut(items_, (page - 1) * 500, 500);
      }
      case upstream::v1::DIALECT_BODY_CURSOR:
        return BodyCursor(query, facts);
      case upstream::v1::DIALECT_TIME_CURSOR:
        return TimeCursor(query, facts);
      default:
        return items_;
    }
  }

 private:
  static std::string Parameter(const PageQuery& query, const std::string& name) {
    for (const auto& [key, value] : query.parameters) {
      if (key == name) return value;
    }
    return "";
  }

  static std::vector<Item> Cut(const std::vector<Item>& items, size_t begin, size_t count) {
    begin = std::min(begin, items.size());
    return {items.begin() + begin, items.begin() + std::min(begin + count, items.size())};
  }

  std::vector<Item> LinkHeader(const PageQuery& query, PageFacts& facts) const {
    std::vector<Item> visible = items_;
    if (query.position.pin_seconds != 0) {
      std::erase_if(visible, [&query](const Item& item) {
        return item.created_seconds >= query.position.pin_seconds;
      });
    }
    const size_t size = std::stoul(Parameter(query, "page_size"));
    EXPECT_LE(size, static_cast<size_t>(pages_.max()));
    const size_t count = std::max<size_t>(1, (visible.size() + size - 1) / size);
    const size_t page = std::min<size_t>(std::stoul(Parameter(query, "page")), count);
    std::vector<Item> answer = Cut(visible, (page - 1) * size, size);
    facts.paged = true;
    facts.has_next = page < count;
    facts.page_number = page;
    facts.total = static_cast<int64_t>(visible.size());
    facts.newest_seconds = answer.empty() ? -1 : answer.front().created_seconds;
    return answer;
  }

  // The cursor is the moment of the first item of the next page; items that share it with the end
  // of the page before come again. Every third moment has three of them.
  std::vector<Item> BodyCursor(const PageQuery& query, PageFacts& facts) const {
    const auto moment_of = [](const Item& item) { return item.id - item.id % 3; };
    const size_t size = std::stoul(Parameter(query, "page_size"));
    EXPECT_GE(size, 5u);
    EXPECT_LE(size, 200u);
    const std::string cursor = Parameter(query, "cursor");
    size_t begin = 0;
    while (!cursor.empty() && moment_of(items_[begin]) < std::stoi(cursor)) ++begin;
    if (begin + size < items_.size())
      facts.cursor = std::to_string(moment_of(items_[begin + size]));
    facts.has_next = !facts.cursor.empty();
    return Cut(items_, begin, size);
  }

  // Ten a page; the cursor is the time of the last item, BEFORE means older than it.
  std::vector<Item> TimeCursor(const PageQuery& query, PageFacts& facts) const {
    const std::string cursor = Parameter(query, "cursor_value");
    const size_t begin = cursor.empty() ? 0 : kItems - std::stoul(cursor) + 1;
    std::vector<Item> answer = Cut(items_, begin, 10);
    if (begin + 10 < items_.size()) facts.cursor = std::to_string(kItems - (begin + 9));
    facts.has_next = !facts.cursor.empty();
    return answer;
  }

  const upstream::v1::Pages pages_;
  std::vector<Item> items_;
};

// Written once: the walks look at millions of them.
const std::string& IdentityOf(const Item& item) {
  static const std::vector<std::string> identities = [] {
    std::vector<std::string> made;
    for (int id = 0; id < 3 * kItems; ++id) made.push_back(std::to_string(id));
    return made;
  }();
  return identities.at(item.id);
}

// Reads the whole list as a caller does; `between` runs after each page. Returns how often each id
// came.
std::map<int, int> Walk(
    const upstream::v1::Pages& pages, SimulatedList& list,
    const std::function<int32_t(size_t page)>& size_of,
    const std::function<void()>& between = [] {}) {
  std::map<int, int> seen;
  std::string token;
  for (size_t page = 0; page < 2 * kItems; ++page) {
    PagePosition position;
    if (!token.empty()) {
      const auto decoded = DecodePageToken(token, "walk");
      EXPECT_TRUE(decoded.ok());
      position = *decoded;
    }
    const int32_t size = size_of(page);
    std::optional<PageVerdict> verdict;
    for (int request = 0; request < 8; ++request) {
      const PageQuery query = PlanPage(pages, size, position);
      PageFacts facts;
      const std::vector<Item> items = list.Answer(query, facts);
      facts.items = items.size();
      facts.identities.reserve(items.size());
      for (const Item& item : items) facts.identities.push_back(IdentityOf(item));
      const auto decided = DecidePage(pages, query, facts);
      if (!decided.ok()) {
        ADD_FAILURE() << decided.status();
        return seen;
      }
      verdict = *decided;
      if (verdict->again) {
        position = *verdict->again;
        continue;
      }
      EXPECT_LE(verdict->end - verdict->begin, static_cast<size_t>(size));
      for (size_t i = verdict->begin; i < verdict->end; ++i) ++seen[items[i].id];
      break;
    }
    if (verdict->again) {
      ADD_FAILURE() << "a page needed more than eight requests";
      return seen;
    }
    if (!verdict->next) return seen;
    EXPECT_GT(verdict->end, verdict->begin) << "an empty page in mid-list";
    token = EncodePageToken(*verdict->next, "walk");
    between();
  }
  ADD_FAILURE() << "the walk does not end";
  return seen;
}

void ExpectEachOnce(const std::map<int, int>& seen) {
  for (int id = 0; id < kItems; ++id) {
    const auto found = seen.find(id);
    ASSERT_TRUE(found != seen.end()) << "item " << id << " is lost";
    ASSERT_EQ(found->second, 1) << "item " << id << " is repeated";
  }
}

class PageWalk : public testing::TestWithParam<const char*> {
 protected:
  const upstream::v1::Pages& pages() const { return Method(GetParam()).call.pages(); }
};

TEST_P(PageWalk, EveryItemComesOnceAtEveryPageSize) {
  for (const int32_t size : kSizes) {
    SCOPED_TRACE("page_size " + std::to_string(size));
    SimulatedList list(pages());
    ExpectEachOnce(Walk(pages(), list, [size](size_t) { return size; }));
  }
}

TEST_P(PageWalk, PageSizesMayChangeFromPageToPage) {
  for (size_t first = 0; first < std::size(kSizes); ++first) {
    SCOPED_TRACE("beginning with page_size " + std::to_string(kSizes[first]));
    SimulatedList list(pages());
    ExpectEachOnce(Walk(pages(), list, [first](size_t page) {
      return kSizes[(first + page * 5) % std::size(kSizes)];
    }));
  }
}

INSTANTIATE_TEST_SUITE_P(Dialects, PageWalk,
                         testing::Values("PipelineService/ListPipelines",
                                         "WorkflowService/ListWorkflows",
                                         "PromotionService/ListPromotions",
                                         "ProjectService/ListProjects", "AgentService/ListAgents",
                                         "DeploymentTargetService/ListDeployments",
                                         "AgentTypeService/ListAgentTypes"),
                         [](const auto& name) {
                           const std::string method = name.param;
                           return method.substr(method.find('/') + 1);
                         });

TEST(PinnedPageWalk, NewItemsAtTheFrontShiftNothing) {
  const upstream::v1::Pages& pages = Method("PipelineService/ListPipelines").call.pages();
  ASSERT_TRUE(pages.pin_created_before());
  for (const int32_t size : {7, 30, 99, 499}) {
    SCOPED_TRACE("page_size " + std::to_string(size));
    SimulatedList list(pages);
    int id = kItems;
    const auto seen = Walk(
        pages, list, [size](size_t) { return size; },
        [&] { list.InsertAtFront({id++, list.NewestSeconds() + 5}); });
    ExpectEachOnce(seen);
    EXPECT_EQ(seen.size(), static_cast<size_t>(kItems)) << "an item from after the first page";
  }
}

TEST(PinnedPageWalk, NewItemsOfTheSameSecondRepeatNothing) {
  const upstream::v1::Pages& pages = Method("PipelineService/ListPipelines").call.pages();
  for (const int32_t size : {7, 30, 100}) {
    SCOPED_TRACE("page_size " + std::to_string(size));
    SimulatedList list(pages);
    int id = kItems;
    ExpectEachOnce(Walk(
        pages, list, [size](size_t) { return size; },
        [&] {
          if (id < kItems + 20) list.InsertAtFront({id++, list.NewestSeconds()});
        }));
  }
}

TEST(UnpinnedPageWalk, AListThatGrowsLosesNothing) {
  const upstream::v1::Pages& pages = Method("PromotionService/ListPromotions").call.pages();
  ASSERT_FALSE(pages.pin_created_before());
  SimulatedList list(pages);
  int id = kItems;
  const auto seen = Walk(
      pages, list, [](size_t) { return 10; },
      [&] { list.InsertAtFront({id++, list.NewestSeconds() + 5}); });
  for (int i = 0; i < kItems; ++i) ASSERT_TRUE(seen.count(i) > 0) << i;
}

TEST(UnpinnedPageWalk, ItemsThatVanishBehindTheWalkLoseAndRepeatNothing) {
  for (const char* method : {"AgentTypeService/ListAgentTypes", "AgentService/ListAgents"}) {
    const upstream::v1::Pages& pages = Method(method).call.pages();
    for (const int32_t size : {7, 30, 200}) {
      SCOPED_TRACE(method + std::string(", page_size ") + std::to_string(size));
      SimulatedList list(pages);
      int gone = 0;
      ExpectEachOnce(
          Walk(pages, list, [size](size_t) { return size; }, [&] { list.Remove(gone++); }));
    }
  }
}

TEST(UnpinnedPageWalk, NewProjectsAtTheFrontRepeatNothing) {
  const upstream::v1::Pages& pages = Method("ProjectService/ListProjects").call.pages();
  SimulatedList list(pages);
  int id = kItems;
  ExpectEachOnce(Walk(
      pages, list, [](size_t) { return 300; },
      [&] { list.InsertAtFront({id++, list.NewestSeconds()}); }));
}

}  // namespace
}  // namespace semaphore::client
