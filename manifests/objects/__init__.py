"""What a manifest is made of: content-addressed objects, and the names that point at them."""
