"""Which metrics and labels an expression names. No parser: Prometheus itself says whether the syntax is right, this
only tells names from words, so that they can be looked up in the catalogue."""

import re

TOKEN = re.compile(r'''"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[A-Za-z_:][A-Za-z0-9_:]*|\d[\w.]*|=~|!~|!=|\S''')
CLAUSES = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = CLAUSES | {"and", "or", "unless", "bool", "offset", "inf", "nan", "atan2", "start", "end"}
AGGREGATORS = {"sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile", "group", "stddev", "stdvar",
               "count_values"}


class Names:
    def __init__(self, expr):
        self.selectors = []  # pairs: metric, the labels that it is matched by
        self.grouping = set()  # labels of by, on and the like
        self._tokens = TOKEN.findall(expr)
        self._at = 0
        while self._at < len(self._tokens):
            self._step()

    def _step(self):
        token = self._tokens[self._at]
        following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else ""
        self._at += 1
        if token == "[":
            self._until("]")
        elif token == "{":
            raise ValueError("a selector without a metric")
        elif token.lower() in CLAUSES and following == "(":
            self.grouping |= {word for word in self._until(")") if re.match(r"[A-Za-z_]", word)}
        elif re.match(r"[A-Za-z_:]", token) and token.lower() not in WORDS and following != "(" and \
                token not in AGGREGATORS:
            labels = self._matchers() if following == "{" else set()
            self.selectors.append((token, labels))

    def _matchers(self):
        inside = self._until("}")
        return {inside[number - 1] for number, token in enumerate(inside) if token in ("=", "!=", "=~", "!~")}

    def _until(self, closing):
        start = self._at
        self._at = self._tokens.index(closing, start) + 1
        return self._tokens[start:self._at - 1]
