"""The same rule in other engines, to hold the product against: what it costs, and what it finds.

Each module is a program, `python -m bench.peers.NAME DIR`, that prints the findings of a recorded
folder as JSON Lines. They read what the benchmark generates and no more: API responses whose
cells are all text, in ASCII, times with seven fraction digits, and sign-ins whose ids differ.
"""

PEERS = {"polars": "polars_asof", "duckdb": "duckdb_asof", "pandas": "pandas_pairs"}
"""The package that each needs, and its module: "asof" joins each operation to its sign-ins' bounds,
"pairs" forms every pair."""
