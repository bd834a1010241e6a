"""The console script `sequences`: it starts everything and holds no logic."""
