"""The data contract: everything that crosses a disk or a process, and the manifests built from it."""
