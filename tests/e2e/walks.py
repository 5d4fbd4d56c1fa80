"""What tests of long lists share: a list as the gateway and as the simulator give it, and the walk through it
in pages of any size."""

import itertools
import urllib.parse

from processes import GatewayTest

ITEMS = 3000
SMALL_SIZES = (2, 7)
LARGE_SIZES = (30, 99, 100, 499, 1000, 5000)
MOST = 1000  # more is coerced


class List:
    """A paged method. `key` and `own_key` give the same of a reply's item and of upstream's."""

    def __init__(self, method, items, key, own_key, request=None):
        self.method, self.items, self.key, self.own_key = method, items, key, own_key
        self.request = request or {}


class WalksTest(GatewayTest):
    items = ITEMS
    settings = ("upstream: {requests_per_second: 100000, burst: 100000}\n"
                "callers: {requests_per_second: 0}\n")

    def pages(self, listed, sizes):
        """The items of each page; `sizes` may be endless."""
        token = ""
        for size in sizes:
            request = {**listed.request, "pageSize": size, "pageToken": token}
            future = self.client.start(listed.method, request)
            message = future.reply_class.FromString(future.result())
            yield size, [listed.key(item) for item in getattr(message, listed.items)], message
            token = message.next_page_token
            self.heard.append(token.encode())
            if not token:
                return

    def check(self, listed, expected, sizes):
        found = []
        for size, items, message in self.pages(listed, sizes):
            self.assertLessEqual(len(items), min(size, MOST))
            self.assertTrue(items or not expected, f"an empty page after {len(found)} items")
            found += items
            self.assertLessEqual(len(found), len(expected))
            if "total_size" in message.DESCRIPTOR.fields_by_name and message.HasField("total_size"):
                self.assertEqual(message.total_size, len(expected))
        self.assertEqual(len(found), len(expected))
        self.assertEqual(found, expected)

    def check_sizes(self, listed, expected, sizes):
        self.assertEqual(len(expected), self.items)
        for size in sizes:
            with self.subTest(size=size):
                self.check(listed, expected, itertools.repeat(size))
        with self.subTest("sizes that change"):
            self.check(listed, expected, itertools.cycle((7, 1, 499, 30, 2, 1000, 100, 99)))

    def own(self, path, parameters, listed, items=None):
        """One answer of upstream, as keys."""
        headers, answer = self.simulator.get(path + "?" + urllib.parse.urlencode(parameters))
        return headers, [listed.own_key(item) for item in (answer[items] if items else answer)], answer
