"""What trainings came to, for people: loss curves, and mixtures beside each other."""
