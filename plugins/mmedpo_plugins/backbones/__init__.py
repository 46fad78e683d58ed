"""Backbones: the vision-language models that are aligned."""
