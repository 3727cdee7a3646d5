"""Where things lie below a root; the only place that knows.

runs/<run>.json                           the plan of a run: recipe, arguments, steps
hours/<run>/<driver>.json                 from when to when a driver of the run was at work
events/<run>/<driver>.json                what it saw happen to the teachers
joined/<run>/<id>.json                    a teacher that joined while the run went on
steps/<name>@<version>/<fingerprint>/
    step.json                             what this is; provenance, never fingerprinted
    data/<sha256>.parquet                 accepted rows
    rejects/<sha256>.parquet              what was refused, and why
    tokens/<sha256>.parquet               ids of the accepted rows, of steps that tokenize
    completions/<task>/<segment>.arrow    the teacher's answers, durable before they are used
    attempts/<task>/<item>/<nonce>        marks of items that were tried alone (poison is boxed)
    commits/<task>.json                   create-only: its existence is the commit
    index.parquet                         one row a commit, when the step is complete
manifests/objects/<2 digits>/<digest>.<media>   what manifests are made of, by sha256
manifests/refs/<name>/versions/<n>.json   create-only: version n of a name; the highest is current
manifests/refs/<name>/tags/<tag>/<n>.json create-only: where a tag went; the highest is current
manifests/pins/<digest>/<who>.json        who needs a manifest, named or not
references/<manifest>/<phase>/<checkpoint>/     log probabilities of a phase's pairs, by digests
    reference.json                        how many pairs, and in which slices
    data/<sha256>.parquet                 the pairs of a slice
    commits/<slice>.json                  create-only: its existence is the commit
"""

MANIFEST_OBJECTS = "manifests/objects/"
REFS = "manifests/refs/"
PINS = "manifests/pins/"
RUNS = "runs/"


def step_file(step: str) -> str:
    """Key of what a step is."""
    return f"{step}/step.json"


def data_file(step: str, sha256: str) -> str:
    """Key of a shard of accepted rows."""
    return f"{step}/data/{sha256}.parquet"


def rejects_file(step: str, sha256: str) -> str:
    """Key of a shard of rejects."""
    return f"{step}/rejects/{sha256}.parquet"


def tokens_file(step: str, sha256: str) -> str:
    """Key of a token file."""
    return f"{step}/tokens/{sha256}.parquet"


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


def hours_prefix(run: str) -> str:
    """Prefix of the working times of a run's drivers, with the closing slash."""
    return f"hours/{run}/"


def events_prefix(run: str) -> str:
    """Prefix of what drivers of a run saw happen, with the closing slash."""
    return f"events/{run}/"


def events_file(run: str, driver: str) -> str:
    """Key of what a driver saw happen."""
    return f"events/{run}/{driver}.json"


def joined_prefix(run: str) -> str:
    """Prefix of the teachers that joined a run, with the closing slash."""
    return f"joined/{run}/"


def joined_file(run: str, teacher: str) -> str:
    """Key of a teacher that joined a run."""
    return f"joined/{run}/{teacher}.json"


def inventory_file(sha256: str) -> str:
    """Key of a run's list of source files."""
    return f"inventories/{sha256}.json"


def tokenizer_file(sha256: str) -> str:
    """Key of a tokenizer's `tokenizer.json`, or of the description of its encoding."""
    return f"tokenizers/{sha256}.json"


def bpe_file(sha256: str) -> str:
    """Key of the BPE file that the description of an encoding names."""
    return f"tokenizers/{sha256}.tiktoken"


def object_file(digest: str, media: str) -> str:
    """Key of an object of manifests."""
    return f"{MANIFEST_OBJECTS}{digest[:2]}/{digest}.{media}"


def versions_prefix(name: str) -> str:
    """Prefix of a name's versions, with the closing slash."""
    return f"{REFS}{name}/versions/"


def tags_prefix(name: str) -> str:
    """Prefix of a name's tags, with the closing slash."""
    return f"{REFS}{name}/tags/"


def pin_file(digest: str, who: str) -> str:
    """Key of somebody's pin of a manifest."""
    return f"{PINS}{digest}/{who}.json"


def data_prefix(step: str) -> str:
    """Prefix of a step's shards of accepted rows, with the closing slash."""
    return f"{step}/data/"


def rejects_prefix(step: str) -> str:
    """Prefix of a step's shards of rejects, with the closing slash."""
    return f"{step}/rejects/"


def tokens_prefix(step: str) -> str:
    """Prefix of a step's token files, with the closing slash."""
    return f"{step}/tokens/"


def references_prefix(manifest: str, phase: str) -> str:
    """Prefix of what reference models say of a phase's pairs, with the closing slash."""
    return f"references/{manifest}/{phase}/"


def reference_address(manifest: str, phase: str, checkpoint: str) -> str:
    """Where the log probabilities under one checkpoint lie, without a closing slash."""
    return f"{references_prefix(manifest, phase)}{checkpoint}"


def reference_file(reference: str) -> str:
    """Key of what a reference is."""
    return f"{reference}/reference.json"


def reference_commit_file(reference: str, slice_index: int) -> str:
    """Key of the commit of a slice of pairs."""
    return f"{reference}/commits/{slice_index:08d}.json"
