"""Documents packed a second time, one after the other, in the plain words of the definition.

Longest part first, equal ones by document; each into the window with the least room that holds it,
of equal ones that which has had this room for longest, else into a new one (docs/mixtures.md). What
`manifests.packing` computes must agree with it; nothing here comes from there.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence

PACKING = "best-fit@1"

Part = tuple[int, int, int]
"""Document, its first token in the part, and its tokens in the part."""


def packed(tokens: Sequence[int], length: int) -> list[list[Part]]:
    """The parts of each window of `length` places."""
    cut = [
        (document, start, min(length, count - start))
        for document, count in enumerate(tokens)
        for start in range(0, max(1, count), length)
    ]
    windows: list[list[Part]] = []
    waiting: dict[int, deque[int]] = {}
    rooms: list[int] = []
    for part in sorted(cut, key=lambda part: (-max(1, part[2]), part[0], part[1])):
        places = max(1, part[2])
        at = bisect_left(rooms, places)
        if at == len(rooms):
            window, room = len(windows), length
            windows.append([])
        else:
            room = rooms[at]
            window = waiting[room].popleft()
            if not waiting[room]:
                del rooms[at], waiting[room]
        windows[window].append(part)
        if room > places:
            if room - places not in waiting:
                insort(rooms, room - places)
                waiting[room - places] = deque()
            waiting[room - places].append(window)
    return windows


def windows_with(tokens: Sequence[int], length: int, gone: Sequence[bool]) -> list[int]:
    """The windows that hold a document which is gone, rising."""
    return [
        number
        for number, parts in enumerate(packed(tokens, length))
        if any(gone[document] for document, _, _ in parts)
    ]
