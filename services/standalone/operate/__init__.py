"""What an operator asks of an installation: is it well, bring it up to date, back it up."""
