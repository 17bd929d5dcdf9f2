"""One program for each library, run by its own environment's Python: ``python -P -m workers.NAME MEMORY_LIMIT THREADS``.

They import nothing of `benchmarks` but each other and `work`: spikescan is in none of the peers' environments.
"""
