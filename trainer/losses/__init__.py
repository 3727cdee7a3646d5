"""What a phase minimises: language modelling, the assistant's turns, preferences."""
