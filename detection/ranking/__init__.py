"""How findings are ordered and explained, pure as the rule is."""
