"""What people and programs are told about steps and manifests: data only, drawn elsewhere."""
