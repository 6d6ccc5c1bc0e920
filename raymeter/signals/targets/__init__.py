"""Targets that were trained elsewhere: by their weights, by asking, and who their members are."""
