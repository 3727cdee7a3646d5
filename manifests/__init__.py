"""The data contract: what crosses a disk or a process, and the manifests built from it."""
