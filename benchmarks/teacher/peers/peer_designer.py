"""NVIDIA Data Designer: one LLM text column over a seed file; it always resumes.

It sends no sampling seed, so the lengths of its answers are another draw of the same distribution.
"""

import json
from collections import Counter

import data_designer.config as dd
import pyarrow.parquet as pq
from data_designer.interface import DataDesigner
from peer_shared import cpu_seconds, job, say

BUFFER = 1000


def main() -> None:
    work = job()
    seeds = work.folder / "seeds.jsonl"
    system, decoding = "", {}
    with seeds.open("w") as lines:
        for name, ((body,),) in work.chains.items():
            system, user = (message["content"] for message in body["messages"])
            decoding = {key: body[key] for key in ("temperature", "top_p", "max_tokens")}
            lines.write(json.dumps({"id": name, "p": user}) + "\n")
    before = cpu_seconds()
    parameters = dd.ChatCompletionInferenceParams(
        max_parallel_requests=work.in_flight, timeout=600, **decoding
    )
    model = dd.ModelConfig(
        alias="writer",
        model=work.model,
        provider="bench",
        inference_parameters=parameters,
        skip_health_check=True,
    )
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.with_seed_dataset(dd.LocalFileSeedSource(path=str(seeds)))
    builder.add_column(
        dd.LLMTextColumnConfig(
            name="text", prompt="{{ p }}", system_prompt=system, model_alias="writer"
        )
    )
    provider = dd.ModelProvider(
        name="bench", endpoint=f"{work.urls[0]}/v1", provider_type="openai", api_key="none"
    )
    designer = DataDesigner(artifact_path=work.folder / "out", model_providers=[provider])
    designer.set_run_config(
        dd.RunConfig(buffer_size=min(BUFFER, max(1, len(work.chains) // 4)), otel_metrics_port=None)
    )
    designer.create(
        builder,
        num_records=len(work.chains),
        dataset_name="bench",
        resume=dd.ResumeMode.IF_POSSIBLE,
    )
    used = cpu_seconds() - before
    ids: Counter[str] = Counter()
    for path in (work.folder / "out").rglob("*.parquet"):
        if "id" in (schema := pq.read_schema(path)).names and "text" in schema.names:
            ids.update(pq.read_table(path, columns=["id"])["id"].to_pylist())
    say(ids, used)


main()
