"""Queries in KQL on tables in DuckDB."""
