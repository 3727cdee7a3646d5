"""A team's own documents as sources, as the recipes are asked for them."""

from generators.seeds.sources import Format, Source, guess_format
from manifests.errors import ConfigError
from manifests.records import Kind


def prose_source(url: str, form: str, *, licence: str, lang: str, text_field: str) -> Source:
    """Prose at this URL; `form` names its format where the suffix does not tell.

    Raises:
        ConfigError: No such format, or none named and none told.
    """
    return Source(
        name="prose",
        url=url,
        format=_format("prose_format", form) if form else _guessed(url),
        licence=licence,
        lang=lang,
        text_field=text_field,
    )


def code_source(url: str, form: str, *, licence: str, lang: str, text_field: str) -> Source:
    """Code at this URL.

    Raises:
        ConfigError: No such format.
    """
    return Source(
        name="code",
        url=url,
        format=_format("code_format", form),
        licence=licence,
        lang=lang,
        kind=Kind.CODE,
        text_field=text_field,
    )


def _guessed(url: str) -> Format:
    try:
        return guess_format(url)
    except ConfigError as error:
        raise ConfigError(f"{error}, as in prose_format={Format.JSONL}") from error


def _format(parameter: str, name: str) -> Format:
    try:
        return Format(name)
    except ValueError as error:
        raise ConfigError(f"{parameter}={name}: expected one of {', '.join(Format)}") from error
