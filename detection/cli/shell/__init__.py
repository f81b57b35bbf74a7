"""The command line and its surroundings: its name, help and completion, signals, and settings."""
