"""One page on which clinicians rate a run's pairs, blind to what we made of them."""
