"""What a change costs: for every leaf, what goes on, what is skipped, what comes again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafAccount:
    """One leaf where a segment begins; all but `leaf` in samples, `_tokens` in useful tokens."""

    leaf: str
    consumed: int = 0
    """Of the epoch that had begun."""
    going_on: int = 0
    """Of that epoch, still to come."""
    skipped: int = 0
    """Of that epoch, that will not come: the leaf is dropped, or they hold what was removed."""
    repeated: int = 0
    """Of that epoch, trained on already and again from the start of a fresh one."""
    lost: int = 0
    """Of that epoch, that neither come nor are known to be skipped: 0, or there is a bug."""
    consumed_tokens: int = 0
    going_on_tokens: int = 0
    skipped_tokens: int = 0
    repeated_tokens: int = 0
    lost_tokens: int = 0
