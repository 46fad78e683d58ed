"""What clinicians say of a run's pairs: how far they agree, with themselves, with the consensus and with each voter."""
