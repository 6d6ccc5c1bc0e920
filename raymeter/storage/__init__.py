"""Where things are kept: places, the run directory, models, columns, scratch."""
