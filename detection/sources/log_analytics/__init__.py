"""One query to the Log Analytics API, and what each answer means."""
