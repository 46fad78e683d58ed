"""What benchmarks share: a LLaVA of drawn weights, pairs, contenders, what a device tells of itself."""
