"""What the backbone itself answers: its samples, its answers to other questions, how likely it finds an answer."""
