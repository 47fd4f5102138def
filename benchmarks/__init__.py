"""Speed and memory: ours and peers in turn, in one run, as ratios (`python -m benchmarks`)."""
