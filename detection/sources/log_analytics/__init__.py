"""Client of the Log Analytics query API: sends one query, and decodes its answer or its error."""
