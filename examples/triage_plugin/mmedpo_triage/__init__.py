"""Parts of three kinds, for those who ask first whether something urgent is missed."""
