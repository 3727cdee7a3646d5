"""The form of a spec, for editors."""

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of a spec.

    Editors complete and check a spec by it; save it, and name it in the first line of the spec:
    `#:schema mixture.schema.json`.
    """
    from manifests.spec.schema import schema_text

    click.echo(schema_text(), nl=False)
