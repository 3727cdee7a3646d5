"""Between records and positions: where a record is trained on, what a batch holds, what differs."""
