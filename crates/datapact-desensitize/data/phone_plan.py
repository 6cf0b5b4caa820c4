#!/usr/bin/env python3
"""Writes phone_plan.txt from libphonenumber's metadata (PyPI `phonenumbers`): python3 phone_plan.py > phone_plan.txt

For each region: calling code, national prefix, and for each length of a national significant number the leading
three digits with which libphonenumber knows a valid number (of any type) of that length.
"""

import re._constants as constant
import re._parser as parser

import phonenumbers
from phonenumbers import PhoneMetadata

TYPES = ["fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan", "voicemail"]


class Automaton:
    """A nondeterministic automaton over digits, built from a metadata pattern."""

    def __init__(self, pattern):
        self.edges, self.empty = [], []
        self.start = self.state()
        self.end = self.build(parser.parse(pattern), self.start)

    def state(self):
        self.edges.append([])
        self.empty.append([])
        return len(self.edges) - 1

    def build(self, items, at):
        for kind, value in items:
            at = self.item(kind, value, at)
        return at

    def item(self, kind, value, at):
        if kind == constant.LITERAL:
            to = self.state()
            self.edges[at].append(({chr(value)}, to))
            return to
        if kind == constant.IN:
            digits = set()
            for sort, what in value:
                if sort == constant.LITERAL:
                    digits.add(chr(what))
                elif sort == constant.RANGE:
                    digits |= {chr(c) for c in range(what[0], what[1] + 1)}
                elif sort == constant.CATEGORY:
                    digits |= set("0123456789")
                else:
                    raise ValueError(sort)
            to = self.state()
            self.edges[at].append((digits, to))
            return to
        if kind == constant.SUBPATTERN:
            return self.build(value[3], at)
        if kind == constant.BRANCH:
            to = self.state()
            for branch in value[1]:
                self.empty[self.build(branch, at)].append(to)
            return to
        if kind == constant.MAX_REPEAT:
            least, most, body = value
            to = self.state()
            for count in range(int(most)):
                if count >= least:
                    self.empty[at].append(to)
                at = self.build(body, at)
            self.empty[at].append(to)
            return to
        raise ValueError(kind)

    def close(self, states):
        todo, seen = list(states), set(states)
        while todo:
            for to in self.empty[todo.pop()]:
                if to not in seen:
                    seen.add(to)
                    todo.append(to)
        return frozenset(seen)

    def step(self, states, digit=None):
        return self.close({to for at in states for digits, to in self.edges[at] if digit is None or digit in digits})


def prefixes(pattern, length):
    automaton = Automaton(pattern)
    start = automaton.close({automaton.start})
    out, memo = set(), {}
    for number in range(1000):
        states = start
        for digit in f"{number:03}":
            states = automaton.step(states, digit)
        if states not in memo:
            now = states
            for _ in range(length - 3):
                now = automaton.step(now)
            memo[states] = automaton.end in now
        if memo[states]:
            out.add(number)
    return out


def ranges(numbers):
    out, numbers = [], sorted(numbers)
    while numbers:
        first = last = numbers.pop(0)
        while numbers and numbers[0] == last + 1:
            last = numbers.pop(0)
        out.append(f"{first:03}" if first == last else f"{first:03}-{last:03}")
    return ",".join(out)


def main():
    print("# region, calling code, national prefix or -, main or also, then length:leading three digits")
    print(f"# Facts of libphonenumber {phonenumbers.__version__} (Apache-2.0, https://github.com/google/libphonenumber), written by phone_plan.py")
    for code, regions in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()):
        for region in regions:
            data = (PhoneMetadata.metadata_for_nongeo_region(code) if region == "001" else PhoneMetadata.metadata_for_region(region))
            plan = {}
            for kind in TYPES:
                desc = getattr(data, kind)
                if desc is None or not desc.national_number_pattern:
                    continue
                for length in desc.possible_length or data.general_desc.possible_length:
                    if length >= 4:
                        plan.setdefault(length, set()).update(prefixes(desc.national_number_pattern, length))
            words = [region, str(code), data.national_prefix or "-", "main" if region == regions[0] else "also"]
            words += [f"{length}:{ranges(plan[length])}" for length in sorted(plan) if plan[length]]
            print(" ".join(words))


main()
