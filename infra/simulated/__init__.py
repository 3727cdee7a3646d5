"""A simulated teacher: an OpenAI-compatible server that behaves like vLLM without a model.

It has sequence slots, a queue, a prefix cache and vLLM's metrics; answers are deterministic and
satisfy the JSON schema they are asked for; faults follow a script. Whole runs can be rehearsed with
it on a laptop, and because it knows how much work it was given, it can tell how long that work had
to take. It writes no training data: what it says has no meaning.
"""
