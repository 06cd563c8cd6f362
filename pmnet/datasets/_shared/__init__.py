"""What several adapters share, by topic."""
