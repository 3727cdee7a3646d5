"""What a manifest is made of on disk: content-addressed objects, and the names that point at them."""
