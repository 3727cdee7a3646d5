"""Where things lie below a root; the only place that knows.

runs/<run>.json                           the plan of a run: recipe, arguments, steps
steps/<name>@<version>/<fingerprint>/
    step.json                             what this is; provenance, never fingerprinted
    data/<sha256>.parquet                 accepted rows
    rejects/<sha256>.parquet              what was refused, and why
    completions/<task>/<segment>.arrow    the teacher's answers, durable before they are used
    attempts/<task>/<item>/<nonce>        marks of items that were tried alone (poison is boxed)
    commits/<task>.json                   create-only: its existence is the commit
    index.parquet                         one row a commit, when the step is complete
"""


def step_file(step: str) -> str:
    """Key of what a step is."""
    return f"{step}/step.json"


def data_file(step: str, sha256: str) -> str:
    """Key of a shard of accepted rows."""
    return f"{step}/data/{sha256}.parquet"


def rejects_file(step: str, sha256: str) -> str:
    """Key of a shard of rejects."""
    return f"{step}/rejects/{sha256}.parquet"


def completions_prefix(step: str, task: str) -> str:
    """Prefix of a task's completion segments, with the closing slash."""
    return f"{step}/completions/{task}/"


def attempts_prefix(step: str, task: str) -> str:
    """Prefix of a task's attempt marks, with the closing slash."""
    return f"{step}/attempts/{task}/"


def commits_prefix(step: str) -> str:
    """Prefix of a step's commits, with the closing slash."""
    return f"{step}/commits/"


def commit_file(step: str, task: str) -> str:
    """Key of a task's commit."""
    return f"{step}/commits/{task}.json"


def index_file(step: str) -> str:
    """Key of a complete step's index."""
    return f"{step}/index.parquet"


def run_file(run: str) -> str:
    """Key of a run's plan."""
    return f"runs/{run}.json"


def inventory_file(sha256: str) -> str:
    """Key of a run's list of source files."""
    return f"inventories/{sha256}.json"


def tokenizer_file(sha256: str) -> str:
    """Key of a tokenizer's `tokenizer.json`."""
    return f"tokenizers/{sha256}.json"
