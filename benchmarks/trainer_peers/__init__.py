"""Other systems on the tokens that the trainer's own data path is measured with.

Each peer, and `benchmarks.trainer_ours` like them, is a program with two commands, run in a process
of its own, with its own interpreter where its packages want one (`make bench-trainer
PEERS=/path/to/python`; `requirements.txt` says how it is made):

    python -m benchmarks.trainer_peers.megatron prepare CORPUS DATA --length 4096 [--samples N]
    python -m benchmarks.trainer_peers.megatron measure DATA --case first|resume|deliver ...

`prepare` writes the corpus in the peer's own format, with `--samples` as many samples as asked, by
repeating files (see each program). `measure` prints one JSON line, `reports.Report`.
"""
