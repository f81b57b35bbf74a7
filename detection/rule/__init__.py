"""The rule, pure: no clock, no network, no environment, no Azure import."""
