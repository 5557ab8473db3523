"""A tool that is a command: JSON on its standard input, its standard output the result."""

import json
import sys

STOCK = {"bread": 12, "milk": 0}

item = json.load(sys.stdin)["item"]
if item not in STOCK:
    sys.exit(f"no such item: {item}")
print(STOCK[item], "left")
