"""Reference models across the cluster: slots that lease models, retries, resume."""
