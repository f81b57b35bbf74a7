"""The same rule in other engines, to compare cost and findings with the product.

Each module is a program, `python -m bench.peers.NAME DIR`, that prints the findings of a recorded
folder as JSON Lines. They read generated logs only: API responses whose cells are all ASCII text,
times with seven fraction digits, and sign-ins with different ids.
"""

PEERS = {"polars": "polars_asof", "duckdb": "duckdb_asof", "pandas": "pandas_pairs"}
"""The package of each peer, and its module: "asof" joins each operation to a range of sign-ins,
"pairs" forms every pair."""
