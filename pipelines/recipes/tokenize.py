"""Tokenizing what earlier runs made: committed records in, token steps out."""

from generators.seeds.inventory import Inventory
from manifests import layout
from manifests.commits import read_commit, task_id
from manifests.errors import ConfigError
from manifests.select.steps import slices_of, steps_fitting
from manifests.store import Store
from manifests.tokenizers import ENDS, Tokenizer
from pipelines.recipes.flow import Flow, Setting
from pipelines.step import Committed, Step
from pipelines.work.chat import chat_format
from pipelines.work.forms import Choice
from pipelines.work.tokenize import Tokenize

NAMES = {Choice.AUTO: "tokens", Choice.TEXT: "text_tokens", Choice.CHAT: "chat_tokens"}
"""What stands behind the name of a step of records in that of its token step."""


def tokenize(
    setting: Setting,
    *,
    steps: tuple[str, ...] = (),
    form: str = "auto",
    end_of_document: str = "",
    max_tokens: int = 0,
) -> Flow:
    """Records that lie on the root (steps=NAME,NAME, as a mixture names them) as token documents.

    <name>_screened and <name>_taken become <name>_tokens@1. form: auto gives texts, chats and
    pairs, as the records say; text gives texts alone, as <name>_text_tokens@1; chat makes chats of
    what has a question and an answer, too, as <name>_chat_tokens@1; end_of_document: the special
    token that closes documents, by default the tokenizer's own; max_tokens: what is longer is
    refused, 0 for no limit.
    """
    choice = _choice(form)
    if max_tokens < 0:
        raise ConfigError(f"max_tokens={max_tokens}: expected at least 0, which is no limit")
    if setting.store is None:
        raise ConfigError("recipe tokenize: give --root URL, below which the steps lie")
    if not steps:
        raise ConfigError("recipe tokenize: give steps=NAME,NAME, as in 'steps=*_screened@1'")
    tokenizer = setting.tokenizer
    if not tokenizer.sha256:
        raise ConfigError(
            "no tokenizer: give --tokenizer FILE, a tokenizer.json or what"
            " `python -m infra.setup cl100k` prints"
        )
    work = Tokenize(
        tokenizer=tokenizer,
        end_of_document=_end(setting.store, tokenizer, end_of_document),
        form=choice,
        max_tokens=max_tokens,
    )
    if choice is not Choice.TEXT:
        chat_format(tokenizer.encoder(setting.store), tokenizer.name)
    found = [_records(setting.store, a) for a in steps_fitting(setting.store, steps, "steps")]
    ends = tuple(_tokens(one, work) for one in found)
    return Flow(
        ends=ends, slices=max(o.slices for o in found), inventory=Inventory(units=()).to_json()
    )


def _choice(form: str) -> Choice:
    if form not in tuple(Choice):
        raise ConfigError(f"form={form}: expected one of {', '.join(Choice)}")
    return Choice(form)


def _end(store: Store, tokenizer: Tokenizer, token: str) -> int:
    specials = tokenizer.encoder(store).specials
    found = [specials[end] for end in ((token,) if token else ENDS) if end in specials]
    if not found:
        known = ", ".join(specials) or "none"
        raise ConfigError(
            f"tokenizer {tokenizer.name}: no special token {token or ' or '.join(ENDS)} to close"
            f" documents with: give end_of_document=TOKEN, one of its special tokens: {known}"
        )
    return found[0]


def _tokens(records: Committed, work: Tokenize) -> Step:
    name = records.address.split("/")[1].partition("@")[0]
    name = name.removesuffix("_screened").removesuffix("_taken")
    return Step(name=f"{name}_{NAMES[work.form]}", version=1, work=work, inputs=(records,))


def _records(store: Store, address: str) -> Committed:
    """The step at this address, once it is known to be whole and to hold records."""
    slices = slices_of(store, address)
    prefix = layout.commits_prefix(address)
    there = sum(1 for key in store.list(prefix) if key.endswith(".json"))
    if slices is None or there < slices:
        of = "" if slices is None else f" of {slices}"
        raise ConfigError(
            f"{address} is not complete, {there}{of} slices have committed: run its recipe again,"
            " and tokenize it when that is done"
        )
    first = read_commit(store, address, task_id(address, 0))
    if first is None or first.row_type != "record":
        kind = "nothing" if first is None else f"rows of the type {first.row_type}"
        raise ConfigError(f"{address} holds {kind}: name steps of records, as a gate or take made")
    return Committed(address=address, slices=slices)
