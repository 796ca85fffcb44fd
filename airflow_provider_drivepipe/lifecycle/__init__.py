"""The life of one partition of one task: select, run, audit, publish; knows parts, and no stage by name."""
