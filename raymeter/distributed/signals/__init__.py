"""The Ray Data pass that computes signals."""
