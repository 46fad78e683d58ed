"""What the machine has: cores, memory, a disk. Private."""
