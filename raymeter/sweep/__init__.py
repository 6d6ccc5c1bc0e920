"""Sweeps of attack settings over stored signals: the space, the choice, the report; pure."""
