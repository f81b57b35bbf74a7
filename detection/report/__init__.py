"""The report: findings as one HTML page that loads nothing from any network."""
