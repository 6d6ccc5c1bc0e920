"""YAML -> frozen configuration; every key, every message."""
