"""Scores -> findings: the result of an audit, exposed records, power, comparisons; pure."""
