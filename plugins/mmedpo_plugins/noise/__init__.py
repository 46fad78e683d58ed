"""Noise on a film: the diffusion forward process, in a mask or all over."""
