"""A GPU of the team's own: what makes images there, and what asks it to."""
