"""Seeds, and records written of them, for tests of what a worker does with them."""

from collections.abc import Sequence

from manifests.fingerprint import content_id
from manifests.records import Bucket, Grade, Kind, Record, Seed, SeedTags, record_id, seed_id


def written(name: str, seed: Seed, answers: Sequence[str]) -> Record:
    text = "\n---\n".join(answers)
    return Record(
        id=record_id(name, seed.id, text),
        text=text,
        bucket=Bucket.SYNTHETIC,
        generator=name,
        seed_ids=(seed.id,),
        source=seed.source,
        licence=seed.licence,
        lang=seed.lang,
    )


def seed(number: int) -> Seed:
    text = f"Lamp {number} of the lighthouse was lit at dusk and put out at dawn."
    document = content_id("document", str(number))
    return Seed(
        id=seed_id(document, 1, 1, text),
        document_id=document,
        source="test",
        url=f"test:{number}",
        licence="CC0-1.0",
        lang="en",
        kind=Kind.PROSE,
        domain="history",
        topic="lamps",
        text=text,
        start_line=1,
        end_line=1,
        page_edu=3,
        passage_factual=3,
        passage_reasoning=3,
        tags=SeedTags(
            info_type="fact", brief="", complexity=Grade.B, obscurity=Grade.B, has_chain=False
        ),
    )
