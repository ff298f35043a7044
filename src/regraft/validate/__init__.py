"""Whether every option of a config tree fits what it is for: a team's check and our own test."""
