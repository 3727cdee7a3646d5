"""The kinds of store; `manifests.store.open_store` picks one by the URL."""
