"""spikescan beside other libraries, on this machine: ``python -m benchmarks.peers``."""
