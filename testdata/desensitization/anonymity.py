"""Prints what pycanon, which is not ours, says of a table: `K L`.

anonymity.py TABLE SENSITIVE QUASI_IDENTIFIER...
"""

import sys

import pandas
from pycanon import anonymity

table, sensitive, *quasi_identifiers = sys.argv[1:]
data = pandas.read_csv(table, dtype=str, keep_default_na=False)
print(
    anonymity.k_anonymity(data, quasi_identifiers),
    anonymity.l_diversity(data, quasi_identifiers, [sensitive]),
)
