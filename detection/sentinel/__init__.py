"""The rule without the function: as one query, and as a scheduled rule of Microsoft Sentinel."""
