"""The prefix cache of one replica, as vLLM has it: whole blocks, least recently used out first."""

from collections import OrderedDict

from infra.simulated.settings import BLOCK_TOKENS, TOKEN_CHARACTERS

_BLOCK = BLOCK_TOKENS * TOKEN_CHARACTERS


class PrefixCache:
    """Blocks are known by a hash chained over all blocks before them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def admit(self, prompt: str) -> int:
        """Tokens of `prompt` found in the cache; from now on it holds all its whole blocks.

        The last token is never served from the cache, because its logits are needed.
        """
        keys: list[int] = []
        key = 0
        for start in range(0, len(prompt) - _BLOCK + 1, _BLOCK):
            key = hash((key, prompt[start : start + _BLOCK]))
            keys.append(key)
        hits = 0
        for key in keys:
            if key not in self._blocks:
                break
            hits += 1
        # Touched last to first, so that a prompt loses its tail before its head.
        for key in reversed(keys):
            self._blocks[key] = None
            self._blocks.move_to_end(key)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)
        return min(hits, (len(prompt) - 1) // _BLOCK) * BLOCK_TOKENS

    def clear(self) -> None:
        """Forget everything."""
        self._blocks.clear()
