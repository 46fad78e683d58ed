"""What a vision tower makes of images, kept and given back. Private."""
